"""Locks: what is stale, missing or tampered is refused with the difference and the remedy."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from images import builder
from images.builder import apt, declaration, lock_model, resolve
from images.builder.apt import Apt
from images.builder.build import Sources
from images.builder.lock_model import DebianPackage, Lock
from images.builder.store import Store
from remote.errors import RackformError
from stack.errors import InputError
from tests.unit.image_folder import declare, lock


def _silent(_: str) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def mirror_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let apt know no package at all, without asking a mirror."""
    monkeypatch.setattr(apt.Apt, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(apt.Apt, "update", lambda _: None)
    monkeypatch.setattr(apt.Apt, "download", lambda _self, packages, _to: list(packages))


def test_a_missing_lock_is_refused_with_the_remedy(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"has no lock: run './rackform lock small'"):
        builder.expected("small", "default", store)


def test_a_stale_lock_is_refused_with_what_was_changed_since(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = declare(tmp_path, monkeypatch)
    lock(store, tmp_path)
    (folder / "files" / "hello.conf").write_text("greeting = good day\n")
    toml = (folder / "image.toml").read_text()
    toml = toml.replace('packages = ["hello"]', 'packages = ["hello", "curl"]')
    (folder / "image.toml").write_text(toml.replace("uid = 999", "uid = 998"))
    with pytest.raises(InputError) as refused:
        builder.build("small", "default", store, _silent)
    told = str(refused.value)
    assert "files/hello.conf: changed" in told
    assert "debian.packages: + curl" in told
    assert "user.uid: 999 → 998" in told
    assert told.endswith("run './rackform lock small'")


def test_a_tampered_lock_is_refused_with_the_pin_that_was_altered(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = declare(tmp_path, monkeypatch)
    made = lock(store, tmp_path)
    text = (folder / "lock.json").read_text()
    (folder / "lock.json").write_text(text.replace(made.debian[0].sha256, "0" * 64))
    with pytest.raises(
        InputError, match=rf"debian/hello: 1\.0 {made.debian[0].sha256} → 1\.0 0{{64}}"
    ):
        builder.build("small", "default", store, _silent)
    with pytest.raises(InputError, match=r"its checksum doesn't hold.*version control, or run"):
        builder.build("small", "default", tmp_path / "a store that never saw it", _silent)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"variants": {"default": {}}}', '{"variants": 3}']
)
def test_a_damaged_lock_is_refused_and_made_anew(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    folder = declare(tmp_path, monkeypatch)
    (folder / "lock.json").write_text(text)
    with pytest.raises(InputError, match=r"run './rackform lock small'"):
        builder.expected("small", "default", store)
    lock(store, tmp_path)
    assert builder.expected("small", "default", store).packages == {"debian/hello": "1.0"}


def test_an_altered_package_is_named_and_never_used(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, mirror_has_nothing: None
) -> None:
    _ = mirror_has_nothing
    declare(tmp_path, monkeypatch)
    package = lock(store, tmp_path).debian[0]
    deb = store / "debs" / package.file_name
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    newer = _newer(tmp_path, store)
    monkeypatch.setattr(resolve, "resolve", lambda *_, **__: newer)
    told: list[str] = []
    with pytest.raises(RackformError, match=r"no mirror has.*hello 1\.0.*hello 1\.0 → 1\.1"):
        builder.build("small", "default", store, told.append)
    assert any(package.file_name in line for line in told)


def _newer(tmp_path: Path, store: Path) -> Lock:
    """Return a lock of version 1.1, with the image's own left at 1.0."""
    newer = lock(store, tmp_path, "1.1")
    lock_file = declaration.IMAGES / "small" / "lock.json"
    definition = declaration.load("small", "default")
    before = Lock.model_validate(newer.model_dump())
    kept = [p for p in (store / "lockfiles").iterdir() if newer.sha256 not in p.name]
    if kept:
        lock_model.write(definition, Lock.model_validate_json(kept[0].read_text()), Store(store))
    assert lock_file.exists()
    return before


def test_a_package_that_no_mirror_has_is_replaced_on_this_machine_and_told(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, mirror_has_nothing: None
) -> None:
    _ = mirror_has_nothing
    declare(tmp_path, monkeypatch)
    gone = lock(store, tmp_path).debian[0]
    newer = _newer(tmp_path, store)
    (store / "debs" / gone.file_name).unlink()
    monkeypatch.setattr(resolve, "resolve", lambda *_, **__: newer)
    warned: list[str] = []
    sources = Sources(locks=tmp_path / "state", warn=warned.append)
    built = builder.build("small", "default", store, _silent, sources)
    assert "debian/hello 1.0 → 1.1" in warned[0]
    expected = builder.expected("small", "default", store, sources)
    assert (expected.digest, expected.packages) == (built.digest, {"debian/hello": "1.1"})
    assert builder.expected("small", "default", store).packages == {"debian/hello": "1.0"}


@contextmanager
def _archive(files: dict[str, bytes]) -> Iterator[str]:
    """Serve these paths as a snapshot archive does."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_package_that_the_mirrors_dropped_comes_from_the_snapshot_mirror(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, mirror_has_nothing: None
) -> None:
    _ = mirror_has_nothing
    declare(tmp_path, monkeypatch)
    package = lock(store, tmp_path).debian[0]
    deb = store / "debs" / package.file_name
    data = deb.read_bytes()
    deb.unlink()
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    listing = {
        "result": [{"architecture": "arm64", "hash": "0"}, {"architecture": "amd64", "hash": sha1}]
    }
    held = {"/mr/binary/hello/1.0/binfiles": json.dumps(listing).encode(), f"/file/{sha1}": data}
    with _archive(held) as address:
        builder.build("small", "default", store, _silent, Sources(snapshot=address))
    assert deb.read_bytes() == data

    deb.unlink()
    (store / "layers").joinpath(next((store / "layers").iterdir()).name).unlink()
    for layer in (store / "layers").iterdir():
        layer.unlink()
    for image in (store / "index").iterdir():
        image.unlink()
    with (
        _archive(held | {f"/file/{sha1}": data + b"x"}) as address,
        pytest.raises(RackformError, match=r"hello 1\.0 from the mirror has sha256"),
    ):
        builder.build("small", "default", store, _silent, Sources(snapshot=address))
    assert not deb.exists()


def test_a_snapshot_mirror_that_is_none_is_named(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, mirror_has_nothing: None
) -> None:
    _ = mirror_has_nothing
    declare(tmp_path, monkeypatch)
    (store / "debs" / lock(store, tmp_path).debian[0].file_name).unlink()
    with (
        _archive({"/mr/binary/hello/1.0/binfiles": b"<html>"}) as address,
        pytest.raises(RackformError, match=rf"images.debian_snapshot = {address}"),
    ):
        builder.build("small", "default", store, _silent, Sources(snapshot=address))


def test_what_is_locked_stays_but_for_what_is_to_be_upgraded() -> None:
    packages = [
        DebianPackage(name=name, version="1", arch="amd64", sha256="0" * 64, size=1)
        for name in ("curl", "libcurl4", "jq")
    ]
    assert resolve._kept(packages, ["*curl*"]) == {"jq": "1"}
    assert resolve._kept(packages, []) == {"curl": "1", "libcurl4": "1", "jq": "1"}


def test_apt_prefers_what_is_kept_above_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "sources", lambda _: "")
    Apt(tmp_path, "bookworm", keep={"curl": "7.88.1-10+deb12u15"})
    written = (tmp_path / "preferences").read_text()
    assert written == "Package: curl\nPin: version 7.88.1-10+deb12u15\nPin-Priority: 1001\n"


def test_every_shipped_lock_is_of_its_declaration_and_names_no_address() -> None:
    for name in builder.names():
        path = declaration.IMAGES / name / declaration.LOCK
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
        for variant in builder.variants(name):
            assert builder.expected(name, variant, Path("/nowhere")).packages


def test_an_image_is_made_here_or_taken_from_upstream_and_not_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = declare(tmp_path, monkeypatch)
    with (folder / "image.toml").open("a", encoding="utf-8") as file:
        file.write('\n[upstream]\nrepository = "example.org/hello"\ntag = "1"\n')
    with pytest.raises(InputError, match=r"either made from \[debian\] or taken from \[upstream\]"):
        declaration.load("small", "default")
