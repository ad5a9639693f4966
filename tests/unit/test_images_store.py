"""The store: whole whatever happens to a build, and cleared of what nothing needs."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from images import builder
from images.builder import Needed, rootfs
from images.builder.store import ABANDONED_S, Store
from remote.errors import RackformError
from stack.paths import ROOT
from tests.unit.image_folder import declare, lock

KILLED = """
import os, signal, sys
from pathlib import Path
from images import builder
from images.builder import declaration, rootfs
declaration.IMAGES = Path(sys.argv[1])
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
rootfs.write_extracted = die
builder.build("small", "default", Path(sys.argv[2]), print)
"""


def _silent(_: str) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    declare(tmp_path, monkeypatch)
    lock(tmp_path / "store", tmp_path)
    return tmp_path / "store"


def test_a_build_that_is_killed_leaves_rubbish_that_a_later_one_clears(
    tmp_path: Path, store: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "images", store],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = list((store / "tmp").iterdir())
    assert left
    assert not list((store / "blobs/sha256").iterdir())
    long_ago = time.time() - ABANDONED_S - 1
    for path in left:
        os.utime(path, (long_ago, long_ago))
    built = builder.build("small", "default", store, _silent)
    assert builder.check(built.digest, store) == []
    assert not list((store / "tmp").iterdir())


def test_scratch_that_another_build_works_in_is_left_alone(store: Path) -> None:
    held = Store(store)
    folder = store / "tmp" / "layer-other"
    folder.mkdir()
    long_ago = time.time() - ABANDONED_S - 1
    os.utime(folder, (long_ago, long_ago))
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    held.sweep()
    assert folder.exists()
    os.close(handle)
    held.sweep()
    assert not folder.exists()


def _build(store: Path, results: "multiprocessing.Queue[tuple[str, int]]") -> None:
    told: list[str] = []
    built = builder.build("small", "default", store, told.append)
    results.put((built.digest, sum("making layer debian" in line for line in told)))


def test_two_builds_at_once_make_each_layer_once(store: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[tuple[str, int]] = context.Queue()
    builds = [context.Process(target=_build, args=(store, results)) for _ in range(2)]
    for process in builds:
        process.start()
    found = [results.get(timeout=60) for _ in builds]
    for process in builds:
        process.join()
    assert found[0][0] == found[1][0]
    assert sum(made for _, made in found) == 1


def test_a_full_disk_is_told_as_such_and_the_next_build_succeeds(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(rootfs, "write_extracted", full)
        with pytest.raises(RackformError, match=r"the disk of .* is full .*rackform gc"):
            builder.build("small", "default", store, _silent)
    assert builder.build("small", "default", store, _silent).digest


def test_a_tool_that_meets_a_full_disk_is_told_as_such(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise RackformError("mmdebstrap failed: dpkg: error: No space left on device")

    monkeypatch.setattr(rootfs, "write_extracted", full)
    with pytest.raises(RackformError, match=r"the disk of .* is full"):
        builder.build("small", "default", store, _silent)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_whatever_of_the_store_is_corrupt_the_next_build_is_whole(
    store: Path, content: str
) -> None:
    built = builder.build("small", "default", store, _silent)
    folders = ("index", "layers", "lockfiles", "ok", "blobs/sha256")
    for path in [path for folder in folders for path in (store / folder).iterdir()]:
        path.write_text(content)
        again = builder.build("small", "default", store, _silent)
        assert again.digest == built.digest, path
        assert builder.check(again.digest, store) == [], path
        assert builder.sbom_document(again.input_hash, store), path
        builder.garbage(Store(store), Needed())


def test_a_changed_file_makes_one_layer_anew(tmp_path: Path, store: Path) -> None:
    first = builder.build("small", "default", store, _silent)
    (tmp_path / "images/small/files/hello.conf").write_text("greeting = good day\n")
    lock(store, tmp_path / "again")
    second = builder.build("small", "default", store, _silent)
    assert [layer.cached for layer in second.layers] == [True, False]
    assert second.layers[0].digest == first.layers[0].digest
    assert second.layers[1].digest != first.layers[1].digest


def test_an_earlier_image_can_be_pinned_whatever_is_declared(tmp_path: Path, store: Path) -> None:
    first = builder.build("small", "default", store, _silent)
    (tmp_path / "images/small/files/hello.conf").write_text("greeting = good day\n")
    pinned = builder.Sources(pinned=first.input_hash)
    expected = builder.expected("small", "default", store, pinned)
    assert (expected.digest, expected.packages) == (first.digest, {"debian/hello": "1.0"})
    assert builder.build("small", "default", store, _silent, pinned).digest == first.digest
    Store(store).blob(first.layers[0].digest).unlink()
    with pytest.raises(RackformError, match=r"is missing: check out that generation's commit"):
        builder.build("small", "default", store, _silent, pinned)


def _two_images(tmp_path: Path, store: Path) -> tuple[builder.Built, builder.Built]:
    first = builder.build("small", "default", store, _silent)
    (tmp_path / "images/small/files/hello.conf").write_text("greeting = good day\n")
    lock(store, tmp_path / "again")
    return first, builder.build("small", "default", store, _silent)


def test_what_no_kept_image_needs_goes_and_the_rest_is_whole(tmp_path: Path, store: Path) -> None:
    first, second = _two_images(tmp_path, store)
    held = Store(store)
    garbage = builder.garbage(held, Needed(images={second.input_hash}))
    blobs = {each.path.name for each in garbage if each.path.parent.name == "sha256"}
    assert first.layers[1].digest.removeprefix("sha256:") in blobs
    assert first.layers[0].digest.removeprefix("sha256:") not in blobs
    builder.remove_garbage(held, garbage)
    assert builder.check(second.digest, store) == []
    assert builder.sbom_document(second.input_hash, store)
    assert builder.garbage(held, Needed(images={second.input_hash})) == []
    listed = json.loads((store / "index.json").read_text())["manifests"]
    assert [entry["digest"] for entry in listed if "platform" in entry] == [second.digest]
    assert builder.build("small", "default", store, _silent).layers[0].cached


def test_the_image_of_a_running_container_is_kept(tmp_path: Path, store: Path) -> None:
    first, second = _two_images(tmp_path, store)
    needed = Needed(images={second.input_hash}, image_ids={first.image_id})
    assert builder.garbage(Store(store), needed) == []


def test_nothing_is_cleared_while_something_is_built(store: Path) -> None:
    with (
        Store(store).used(),
        pytest.raises(RackformError, match="something is being built"),
        builder.collecting(store),
    ):
        pass
