"""A small image made from two packages of the test's own, without root and without a mirror."""

import os
import subprocess
from pathlib import Path

import pytest

from images.builder import declaration, lock_model
from images.builder.lock_model import DebianPackage, Lock
from images.builder.store import Store, hash_file

TOML = """
cmd = ["hello"]

[debian]
method = "extract"
packages = ["hello"]

[user]
name = "hello"
uid = 999

[folders]
"/data" = 999

[files]
"files/hello.conf" = "/etc/hello.conf"
"""


def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Declare the image `small` in a folder of its own and return that folder."""
    folder = tmp_path / "images" / "small"
    (folder / "files").mkdir(parents=True)
    (folder / "image.toml").write_text(TOML)
    (folder / "files" / "hello.conf").write_text("greeting = hello\n")
    monkeypatch.setattr(declaration, "IMAGES", tmp_path / "images")
    return folder


def lock(store: Path, work: Path, version: str = "1.0") -> Lock:
    """Make the package, put it into the store and lock the image to it."""
    package = _package(Store(store), work, version)
    definition = declaration.load("small", "default")
    made = Lock(definition=definition.checksum, declared=definition.declared, debian=[package])
    lock_model.write(definition, made, Store(store))
    return made


def _package(store: Store, work: Path, version: str) -> DebianPackage:
    root = work / f"hello-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/share/doc/hello").mkdir(parents=True)
    (root / "usr/share/doc/hello/README").write_text("left out\n")
    (root / "usr/bin/hello").write_text(f"#!/bin/sh\necho {version}\n")
    (root / "usr/bin/hello").chmod(0o755)
    (root / "DEBIAN/control").write_text(
        f"Package: hello\nVersion: {version}\nArchitecture: amd64\nMaintainer: none\n"
        "Description: says hello\n"
    )
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    built = work / "hello.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(root), str(built)],
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    package = DebianPackage(
        name="hello",
        version=version,
        arch="amd64",
        sha256=hash_file(built).removeprefix("sha256:"),
        size=built.stat().st_size,
    )
    built.replace(store.path / "debs" / package.file_name)
    return package
