"""Images from locks: bit for bit the same on any machine, without a daemon."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from images.builder import apt, archive, declaration, index, lock_model, oci, repository
from images.builder import bundle as bundling
from images.builder import resolve as resolving
from images.builder.build import Built, Expected, Sources, build, check, expected
from images.builder.bundle import write as bundle
from images.builder.declaration import names, variants
from images.builder.garbage import Garbage, Needed, as_garbage
from images.builder.garbage import collect as remove_garbage
from images.builder.garbage import find as garbage
from images.builder.lock_model import Lock, LockChange
from images.builder.oci import Layer, Manifest
from images.builder.roots import Root, register_checkout, registered
from images.builder.store import Store, told_when_full
from remote.errors import RackformError

__all__ = [
    "Built",
    "Expected",
    "Garbage",
    "Layer",
    "Lock",
    "LockChange",
    "Manifest",
    "Needed",
    "Root",
    "Sources",
    "as_garbage",
    "build",
    "bundle",
    "check",
    "collecting",
    "docker_archive",
    "expected",
    "garbage",
    "lock",
    "locked",
    "manifest",
    "names",
    "package_folder",
    "push",
    "recall",
    "register_checkout",
    "registered",
    "remove_garbage",
    "sbom_document",
    "size_bytes",
    "stored_files",
    "told_when_full",
    "unpack",
    "variants",
]


def lock(
    name: str,
    variant: str,
    store: Path,
    progress: Callable[[str], None],
    upgrade: Sequence[str] = (),
) -> LockChange:
    """Resolve a declaration and write its lock (`./rackform lock NAME`).

    Versions stay as they were locked where they still fit; `upgrade` holds name patterns of the
    packages that are chosen anew all the same.
    """
    definition = declaration.load(name, variant)
    held = Store(store)
    with told_when_full(store), held.used():
        before = lock_model.last(definition)
        fresh = resolving.resolve(definition, held, progress, before, upgrade)
        return lock_model.write(definition, fresh, held)


def locked(name: str, variant: str) -> Lock | None:
    """Return the lock as it stands, however old; None where there is none that is whole."""
    return lock_model.last(declaration.load(name, variant))


def recall(sha256: str, name: str, variant: str, store: Path) -> Lock | None:
    """Return the lock with this checksum: the repository's, or one that the store has met."""
    current = locked(name, variant) if name in names() and variant in variants(name) else None
    if current and current.sha256 == sha256:
        return current
    return lock_model.recall(sha256, store)


def size_bytes(digest: str, store: Path) -> int:
    """Return the size of an image of the store, its layers unpacked as they are kept."""
    return sum(layer.size for layer in oci.read_manifest(digest, Store(store)).layers)


def sbom_document(input_hash: str, store: Path) -> str | None:
    """Return the CycloneDX document of an image of the store; None for one without."""
    found = index.indexed(store, input_hash)
    if found is None or found.sbom is None:
        return None
    with Store(store).open(found.sbom) as handle:
        return handle.read().decode()


def package_folder(
    name: str, variant: str, store: Path, progress: Callable[[str], None], sources: Sources
) -> list[tuple[str, Path]]:
    """Return an image's Debian packages as a folder that apt reads: name → file.

    Raises:
        RackformError: one of them can't be had any more.

    """
    definition = declaration.load(name, variant)
    lock = lock_model.read(definition, store=store, replaced_by=sources.locks)
    held = Store(store)
    assert definition.spec.debian is not None  # noqa: S101 - only such an image is asked for
    debs, gone = apt.fetch(
        lock.debian, definition.spec.debian.suite, held, progress, sources.snapshot
    )
    if gone:
        raise RackformError(
            f"no mirror has {gone[0].name} {gone[0].version} any more: lock again "
            f"('./rackform lock {name}')"
        )
    listing = held.put(repository.listing(lock.debian, debs))
    files = [(repository.file_name(package), debs[package.name]) for package in lock.debian]
    return [*files, ("Packages", held.blob(listing.digest))]


def stored_files(input_hash: str, store: Path) -> list[tuple[str, Path]]:
    """Return what of the store one image is made of: path in the store → file."""
    return bundling.stored_files(input_hash, Store(store))


@contextmanager
def collecting(store: Path) -> Iterator[Store]:
    """Hold the store alone for as long as the block runs; refused while something is made."""
    held = Store(store)
    with held.collected():
        yield held


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
