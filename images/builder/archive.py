"""An image of the store as a folder, or as the stream that `docker load` reads."""

import contextlib
import io
import json
import tarfile
from pathlib import Path
from typing import BinaryIO

from images.builder import oci, rootfs
from images.builder.layers import EPOCH
from images.builder.store import Store


def unpack(digest: str, store: Store) -> Path:
    """Unpack an image's layers once; several processes may ask at the same time."""
    manifest = oci.read_manifest(digest, store)
    folder = store.path / "rootfs" / digest.removeprefix("sha256:")
    with store.locked(f"rootfs-{folder.name}"):
        if not folder.exists():
            with store.scratch("rootfs") as work, contextlib.ExitStack() as stack:
                root = work / "root"
                root.mkdir()
                root.chmod(0o755)
                layers = [stack.enter_context(store.open(blob.digest)) for blob in manifest.layers]
                rootfs.unpack_layers(layers, root)
                root.rename(folder)
    return folder


def docker_archive(digest: str, store: Store, out: BinaryIO) -> None:
    """Write what `docker save` would: Docker 20.10 reads no OCI layout."""
    manifest = oci.read_manifest(digest, store)
    tag = f"rackform/{manifest.name}:{digest.removeprefix('sha256:')[:12]}"
    config_name = f"{manifest.config.digest.removeprefix('sha256:')}.json"
    names = [f"{blob.digest.removeprefix('sha256:')}/layer.tar" for blob in manifest.layers]
    listing = json.dumps([{"Config": config_name, "RepoTags": [tag], "Layers": names}]).encode()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar:
        with store.open(manifest.config.digest) as handle:
            tar.addfile(_entry(config_name, manifest.config.size), handle)
        for name, blob in zip(names, manifest.layers, strict=True):
            with store.open(blob.digest) as handle:
                tar.addfile(_entry(name, blob.size), handle)
        tar.addfile(_entry("manifest.json", len(listing)), io.BytesIO(listing))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, EPOCH, 0o644
    return entry
