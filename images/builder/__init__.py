"""Images from locks: bit for bit the same on any machine, without a daemon."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from images.builder import archive, declaration, lock_model, oci
from images.builder import resolve as resolving
from images.builder.build import Built, Expected, build, check, expected
from images.builder.declaration import names, variants
from images.builder.lock_model import LockChange
from images.builder.oci import Layer, Manifest
from images.builder.store import Store

__all__ = [
    "Built",
    "Expected",
    "Layer",
    "LockChange",
    "Manifest",
    "build",
    "check",
    "docker_archive",
    "expected",
    "lock",
    "manifest",
    "names",
    "push",
    "unpack",
    "variants",
]


def lock(name: str, variant: str, store: Path, progress: Callable[[str], None]) -> LockChange:
    """Resolve a declaration anew and write its lock (`./rackform lock NAME`)."""
    definition = declaration.load(name, variant)
    return lock_model.write(definition, resolving.resolve(definition, Store(store), progress))


def manifest(digest: str, store: Path) -> Manifest:
    return oci.read_manifest(digest, Store(store))


def unpack(digest: str, store: Path) -> Path:
    """Return the unpacked root file system of an image, made once; treat it as read-only."""
    return archive.unpack(digest, Store(store))


def docker_archive(digest: str, store: Path, out: BinaryIO) -> None:
    """Write an image as the stream that `docker load` reads."""
    archive.docker_archive(digest, Store(store), out)


def push(  # noqa: PLR0913, PLR0917 - a registry's address and login are five values
    digest: str,
    store: Path,
    registry: str,
    ca: str,
    user: str,
    password: str,
    progress: Callable[[str], None] | None = None,
    *,
    repository: str | None = None,
) -> str:
    """Put an image into a registry and return the reference by which a node pulls it.

    Args:
        digest: the image's manifest in the store.
        store: the store.
        registry: `host:port`; TLS with a certificate signed by `ca`.
        ca: the certificate authority, PEM.
        user: basic authentication.
        password: basic authentication; it is sent, never logged.
        progress: told of each layer.
        repository: name in the registry; the image's own name if not given.

    """
    from images.builder import upload  # noqa: PLC0415 - half a second of every preview

    return upload.push(
        Store(store), digest, upload.Target(registry, ca, user, password), progress, repository
    )
