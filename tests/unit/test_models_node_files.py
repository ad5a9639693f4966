"""What runs on a node: the files of a snapshot, received, fetched and checked."""

import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from models.files.node_files import Snapshot

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}
FILES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}


def archive(content: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    made = Snapshot(str(tmp_path), "smol")
    made.receive(FILES, archive(CONTENT))
    return made


def test_what_was_received_is_in_place_and_right(snapshot: Snapshot) -> None:
    assert snapshot.check(FILES, full=True) == []
    assert not snapshot.part.exists()


def test_an_unknown_snapshot_lacks_every_file(tmp_path: Path) -> None:
    assert Snapshot(str(tmp_path), "other").check(FILES, full=False) == list(FILES)


def test_an_altered_and_a_removed_file_are_named(snapshot: Snapshot) -> None:
    (snapshot.folder / "config.json").write_text("{ }")
    (snapshot.folder / "model.safetensors").unlink()
    assert snapshot.check(FILES, full=False) == ["config.json", "model.safetensors"]


def test_only_a_full_check_sees_what_kept_its_size_and_time(snapshot: Snapshot) -> None:
    file = snapshot.folder / "config.json"
    facts = file.stat()
    file.write_text("[]")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert snapshot.check(FILES, full=False) == []
    assert snapshot.check(FILES, full=True) == ["config.json"]


def test_a_touched_file_is_read_once_and_noted_again(snapshot: Snapshot) -> None:
    os.utime(snapshot.folder / "config.json", ns=(1, 1))
    assert snapshot.check(FILES, full=False) == []
    assert snapshot.verified()["config.json"][2] == 1


def test_a_damaged_transfer_leaves_nothing_in_place(tmp_path: Path) -> None:
    made = Snapshot(str(tmp_path), "smol")
    with pytest.raises(SystemExit, match=r"config\.json arrived with another sha256"):
        made.receive(FILES, archive({**CONTENT, "config.json": b"bad"}))
    assert not made.folder.exists()


def test_a_broken_off_transfer_leaves_nothing_in_place(tmp_path: Path) -> None:
    made = Snapshot(str(tmp_path), "smol")
    with pytest.raises(SystemExit, match=r"model\.safetensors did not arrive"):
        made.receive(FILES, archive({"config.json": b"{}"}))
    assert not made.folder.exists()


@pytest.fixture
def seed(snapshot: Snapshot) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(snapshot.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_another_node_fetches_just_what_it_lacks(seed: str, tmp_path: Path) -> None:
    other = Snapshot(str(tmp_path / "w1"), "smol")
    other.receive({"config.json": FILES["config.json"]}, archive({"config.json": b"{}"}))
    lacking = other.check(FILES, full=False)
    assert lacking == ["model.safetensors"]
    other.fetch({name: FILES[name] for name in lacking}, seed)
    assert other.check(FILES, full=True) == []
