"""Run on a node by spread.py: check, receive or fetch the files of one snapshot.

node_files.py FOLDER COMMAND NAME JSON → one JSON list on stdout. The standard library alone.
"""

import hashlib
import json
import os
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import IO, Any

CHUNK_BYTES = 1 << 20


class Snapshot:
    """FOLDER/NAME, its stamp beside it, and the folder where files arrive before they count."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder, name)
        self.part = Path(folder, f"{name}.part")
        self.stamp = Path(folder, f"{name}.stamp.json")

    def verified(self) -> dict[str, Any]:
        """Return name → [sha256, size, mtime_ns] as noted when each file was checked."""
        try:
            noted: dict[str, Any] = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return noted

    def note(self, checked: dict[str, str]) -> None:
        stamps = self.verified()
        for name, digest in checked.items():
            facts = (self.folder / name).stat()
            stamps[name] = [digest, facts.st_size, facts.st_mtime_ns]
        fresh = self.stamp.with_suffix(".new")
        fresh.write_text(json.dumps(stamps, sort_keys=True))
        fresh.replace(self.stamp)

    def check(self, files: dict[str, str], *, full: bool) -> list[str]:
        """Return the names that are missing or differ; note what had to be read and is right."""
        noted, differing, checked = self.verified(), [], {}
        for name, digest in files.items():
            path = self.folder / name
            try:
                facts = path.stat()
            except OSError:
                differing.append(name)
                continue
            known = [digest, facts.st_size, facts.st_mtime_ns]
            if full or noted.get(name) != known:
                if sha256(path) != digest:
                    differing.append(name)
                    continue
                checked[name] = digest
        if checked:
            self.note(checked)
        return differing

    def receive(self, files: dict[str, str], stream: IO[bytes]) -> list[str]:
        """Take the files from a tar stream."""
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                source = archive.extractfile(entry)
                if entry.name in files and source is not None:
                    self.take(entry.name, files[entry.name], source)
        return self.place(files)

    def fetch(self, files: dict[str, str], url: str) -> list[str]:
        """Take the files from another node's HTTP server."""
        plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for name, digest in files.items():
            with plain.open(url + urllib.request.quote(name), timeout=60) as source:  # type: ignore[attr-defined] # it is there
                self.take(name, digest, source)
        return self.place(files)

    def take(self, name: str, digest: str, source: IO[bytes]) -> None:
        target = self.part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        with target.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                found.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if found.hexdigest() != digest:
            sys.exit(f"{name} arrived with another sha256 than it was sent with")
        target.chmod(0o644)

    def place(self, files: dict[str, str]) -> list[str]:
        """Move what arrived to its place: the folder whole where it is new, else file by file."""
        missing = [name for name in files if not (self.part / name).is_file()]
        if missing:
            sys.exit(f"{missing[0]} did not arrive")
        if not self.folder.exists():
            self.part.replace(self.folder)
        else:
            for name in files:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.part / name).replace(self.folder / name)
            shutil.rmtree(self.part)
        self.note(files)
        return list(files)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def main(folder: str, command: str, name: str, wanted: dict[str, Any]) -> list[str]:
    snapshot = Snapshot(folder, name)
    Path(folder).mkdir(mode=0o755, parents=True, exist_ok=True)
    if command == "check":
        return snapshot.check(wanted["files"], full=wanted["full"])
    shutil.rmtree(snapshot.part, ignore_errors=True)
    snapshot.part.mkdir(mode=0o755)
    if command == "receive":
        return snapshot.receive(wanted["files"], sys.stdin.buffer)
    return snapshot.fetch(wanted["files"], wanted["url"])


if __name__ == "__main__":
    answer = main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
    print(json.dumps(answer))  # noqa: T201 - the answer
