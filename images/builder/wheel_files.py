"""Whether an environment's files are those of its wheels, and whose where several have one."""

import base64
import csv
import hashlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name

from remote.errors import RackformError


class Unpack(Protocol):
    def __call__(self, package: str, folder: Path, *, cached: bool) -> None:
        """Unpack one wheel alone, as uv has it cached or downloaded anew."""


_Record = Mapping[str, str]
"""Path in the environment → its SHA-256, as a wheel's own record has it."""


def settle(target: Path, unpack: Unpack) -> None:
    """Leave in `target` what its wheels hold: of several, the last by name.

    uv unpacks wheels side by side, so of files with one name that of whichever was later stays. And
    it checks what it downloads, not what it cached, from where it links files: whoever edits an
    installed package edits them too.

    Raises:
        RackformError: a file is not what its wheel holds.

    """
    records = {_name(info): _record(info) for info in sorted(target.glob("*.dist-info"))}
    winners = _winners(records)
    for package, paths in _by_package(winners).items():
        _take(target, paths, package, unpack)
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda package: _altered(target, package, records, winners), records)
        altered = {package: paths for package, paths in zip(records, found, strict=True) if paths}
    if wrong := list(_confirmed(target, altered, unpack)):
        package = wrong[0].partition(":")[0]
        raise RackformError(
            f"{'; '.join(wrong)}: not what the wheel holds, so it was altered in uv's cache. Run "
            f"'.venv/bin/uv cache clean {package}', then this again"
        )


def _name(info: Path) -> str:
    return canonicalize_name(info.name.partition("-")[0])


def _record(info: Path) -> _Record:
    with (info / "RECORD").open(encoding="utf-8", newline="") as record:
        rows = [(name, *digest.partition("=")[::2]) for name, digest, _ in csv.reader(record)]
    return {name: digest for name, algorithm, digest in rows if algorithm == "sha256"}


def _winners(records: Mapping[str, _Record]) -> dict[str, str]:
    """Return path → package, of paths at which several wheels have different files."""
    claims = defaultdict[str, dict[str, str]](dict)
    for package, record in records.items():
        for path, digest in record.items():
            claims[path][package] = digest
    return {path: max(of) for path, of in claims.items() if len(set(of.values())) > 1}


def _by_package(winners: Mapping[str, str]) -> dict[str, list[str]]:
    paths = defaultdict[str, list[str]](list)
    for path, package in winners.items():
        paths[package].append(path)
    return paths


def _take(target: Path, paths: list[str], package: str, unpack: Unpack) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as alone:
        unpack(package, Path(alone), cached=True)
        for path in paths:
            (target / path).unlink()  # a link into uv's cache: never written through
            shutil.copy2(Path(alone) / path, target / path)


def _altered(
    target: Path, package: str, records: Mapping[str, _Record], winners: Mapping[str, str]
) -> list[str]:
    """Return the paths at which a package's files aren't as its record has them."""
    own = {
        path: of for path, of in records[package].items() if winners.get(path, package) == package
    }
    return [path for path, expected in own.items() if _digest(target / path) != expected]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _confirmed(target: Path, altered: Mapping[str, list[str]], unpack: Unpack) -> Iterator[str]:
    """Yield what differs from the wheel itself: some wheels have records that are wrong."""
    for package, paths in altered.items():
        with tempfile.TemporaryDirectory(dir=target.parent) as alone:
            unpack(package, Path(alone), cached=False)
            for path in paths:
                if _digest(target / path) != _digest(Path(alone) / path):
                    yield f"{package}: {path}"
