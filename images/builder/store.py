"""The content-addressed store: blobs by sha256, indexed by the hash of what they were made from."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from remote.errors import RackformError

CHUNK = 1 << 20
FOLDERS = (
    "blobs/sha256", "debs", "index", "layers", "licences", "locks", "lockfiles", "ok", "rootfs",
    "roots", "tmp",
)  # fmt: skip
ABANDONED_S = 3600
"""Younger scratch is left alone: its maker may not have locked it yet."""


class Blob(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    size: int


class Store:
    """Files whose name is the hash of their content; several processes may use it at once.

    A file appears under its name only when it is whole and on the disk (written elsewhere, synced,
    then renamed), so that an interrupted build leaves nothing but rubbish under `tmp/`, which the
    next one clears away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in FOLDERS:
            (path / folder).mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the store's lock `name`: two builds never make the same thing at once."""
        with (self.path / "locks" / name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Keep `rackform gc` out while something is made; builds don't keep each other out."""
        with (self.path / "locks" / "gc").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Hold the store alone.

        Raises:
            RackformError: something is being made in it.

        """
        with (self.path / "locks" / "gc").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RackformError(
                    f"something is being built in {self.path}: run this again when it is done"
                ) from None
            yield

    @contextlib.contextmanager
    def scratch(self, purpose: str) -> Iterator[Path]:
        """Give a folder for unfinished work, gone afterwards; it is locked while it is used."""
        self.sweep()
        folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self.path / "tmp"))
        folder.chmod(0o755)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield folder
        finally:
            os.close(handle)
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what builds that were killed have left: old scratch that nobody holds."""
        for path in (self.path / "tmp").iterdir():
            with contextlib.suppress(OSError):  # it is in use, or gone
                if time.time() - path.stat().st_mtime < ABANDONED_S:
                    continue
                handle = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(handle)

    def need(self, size_bytes: int) -> None:
        """Refuse to begin what can't be finished.

        Raises:
            RackformError: the disk has less left than this.

        """
        if shutil.disk_usage(self.path).free < size_bytes:
            raise _full(self.path)

    def put(self, data: bytes) -> Blob:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self.blob(digest).exists() or self.problem(digest):
            self.write(self.blob(digest), data)
        self._mark(digest)
        return Blob(digest=digest, size=len(data))

    def take(self, file: Path, digest: str) -> Blob:
        """Move a finished file into the store under the digest that its writer computed."""
        self.move(file, self.blob(digest))
        self._mark(digest)
        return Blob(digest=digest, size=self.blob(digest).stat().st_size)

    def move(self, file: Path, target: Path) -> None:
        """Give a finished file its name, once its bytes are on the disk."""
        file.chmod(0o644)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        file.replace(target)
        _sync_folder(target.parent)

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
        self.write(self.path / folder / f"{key}.json", text.encode())

    def write(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        handle, name = tempfile.mkstemp(dir=self.path / "tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _mark(self, digest: str) -> None:
        """Remember that a blob was checked; a mark that is lost is only checked again."""
        path = self.blob(digest)
        mark = self.path / "ok" / path.name
        temporary = mark.with_suffix(f".{os.getpid()}")
        temporary.write_text(_stamp(path))
        temporary.replace(mark)


@contextlib.contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Turn a full disk, met by us or by a tool that we run, into the sentence that tells of it."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise _full(path) from None
    except RackformError as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise _full(path) from None


def _full(path: Path) -> RackformError:
    free = shutil.disk_usage(path).free / 1e6
    return RackformError(
        f"the disk of {path} is full ({free:.0f} MB free): free some ('./rackform gc' clears what "
        "nothing needs), or set RACKFORM_STORE to a folder on a larger disk, then run this again"
    )


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    with path.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def hash_of(*parts: object) -> str:
    """Return the hash that names what these inputs make (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
