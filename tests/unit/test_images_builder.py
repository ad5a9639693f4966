"""Images from locks: the same bits each time, nothing stale, nothing altered."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from images import builder
from images.builder import declaration
from images.builder.store import Store
from remote.errors import RackformError
from tests.unit.image_folder import declare, lock


def _silent(_: str) -> None:
    pass


def test_an_image_is_the_same_under_another_umask_time_zone_locale_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    digests = []
    for number, (mask, zone, locale) in enumerate(
        [(0o022, "UTC", "C.UTF-8"), (0o077, "Asia/Tokyo", "POSIX")]
    ):
        store, work = tmp_path / f"a store {number}", tmp_path / f"work {number}"
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", locale)
        lock(store, work)
        before = os.umask(mask)
        try:
            digests.append(builder.build("small", "default", store, _silent).digest)
        finally:
            os.umask(before)
    assert digests[0] == digests[1]


def test_a_second_build_makes_nothing_and_gives_the_expected_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    lock(tmp_path / "store", tmp_path)
    assert builder.expected("small", "default", tmp_path / "store").digest is None
    first = builder.build("small", "default", tmp_path / "store", _silent)
    told: list[str] = []
    second = builder.build("small", "default", tmp_path / "store", told.append)
    assert told == []
    assert second.digest == first.digest
    expected = builder.expected("small", "default", tmp_path / "store")
    assert (expected.digest, expected.image_id) == (first.digest, first.image_id)
    assert expected.packages == {"debian/hello": "1.0"}


def test_an_altered_layer_is_named_refused_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    store = tmp_path / "store"
    lock(store, tmp_path)
    built = builder.build("small", "default", store, _silent)
    layer = built.layers[0]
    blob = Store(store).blob(layer.digest)
    data = bytearray(blob.read_bytes())
    data[600] ^= 1
    blob.write_bytes(data)
    assert builder.check(built.digest, store) == [
        f"layer {layer.digest} of image small was altered"
    ]
    with pytest.raises(RackformError, match=layer.digest):
        builder.docker_archive(built.digest, store, io.BytesIO())
    told: list[str] = []
    assert builder.build("small", "default", store, told.append).digest == built.digest
    assert any(layer.digest in line and "was altered" in line for line in told)
    assert builder.check(built.digest, store) == []


def test_the_docker_archive_has_the_image_id_that_the_build_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    lock(tmp_path / "store", tmp_path)
    built = builder.build("small", "default", tmp_path / "store", _silent)
    out = io.BytesIO()
    builder.docker_archive(built.digest, tmp_path / "store", out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        listing = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        names = []
        for layer in listing[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as content:
                names.append(content.getnames())
    assert f"sha256:{listing[0]['Config'].removesuffix('.json')}" == built.image_id
    assert "usr/bin/hello" in names[0]
    assert not any("README" in name for name in names[0])
    assert {"data", "etc/hello.conf", "etc/passwd"} <= set(names[1])


def test_an_unknown_key_in_a_declaration_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = declare(tmp_path, monkeypatch)
    with (folder / "image.toml").open("a", encoding="utf-8") as file:
        file.write('\n[run]\ncommand = "make"\n')
    with pytest.raises(RackformError, match=r"small/image\.toml.*run"):
        declaration.load("small", "default")
