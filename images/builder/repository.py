"""A folder of Debian packages with the index that apt reads of it."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from images.builder.lock_model import DebianPackage


def listing(packages: Iterable[DebianPackage], debs: Mapping[str, Path]) -> bytes:
    """Return the text of `Packages` over these packages."""
    stanzas = [
        f"{control(debs[package.name])}\nFilename: ./{file_name(package)}\n"
        f"Size: {package.size}\nSHA256: {package.sha256}\n"
        for package in packages
    ]
    return "\n".join(stanzas).encode()


def file_name(package: DebianPackage) -> str:
    """Return a package's file name without '%', which apt would take for an escape."""
    return package.file_name.replace("%", "_")


def control(deb: Path) -> str:
    """Return what a package says of itself."""
    return subprocess.run(
        ["dpkg-deb", "--field", str(deb)], check=True, capture_output=True, text=True
    ).stdout.rstrip()
