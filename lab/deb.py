"""A Debian package made from a few files: an ar of two tar archives (deb(5)), nothing compressed.

The same package and files give the same bytes.
"""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_MAGIC = b"!<arch>\n"


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    target: str


def package(control: Mapping[str, str], files: Mapping[str, File | Link]) -> bytes:
    """Return a .deb of `control`'s fields and of files by path, without a leading slash."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar": _tar({"control": File(paragraph(control).encode())}),
        "data.tar": _tar(files),
    }
    return _MAGIC + b"".join(_member(name, content) for name, content in members.items())


def paragraph(fields: Mapping[str, str]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def _tar(files: Mapping[str, File | Link]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in sorted({str(p) for path in files for p in PurePosixPath(path).parents}):
            tar.addfile(_entry("./" if folder == "." else f"./{folder}/", tarfile.DIRTYPE, 0o755))
        for path, file in sorted(files.items()):
            if isinstance(file, Link):
                entry = _entry(f"./{path}", tarfile.SYMTYPE, 0o777)
                entry.linkname = file.target
                tar.addfile(entry)
            else:
                entry = _entry(f"./{path}", tarfile.REGTYPE, file.mode)
                entry.size = len(file.content)
                tar.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    entry.uname = entry.gname = "root"
    return entry
