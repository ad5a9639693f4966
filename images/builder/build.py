"""From a lock to an image in the store: layer by layer, each made once for the same inputs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from images.builder import apt, declaration, lock_model, oci, resolve, rootfs
from images.builder.declaration import Definition, Method
from images.builder.layers import write_files
from images.builder.lock_model import DebianPackage, Lock
from images.builder.oci import Layer
from images.builder.python_env import PythonLayers
from images.builder.store import Store, hash_of
from remote.errors import RackformError

FORMAT = 1
"""Raised when the builder makes other bytes from the same inputs, so that nothing stale is used."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Built:
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


class Indexed(BaseModel):
    """What the store remembers of a finished image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    image_id: str
    layers: list[Layer]


def expected(name: str, variant: str, store: Path, *, locks: Path | None = None) -> Expected:
    """Tell what `build` would make, from the declaration, the lock and the store's index."""
    definition = declaration.load(name, variant)
    lock = lock_model.read(definition, replaced_by=locks)
    key = _key(definition, lock)
    indexed = _indexed(store / "index" / f"{key}.json")
    return Expected(
        input_hash=key,
        digest=indexed.digest if indexed else None,
        image_id=indexed.image_id if indexed else None,
        packages=lock.packages(),
        files=definition.files,
        lock_sha256=lock.sha256,
    )


def build(
    name: str, variant: str, store: Path, progress: Progress, *, locks: Path | None = None
) -> Built:
    """Make an image from its lock, or find it made.

    Args:
        name: folder under `images/`.
        variant: one of the declaration's.
        store: where blobs, packages and the index are kept.
        progress: told in words what is being done.
        locks: folder for a lock made on this machine in case no mirror has the locked packages any
            more; without it, that is an error.

    Raises:
        RackformError: the lock is missing or stale, or a package can't be had as it was locked.

    """
    started = time.monotonic()
    definition = declaration.load(name, variant)
    lock = lock_model.read(definition, replaced_by=locks)
    held = Store(store)
    key = _key(definition, lock)
    indexed = _indexed(store / "index" / f"{key}.json")
    if indexed is None or check(indexed.digest, store):
        held.refuse_full_disk(_room(lock), f"building {name}/{variant}")
        lock = _obtainable(definition, lock, held, progress, locks)
        key = _key(definition, lock)
        with held.locked(f"image-{key}"):
            layers = _Builder(definition, lock, held, progress).layers()
            digest, image_id = oci.put_image(held, definition, layers)
            indexed = Indexed(digest=digest, image_id=image_id, layers=layers)
            held.write_json("index", key, indexed.model_dump_json() + "\n")
    return Built(
        digest=indexed.digest,
        image_id=indexed.image_id,
        size_bytes=sum(layer.size_bytes for layer in indexed.layers),
        seconds=time.monotonic() - started,
        layers=tuple(indexed.layers),
    )


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


def _room(lock: Lock) -> int:
    """Return how many bytes of disk a build takes: its packages, unpacked, packed, and to spare."""
    downloaded = sum(p.size for p in lock.debian) + sum(w.size for w in lock.wheels)
    return 4 * downloaded + 100_000_000


def _key(definition: Definition, lock: Lock) -> str:
    return hash_of(FORMAT, definition.checksum, lock.sha256)


def _indexed(path: Path) -> Indexed | None:
    try:
        return Indexed.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _obtainable(
    definition: Definition, lock: Lock, store: Store, progress: Progress, locks: Path | None
) -> Lock:
    """Return the lock, or one that stands in for it if the mirrors dropped what it names."""
    suite = definition.spec.debian.suite
    _, gone = apt.fetch([*lock.debian, *lock.tools], suite, store, progress)
    if not gone:
        return lock
    listed = ", ".join(f"{p.name} {p.version}" for p in gone)
    if locks is None:
        raise RackformError(
            f"no mirror has these packages of image {definition.name} any more: {listed}: "
            f"lock again ('./rackform lock {definition.name}')"
        )
    fresh = resolve.resolve(definition, store, progress)
    changed = lock_model.difference(lock, fresh).changed
    told = ", ".join(f"{name} {old} → {new}" for name, (old, new) in changed.items())
    progress(f"warning: locked packages of {definition.name} are gone, taking instead: {told}")
    lock_model.write_local(locks, definition, lock, fresh)
    return fresh


class _Builder:
    def __init__(
        self, definition: Definition, lock: Lock, store: Store, progress: Progress
    ) -> None:
        self.definition = definition
        self.spec = definition.spec
        self.lock = lock
        self.store = store
        self.progress = progress

    def layers(self) -> list[Layer]:
        base_key = hash_of(
            "debian", FORMAT, self.spec.debian.model_dump(mode="json", exclude={"packages"}),
            [p.sha256 for p in self.lock.debian],
            self.spec.bind_low_ports,
        )  # fmt: skip
        made = [self._layer("debian", base_key, self._debian)]
        if self.spec.python:
            python = PythonLayers(
                self.spec.python, self.lock.wheels, self.store, made[0].digest, self._tools
            )
            for group in python.groups():
                key = hash_of("python", FORMAT, base_key, group.inputs, self._tool_hashes())
                made.append(self._layer(group.name, key, group.write))
        if self.spec.files or self.spec.folders or self.spec.user:
            key = hash_of("files", FORMAT, self.definition.checksum)
            made.append(self._layer("files", key, self._files))
        return made

    def _layer(self, name: str, key: str, write: Callable[[Path], str]) -> Layer:
        """Return the layer made from the inputs that `key` is the hash of, making it if needed."""
        with self.store.locked(f"layer-{key}"):
            stored = self.store.read_json("layers", key)
            if stored:
                layer = Layer.model_validate_json(stored)
                wrong = self.store.problem(layer.digest)
                if not wrong:
                    return layer.model_copy(update={"name": name, "cached": True})
                self.progress(
                    f"layer {name} of {self.definition.name} ({layer.digest}) {wrong} in the "
                    "store: making it again"
                )
            started = time.monotonic()
            self.progress(f"{self.definition.name}: making layer {name}")
            with self.store.scratch("layer") as folder:
                tar = folder / "layer.tar"
                blob = self.store.take(tar, write(tar))
            layer = Layer(name=name, digest=blob.digest, size_bytes=blob.size, cached=False)
            self.store.write_json("layers", key, layer.model_dump_json() + "\n")
            self.progress(
                f"{self.definition.name}: layer {name} made in "
                f"{time.monotonic() - started:.1f} s ({blob.size / 1e6:.0f} MB)"
            )
            return layer

    def _debian(self, tar: Path) -> str:
        debian = self.spec.debian
        debs = self._debs(self.lock.debian)
        with self.store.scratch("debian") as work, tar.open("wb") as out:
            if debian.method is Method.INSTALL:
                return rootfs.install(debian, self.lock.debian, debs, work, out)
            rootfs.extract(debian, self.lock.debian, debs, work / "root")
            return rootfs.write_extracted(work / "root", out, self.spec.bind_low_ports)

    def _files(self, tar: Path) -> str:
        texts: dict[str, Path] = {}
        with self.store.scratch("files") as work, tar.open("wb") as out:
            if self.spec.user:
                user = self.spec.user
                entry = f"{user.name}:x:{user.uid}:"
                (work / "passwd").write_text(
                    f"root:x:0:0:root:/:/sbin/nologin\n{entry}{user.uid}::{user.home}:/sbin/nologin\n"
                )
                (work / "group").write_text(f"root:x:0:\n{entry}\n")
                texts = {"/etc/passwd": work / "passwd", "/etc/group": work / "group"}
            return write_files(
                out, self.definition.folder, self.spec.files, self.spec.folders, texts
            )

    def _tools(self) -> Path:
        """Return the unpacked tools of the builder, made once for the same packages."""
        folder = self.store.path / "rootfs" / f"tools-{hash_of(FORMAT, self._tool_hashes())[:16]}"
        with self.store.locked(folder.name):
            if not folder.exists():
                debian = self.spec.debian
                with self.store.scratch("tools") as work:
                    rootfs.extract(debian, self.lock.tools, self._debs(self.lock.tools), work / "r")
                    (work / "r").rename(folder)
        return folder

    def _tool_hashes(self) -> list[str]:
        return [p.sha256 for p in self.lock.tools]

    def _debs(self, packages: list[DebianPackage]) -> dict[str, Path]:
        found, gone = apt.fetch(packages, self.spec.debian.suite, self.store, self.progress)
        if gone:
            raise RackformError(f"{gone[0].name} {gone[0].version} can't be fetched any more")
        return found
