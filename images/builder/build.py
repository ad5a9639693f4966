"""From a lock to an image in the store, or to the one that the store holds already."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from images.builder import apt, declaration, layout, lock_model, oci, resolve, upstream
from images.builder.declaration import Definition
from images.builder.index import Indexed, indexed
from images.builder.lock_model import Lock
from images.builder.oci import Layer
from images.builder.recipe import FORMATS, Progress, Recipe
from images.builder.store import Store, hash_of, told_when_full
from remote.errors import RackformError
from stack.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Built:
    input_hash: str
    """Hash of what it was made from: its key in the store's index."""
    digest: str
    """sha256 of the manifest: what a node pulls."""
    image_id: str
    """sha256 of the configuration: what Docker calls the image's ID."""
    size_bytes: int
    seconds: float
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a build would make: known without building."""

    input_hash: str
    digest: str | None
    """None as long as this store has not built it."""
    image_id: str | None
    packages: dict[str, str]
    files: dict[str, str]
    lock_sha256: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a build may look beside the repository and the machine's package sources."""

    locks: Path | None = None
    """Folder for a lock made on this machine in case nobody has the locked packages any more;
    without it, that is an error."""
    snapshot: str | None = None
    """Address of an archive of all Debian packages there ever were."""
    pinned: str | None = None
    """Input hash of an image of an earlier generation: that one is taken, whatever is declared."""
    warn: Callable[[str], None] | None = None
    """Told what the user should know, if given, instead of `progress`."""


NOWHERE = Sources()


def expected(name: str, variant: str, store: Path, sources: Sources = NOWHERE) -> Expected:
    """Tell what `build` would make, from the declaration, the lock and the store's index."""
    if sources.pinned:
        held = _pinned(name, variant, sources.pinned, store)
        return Expected(
            input_hash=sources.pinned, digest=held.digest, image_id=held.image_id,
            packages=held.packages, files=held.files, lock_sha256=held.lock_sha256,
        )  # fmt: skip
    definition = declaration.load(name, variant)
    lock = lock_model.read(definition, store=store, replaced_by=sources.locks)
    key = input_hash(definition, lock)
    found = indexed(store, key)
    return Expected(
        input_hash=key,
        digest=found.digest if found else None,
        image_id=found.image_id if found else None,
        packages=lock.packages(),
        files=definition.files,
        lock_sha256=lock.sha256,
    )


def build(
    name: str, variant: str, store: Path, progress: Progress, sources: Sources = NOWHERE
) -> Built:
    """Make an image from its lock, or find it made.

    Args:
        name: folder under `images/`.
        variant: one of the declaration's.
        store: where blobs, packages and the index are kept.
        progress: told in words what is being done.
        sources: where else to look.

    Raises:
        InputError: the declaration is wrong, or the lock is missing, stale or tampered.
        RackformError: a package can't be had as it was locked, or the disk is full.

    """
    started = time.monotonic()
    with told_when_full(store):
        held = Store(store)
        with held.used():
            key, found = _find_or_make(name, variant, held, progress, sources)
    return Built(
        input_hash=key,
        digest=found.digest,
        image_id=found.image_id,
        size_bytes=sum(layer.size_bytes for layer in found.layers),
        seconds=time.monotonic() - started,
        layers=tuple(found.layers),
    )


def _find_or_make(
    name: str, variant: str, store: Store, progress: Progress, sources: Sources
) -> tuple[str, Indexed]:
    if sources.pinned:
        found = _pinned(name, variant, sources.pinned, store.path)
        if wrong := check(found.digest, store.path):
            raise _not_rebuilt(name, variant, "; ".join(wrong))
        return sources.pinned, found.all_cached()
    definition = declaration.load(name, variant)
    lock = lock_model.read(definition, store=store.path, replaced_by=sources.locks)
    key = input_hash(definition, lock)
    if known := _whole(key, store):
        return key, known.all_cached()
    lock = _obtainable(definition, lock, store, progress, sources)
    key = input_hash(definition, lock)
    with store.locked(f"image-{key}"):
        if known := _whole(key, store):  # another build made it while this one waited
            return key, known.all_cached()
        found = _make(definition, lock, store, progress)
        lock_model.remember(lock, store)
        store.write_json("index", key, found.all_cached().model_dump_json() + "\n")
    layout.write(store)
    return key, found


def _whole(key: str, store: Store) -> Indexed | None:
    """Return the image made from these inputs if all of it is in the store as it was made."""
    known = indexed(store.path, key)
    if known is None or check(known.digest, store.path):
        return None
    beside = [blob for blob in (known.sbom, known.sbom_manifest) if blob]
    return None if any(store.problem(blob) for blob in beside) else known


def _make(definition: Definition, lock: Lock, store: Store, progress: Progress) -> Indexed:
    spec, keys = definition.spec, list[str]()
    if spec.upstream and lock.upstream:
        progress(f"{definition.name}: fetching {spec.upstream.repository}@{lock.upstream.digest}")
        digest = lock.upstream.digest
        image_id, layers = upstream.fetch(spec.upstream, lock.upstream, store)
    elif spec.debian:
        recipe = Recipe(definition, spec.debian, lock, store, progress)
        layers, keys = recipe.layers(), recipe.keys
        digest, image_id = oci.put_image(store, definition, layers)
    else:
        raise InputError(f"images/{definition.name} has a lock of another kind: lock it again")
    sbom_manifest, document = _sbom(definition, digest, lock, layers, store)
    return Indexed(
        name=definition.name,
        variant=definition.variant,
        digest=digest,
        image_id=image_id,
        layers=layers,
        layer_keys=keys,
        lock_sha256=lock.sha256,
        packages=lock.packages(),
        files=definition.files,
        sbom=document,
        sbom_manifest=sbom_manifest,
    )


def _sbom(
    definition: Definition, digest: str, lock: Lock, layers: list[Layer], store: Store
) -> tuple[str | None, str | None]:
    if lock.upstream:
        return None, None
    from images.builder import sbom  # noqa: PLC0415 - a quarter of a second of every preview

    return sbom.attach(f"{definition.name}/{definition.variant}", digest, lock, layers, store)


def check(digest: str, store: Path) -> list[str]:
    """Say which blobs of an image are missing or altered."""
    held = Store(store)
    if wrong := held.problem(digest):
        return [f"manifest {digest} {wrong}"]
    try:
        manifest = oci.read_manifest(digest, held)
    except RackformError as error:
        return [str(error)]
    return [
        f"layer {blob.digest} of image {manifest.name} {wrong}"
        for blob in manifest.layers
        if (wrong := held.problem(blob.digest))
    ]


def input_hash(definition: Definition, lock: Lock) -> str:
    return hash_of(FORMATS, definition.checksum, lock.sha256)


def _pinned(name: str, variant: str, key: str, store: Path) -> Indexed:
    found = indexed(store, key)
    if found is None or (found.name, found.variant) != (name, variant):
        raise _not_rebuilt(name, variant, "the store has it no more")
    return found


def _not_rebuilt(name: str, variant: str, why: str) -> RackformError:
    return RackformError(
        f"image {name}/{variant} is pinned to an earlier generation's, but {why}: check out that "
        f"generation's commit and run './rackform build {name}', or give up the pin "
        "('pulumi config rm rackform:pinned')"
    )


def _obtainable(
    definition: Definition, lock: Lock, store: Store, progress: Progress, sources: Sources
) -> Lock:
    """Return the lock, or one that stands in for it if nobody has what it names any more."""
    debian = definition.spec.debian
    if debian is None:
        return lock
    needed = Recipe(definition, debian, lock, store, progress).needed()
    _, gone = apt.fetch(needed, debian.suite, store, progress, sources.snapshot)
    if not gone:
        return lock
    listed = ", ".join(f"{p.name} {p.version}" for p in gone)
    fresh = resolve.resolve(definition, store, progress, keep=lock)
    told = "; ".join(lock_model.difference(lock, fresh).lines()) or "the same versions, built anew"
    where = "no mirror and no snapshot mirror" if sources.snapshot else "no mirror"
    if sources.locks is None:
        raise RackformError(
            f"{where} has these packages of image {definition.name} any more: {listed}: lock again "
            f"('./rackform lock {definition.name}'), which would change: {told}"
        )
    (sources.warn or progress)(
        f"warning: {where} has these locked packages of image {definition.name} any more: {listed}."
        f" This machine goes on with a lock of its own, in {sources.locks}, which changes: {told}"
    )
    lock_model.write_local(sources.locks, definition, lock, fresh)
    return fresh
