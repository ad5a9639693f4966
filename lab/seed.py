"""Images put into the hosts' Docker Engines without a pull: the layers are hard links to one copy.

The layers of an image are unpacked once into `STORE/docker-seeds/DIGEST`. A host gets them, laid
out as Docker Engine (overlay2) lays out its own, as hard links while its dockerd is down; a `docker
pull` of the same digest then asks the registry for the manifest and finds the rest there. Layers
are only read below a container, so that sharing their inodes is safe. What is missing for an image
that did not come over the wire is the record to pack its layers again: `docker save` of it fails.
"""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from lab.layout import Twin
from lab.shell import remove_tree, run
from remote.errors import RackformError

OPAQUE, WHITEOUT = ".wh..wh..opq", ".wh."


class _Descriptor(BaseModel):
    digest: str


class _Manifest(BaseModel):
    config: _Descriptor
    layers: list[_Descriptor]


class _RootFs(BaseModel):
    type: Literal["layers"]
    diff_ids: list[str]


class _Config(BaseModel):
    rootfs: _RootFs


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """Return the names of layers with all that is below them (OCI image specification, ChainID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        text = f"{chain[-1]} {diff_id}" if chain else ""
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        chain.append(digest if chain else diff_id)
    return chain


def cache_id(chain_id: str) -> str:
    return hashlib.sha256(f"rackform {chain_id}".encode()).hexdigest()


def link_id(chain_id: str) -> str:
    """Return the short name of a layer: 26 characters, as overlay2 makes them at random."""
    return base64.b32encode(hashlib.sha256(chain_id.encode()).digest()).decode()[:26]


def lower(links: Sequence[str]) -> str:
    """Return a layer's `lower` file: the short names of what is below it, the nearest first."""
    return ":".join(f"l/{name}" for name in reversed(links))


def make(twin: Twin, digest: str) -> Path:
    """Unpack an image of the store for seeding, once; return its folder."""
    folder = twin.store / "docker-seeds" / _hex(digest)
    with twin.locked("seeds"):
        if folder.exists():
            return folder
        manifest = _Manifest.model_validate_json(_blob(twin, digest).read_bytes())
        raw = _blob(twin, manifest.config.digest).read_bytes()
        diff_ids = _Config.model_validate_json(raw).rootfs.diff_ids
        work = folder.with_name(f".{folder.name}.{os.getpid()}")
        remove_tree(work)
        chain = chain_ids(diff_ids)
        for index, (layer, diff_id) in enumerate(zip(manifest.layers, diff_ids, strict=True)):
            size = _unpack(_blob(twin, layer.digest), work / cache_id(chain[index]))
            record = work / "layerdb" / _hex(chain[index])
            record.mkdir(parents=True)
            (record / "cache-id").write_text(cache_id(chain[index]))
            (record / "diff").write_text(diff_id)
            (record / "size").write_text(str(size))
            if index:
                (record / "parent").write_text(chain[index - 1])
        (work / "config.json").write_bytes(raw)
        (work / "image.json").write_text(
            json.dumps({"image_id": manifest.config.digest, "chain": chain})
        )
        work.rename(folder)
    return folder


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _blob(twin: Twin, digest: str) -> Path:
    path = twin.store / "blobs" / "sha256" / _hex(digest)
    if not path.is_file():
        raise RackformError(f"the store {twin.store} lacks {digest}: build the image first")
    return path


def _unpack(blob: Path, target: Path) -> int:
    """Unpack a layer, its deletions as overlayfs has them; return the size of its files."""
    target.mkdir(parents=True)
    with blob.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    run(
        ["tar", "-x", *(["-z"] if packed else []), "-p", "--numeric-owner", "--same-owner",
         "--xattrs", "--xattrs-include=*", "-f", blob, "-C", target],
        purpose=f"unpack the layer {blob.name[:12]}",
        timeout_s=600,
    )  # fmt: skip
    size = 0
    for folder, _, files in os.walk(target):
        for name in files:
            path = Path(folder, name)
            if name == OPAQUE:
                path.unlink()
                os.setxattr(folder, "trusted.overlay.opaque", b"y")
            elif name.startswith(WHITEOUT):
                path.unlink()
                os.mknod(path.with_name(name.removeprefix(WHITEOUT)), 0o020000, 0)
            else:
                size += path.lstat().st_size
    return size


def prefill(twin: Twin, name: str, digests: Sequence[str]) -> list[str]:
    """Put images into the Docker Engine of a host whose dockerd is down.

    Returns:
        The digests that it could not put there, for these to be pulled: not in the store, or the
        store is on another file system.

    """
    left = []
    for digest in digests:
        try:
            done = _link(make(twin, digest), twin.node(name) / "docker")
        except RackformError:
            done = False
        if not done:
            left.append(digest)
    return left


def _link(seed: Path, docker: Path) -> bool:
    """Give what `seed` holds to a Docker Engine's folder; false: on another file system."""
    if seed.stat().st_dev != docker.stat().st_dev:
        return False
    image = json.loads((seed / "image.json").read_text())
    store = docker / "image" / "overlay2"
    for folder, mode in ((docker / "overlay2", 0o710), (docker / "image", 0o700)):
        folder.mkdir(mode=mode, exist_ok=True)
    for folder in (
        docker / "overlay2/l",
        store / "layerdb/sha256",
        store / "imagedb/content/sha256",
    ):
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    links: list[str] = []
    for chain_id in image["chain"]:
        record = store / "layerdb/sha256" / _hex(chain_id)
        if not record.exists():
            _link_layer(seed, docker, chain_id, links)
            partial = record.with_name(f".{record.name}")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(seed / "layerdb" / _hex(chain_id), partial)
            partial.rename(record)
        owner = docker / "overlay2" / (record / "cache-id").read_text()
        links.append((owner / "link").read_text())
    content = store / "imagedb/content/sha256" / _hex(image["image_id"])
    if not content.exists():
        shutil.copyfile(seed / "config.json", content)
    return True


def _link_layer(seed: Path, docker: Path, chain_id: str, links: Sequence[str]) -> None:
    layer = docker / "overlay2" / cache_id(chain_id)
    remove_tree(layer)
    layer.mkdir(mode=0o710)
    run(
        ["cp", "-al", "--", seed / cache_id(chain_id), layer / "diff"],
        purpose=f"share the layer {chain_id[7:19]}",
        timeout_s=300,
    )
    (layer / "link").write_text(link_id(chain_id))
    (layer / "committed").touch()
    if links:
        (layer / "lower").write_text(lower(links))
        (layer / "work").mkdir(mode=0o700)
    short = docker / "overlay2/l" / link_id(chain_id)
    short.unlink(missing_ok=True)
    short.symlink_to(f"../{layer.name}/diff")


def has(twin: Twin, name: str, digest: str) -> bool:
    """Say whether the host's Docker Engine holds the image of this manifest of the store."""
    try:
        manifest = _Manifest.model_validate_json(_blob(twin, digest).read_bytes())
    except RackformError:
        return False
    content = twin.node(name) / "docker/image/overlay2/imagedb/content/sha256"
    return (content / _hex(manifest.config.digest)).exists()
