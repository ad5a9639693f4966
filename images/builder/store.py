"""The content-addressed store: blobs by sha256, indexed by the hash of what they were made from."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from remote.errors import RackformError

CHUNK = 1 << 20


class Blob(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    size: int


class Store:
    """Files whose name is the hash of their content; several processes may use it at once.

    A file appears under its name only when it is whole (written elsewhere, then renamed), so that
    an interrupted build leaves nothing but rubbish under `tmp/`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("blobs/sha256", "index", "layers", "debs", "locks", "rootfs", "tmp", "ok"):
            (path / folder).mkdir(parents=True, exist_ok=True)

    def refuse_full_disk(self, needed_bytes: int, what: str) -> None:
        """Raise where the disk has less room than `what` needs: on a full one apt hangs."""
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            raise RackformError(
                f"{self.path} has {free / 1e6:.0f} MB free, and {what} needs"
                f" {needed_bytes / 1e6:.0f} MB: free some, or set RACKFORM_STORE to a folder on a"
                " larger disk"
            )

    def blob(self, digest: str) -> Path:
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the store's lock `name`: two builds never make the same thing at once."""
        with (self.path / "locks" / name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def scratch(self, purpose: str) -> Iterator[Path]:
        """Give a folder for unfinished work, gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self.path / "tmp"))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, data: bytes) -> Blob:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self.blob(digest).exists():
            self._write(self.blob(digest), data)
        self._mark(digest)
        return Blob(digest=digest, size=len(data))

    def take(self, file: Path, digest: str) -> Blob:
        """Move a finished file into the store under the digest that its writer computed."""
        file.chmod(0o644)
        file.replace(self.blob(digest))
        self._mark(digest)
        return Blob(digest=digest, size=self.blob(digest).stat().st_size)

    def problem(self, digest: str) -> str | None:
        """Say what is wrong with a blob, or None; read only if it changed since the last time."""
        path = self.blob(digest)
        try:
            stamp = _stamp(path)
        except FileNotFoundError:
            return "is missing"
        mark = self.path / "ok" / path.name
        if mark.exists() and mark.read_text() == stamp:
            return None
        if hash_file(path) != digest:
            return "was altered"
        self._mark(digest)
        return None

    @contextlib.contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        """Open a blob for reading, refusing one that isn't what its name says."""
        if wrong := self.problem(digest):
            raise RackformError(
                f"the store's blob {digest} {wrong}: build the image again ('./rackform build')"
            )
        with self.blob(digest).open("rb") as handle:
            yield handle

    def read_json(self, folder: str, key: str) -> str | None:
        path = self.path / folder / f"{key}.json"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write_json(self, folder: str, key: str, text: str) -> None:
        self._write(self.path / folder / f"{key}.json", text.encode())

    def _mark(self, digest: str) -> None:
        path = self.blob(digest)
        self._write(self.path / "ok" / path.name, _stamp(path).encode())

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self.path / "tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary = Path(name)
        temporary.chmod(0o644)
        temporary.replace(path)


def hash_file(path: Path) -> str:
    with path.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def hash_of(*parts: object) -> str:
    """Return the hash that names what these inputs make (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
