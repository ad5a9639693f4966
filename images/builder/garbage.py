"""What of a store nothing needs any more."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from images.builder import index, layout, lock_model, oci
from images.builder.bundle import EMPTY
from images.builder.index import Indexed
from images.builder.lock_model import Lock
from images.builder.oci import read_layer
from images.builder.recipe import tools_folder
from images.builder.store import Store, remove
from remote.errors import RackformError


@dataclass
class Needed:
    """What is to be kept."""

    images: set[str] = field(default_factory=set)
    """Input hashes."""
    digests: set[str] = field(default_factory=set)
    """Manifests that are needed whether or not the index knows them."""
    image_ids: set[str] = field(default_factory=set)
    """Of running containers."""
    models: set[str] = field(default_factory=set)
    """Names of folders under `models`."""
    revisions: set[str] = field(default_factory=set)
    """Of model files and snapshots."""
    everything: bool = False
    """Somebody's generations can't be read from here: no image and no model goes."""


@dataclass(frozen=True)
class Garbage:
    kind: str
    path: Path
    size_bytes: int
    """What its removal frees: hard links that others hold are not counted."""


def find(store: Store, needed: Needed) -> list[Garbage]:
    """Return what can go, in the order in which it may be removed at any interruption."""
    known = index.everything(store.path)
    kept = {
        key: image
        for key, image in known.items()
        if needed.everything or key in needed.images or image.digest in needed.digests
        or image.image_id in needed.image_ids
    }  # fmt: skip
    images = list(kept.values())
    locks = [lock for image in images if (lock := lock_model.recall(image.lock_sha256, store.path))]
    digests = needed.digests | {image.digest for image in images}
    blobs = _blobs(store, images, digests)
    paths = [
        *_except(store, "index", "index", {f"{key}.json" for key in kept}),
        *_layer_records(store, blobs),
        *_except(store, "lockfiles", "index", {f"{image.lock_sha256}.json" for image in images}),
        *_except(store, "blobs/sha256", "layers", blobs),
        *_except(store, "ok", "index", blobs),
        *_except(store, "debs", "packages", _packages(locks)),
        *_except(store, "rootfs", "unpacked images", _folders(digests, blobs, locks)),
        *_except(store, "docker-seeds", "unpacked images", set(map(_hex, digests))),
        *_except(store, "wheels", "packages", set()),
    ]
    if not needed.everything:
        paths += _except(store, "models", "models", needed.models)
        paths += _except(store, "files", "models", needed.revisions)
        paths += [
            ("models", revision)
            for folder in _entries(store, "snapshots")
            for revision in folder.iterdir()
            if revision.name not in needed.revisions
        ]
    return [as_garbage(kind, path) for kind, path in paths]


def as_garbage(kind: str, path: Path) -> Garbage:
    return Garbage(kind, path, _freed(path))


def collect(store: Store, garbage: list[Garbage]) -> None:
    """Remove what `find` found."""
    for each in garbage:
        remove(each.path)
    store.sweep()
    layout.write(store)


def _blobs(store: Store, images: list[Indexed], digests: set[str]) -> set[str]:
    found = set(digests)
    for image in images:
        found |= {image.image_id, *(layer.digest for layer in image.layers)}
        if image.sbom and image.sbom_manifest:
            found |= {image.sbom, image.sbom_manifest, EMPTY}
    for digest in digests:
        try:
            manifest = oci.read_manifest(digest, store)
        except RackformError:  # it is gone: nothing of it can be kept
            continue
        found |= {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
    return set(map(_hex, found))


def _layer_records(store: Store, blobs: set[str]) -> Iterator[tuple[str, Path]]:
    for path in _entries(store, "layers"):
        layer = read_layer(path.read_text(encoding="utf-8"))
        if layer is None or _hex(layer.digest) not in blobs:
            yield "index", path


def _packages(locks: list[Lock]) -> set[str]:
    return {package.file_name for lock in locks for package in [*lock.debian, *lock.tools]}


def _folders(digests: set[str], blobs: set[str], locks: list[Lock]) -> set[str]:
    """Return the unpacked root file systems that stay: of images, of base layers, of tools."""
    tools = {tools_folder(lock) for lock in locks if lock.tools}
    return set(map(_hex, digests)) | {f"layer-{blob}" for blob in blobs} | tools


def _except(store: Store, folder: str, kind: str, keep: set[str]) -> Iterator[tuple[str, Path]]:
    for path in _entries(store, folder):
        if path.name not in keep:
            yield kind, path


def _entries(store: Store, folder: str) -> list[Path]:
    there = store.path / folder
    return sorted(there.iterdir()) if there.is_dir() else []


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _freed(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return _blocks(path)
    return sum(_blocks(Path(folder, name)) for folder, _, files in os.walk(path) for name in files)


def _blocks(path: Path) -> int:
    status = path.lstat()
    return status.st_blocks * 512 if status.st_nlink == 1 else 0
