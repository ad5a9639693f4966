"""Layers as plain deterministic tar files: sorted, owned by root, one time for every file."""

import hashlib
import io
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from typing_extensions import Buffer

CHUNK = 1 << 20
EPOCH = 1_700_000_000
"""The time of every file, SOURCE_DATE_EPOCH: any constant will do."""


NET_BIND_SERVICE = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
"""The kernel's vfs_cap_data, version 2: effective, permitted = bit 10, nothing inheritable."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    uid: int = 0
    mode: int | None = None
    """None: 0755 for folders and what its owner may execute, 0644 for the rest."""
    bind_low_ports: bool = False
    """The file capability CAP_NET_BIND_SERVICE."""


class HashingWriter(io.RawIOBase):
    """A file that knows the sha256 of what was written to it."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._hash = hashlib.sha256()
        self._given_up = False

    def write(self, data: Buffer) -> int:
        if self._given_up:  # tarfile writes its end even when the disk has just been full
            return len(memoryview(data))
        self._hash.update(data)
        try:
            return self._handle.write(data)
        except OSError:
            self._given_up = True
            raise

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class LayerWriter:
    """Writes the entries of one layer; parents come before children, each once."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = HashingWriter(out)
        self._tar = tarfile.open(  # noqa: SIM115 - closed by close()
            fileobj=self.out,
            mode="w|",
            format=tarfile.GNU_FORMAT,
            bufsize=CHUNK,
        )
        self._tar.copybufsize = CHUNK  # type: ignore[attr-defined]  # not in typeshed
        self._folders: set[str] = set()
        self._owners: Mapping[str, Owner] = {}

    def close(self) -> str:
        """Finish the archive and return its digest."""
        self._tar.close()
        return self.out.digest

    def folder(self, path: str, owner: Owner | None = None) -> None:
        owner = owner or Owner()
        name = path.strip("/")
        if not name or name in self._folders:
            return
        self.folder(_parent(name))
        self._folders.add(name)
        entry = _entry(name, owner.uid)
        entry.type, entry.mode = tarfile.DIRTYPE, owner.mode or 0o755
        self._tar.addfile(entry)

    def link(self, path: str, target: str) -> None:
        self.folder(_parent(path))
        entry = _entry(path.strip("/"), 0)
        entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, target
        self._tar.addfile(entry)

    def file(self, path: str, source: Path, owner: Owner | None = None) -> None:
        owner = owner or Owner()
        self.folder(_parent(path))
        status = source.stat()
        entry = _entry(path.strip("/"), owner.uid)
        executable = status.st_mode & stat.S_IXUSR
        entry.mode = owner.mode or (0o755 if executable else 0o644)
        entry.size = status.st_size
        if owner.bind_low_ports:
            entry.pax_headers = {"SCHILY.xattr.security.capability": NET_BIND_SERVICE}
            self._tar.format = tarfile.PAX_FORMAT
        with source.open("rb") as handle:
            self._tar.addfile(entry, handle)
        self._tar.format = tarfile.GNU_FORMAT

    def tree(self, source: Path, target: str, owners: Mapping[str, Owner] | None = None) -> None:
        """Add what lies under `source` as `target`; `owners` are by path in the image."""
        self._owners = owners or {}
        self.folder(target)
        for child in sorted(source.iterdir()):
            self._add(child, f"{target.strip('/')}/{child.name}".strip("/"))

    def _add(self, path: Path, name: str) -> None:
        if path.is_symlink():
            self.link(name, str(path.readlink()))
        elif path.is_dir():
            self.folder(name)
            for child in sorted(path.iterdir()):
                self._add(child, f"{name}/{child.name}")
        else:
            self.file(name, path, self._owners.get(f"/{name}"))


def write_files(
    out: BinaryIO,
    folder: Path,
    files: Mapping[str, str],
    folders: Mapping[str, int],
    texts: Mapping[str, Path],
) -> str:
    """Write the layer of an image's own files and return its digest.

    Args:
        out: where the tar goes.
        folder: the image's folder.
        files: path in `folder` → path in the image.
        folders: empty folder in the image → its owner.
        texts: path in the image → generated file.

    """
    writer = LayerWriter(out)
    for path, uid in sorted(folders.items()):
        writer.folder(path, Owner(uid=uid))
    for target, source in sorted([(t, folder / s) for s, t in files.items()] + list(texts.items())):
        if source.is_dir():
            writer.tree(source, target)
        else:
            writer.file(target, source)
    return writer.close()


def _parent(path: str) -> str:
    parent = str(PurePosixPath(path.strip("/")).parent)
    return "" if parent == "." else parent


def _entry(name: str, uid: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mtime = EPOCH
    entry.uid = entry.gid = uid
    return entry
