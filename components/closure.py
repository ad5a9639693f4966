"""A stack's closure: one hash over all that it will run, known before anything runs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.images import has_lock
from components.monitoring import GPU_IMAGE, IMAGE, gpu_nodes
from frontends.images import wanted
from images import builder
from models.prepare import kept_folder
from pyinfra_deploys.registry import DEPLOYS, sources
from stack.paths import ROOT, locks_dir, store_dir
from stack.schema import Site


@dataclass(frozen=True, kw_only=True)
class ClosureNode:
    """A thing that is run, with what it is made of; its hash covers all that is below it."""

    name: str
    hash: str
    """sha256:…"""
    size_bytes: int
    """What it takes: on the disk where that is known, else as it is downloaded."""
    note: str = ""
    children: tuple["ClosureNode", ...] = ()


def closure(site: Site, pins: Mapping[str, str]) -> ClosureNode:
    """Return the closure of a site: its settings, images, hosts' deploys and models.

    Images stand by the hash of what they are made from, which is known before they are built. The
    site holds no secrets: those are the `Credentials` resource's.

    Args:
        site: what is declared.
        pins: image/variant → input hash of the earlier generation's that is run instead.

    """
    settings = json.dumps(site.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return _branch(
        f"stack-{site.name}",
        ClosureNode(name="site", hash=_sha256(settings), size_bytes=len(settings.encode())),
        _branch("images", *(_image(*kind, pins) for kind in stack_images(site))),
        _branch("deploys", *map(_deploy, DEPLOYS)),
        _branch("models", *_models(site)),
    )


def stack_images(site: Site) -> list[tuple[str, str]]:
    """Return name and variant of every image that a site runs."""
    hosts = [("node", system.image_variant) for system in site.systems if site.twin]
    images = ["vllm", "redis", "registry", "edge"]
    images += wanted(site)
    if site.monitoring:
        images += [IMAGE, *([GPU_IMAGE] if gpu_nodes(site) and not site.twin else [])]
        images += ["grafana"] if has_lock("grafana") else []
    return [*hosts, *((image, image_variant(site, image)) for image in images)]


def image_variant(site: Site, image: str) -> str:
    """Return which variant of an image a site runs."""
    return site.vllm_variant.value if image == "vllm" else "default"


def verification_sources() -> str:
    """Return sha256 over the tests that verify hosts: when they change, they are run again."""
    files = sorted(Path(ROOT, "tests", "hosts").glob("*.py"))
    return _sha256(_text({path.name: path.read_text(encoding="utf-8") for path in files}))


def _image(image: str, variant: str, pins: Mapping[str, str]) -> ClosureNode:
    pinned = pins.get(f"{image}/{variant}")
    chosen = builder.Sources(locks=locks_dir(), pinned=pinned)
    expected = builder.expected(image, variant, store_dir(), chosen)
    lock = builder.recall(expected.lock_sha256, image, variant, store_dir())
    pins_of, sizes = (lock.pins(), lock.sizes()) if lock else ({}, {})
    children = tuple(
        ClosureNode(
            name=f"{name}-{version}",
            hash=f"sha256:{pins_of[name].rpartition(' ')[2].removeprefix('sha256:')}"
            if name in pins_of else _sha256(version),
            size_bytes=sizes.get(name, 0),
        )
        for name, version in expected.packages.items()
    ) + tuple(
        ClosureNode(name=path, hash=f"sha256:{digest}", size_bytes=0)
        for path, digest in expected.files.items()
    )  # fmt: skip
    built = expected.digest
    return ClosureNode(
        name=f"{image}/{variant}",
        hash=f"sha256:{expected.input_hash}",
        size_bytes=builder.size_bytes(built, store_dir())
        if built else sum(child.size_bytes for child in children),
        note=f"image {built}" if built else "not built on this machine",
        children=children,
    )  # fmt: skip


def _deploy(deploy: str) -> ClosureNode:
    files = Path(ROOT, "pyinfra_deploys", deploy).rglob("*")
    size = sum(f.stat().st_size for f in files if f.is_file() and "__pycache__" not in f.parts)
    digest = sources(deploy).removeprefix("sha256:")
    return ClosureNode(name=deploy, hash=f"sha256:{digest}", size_bytes=size)


def _models(site: Site) -> Iterator[ClosureNode]:
    for name, model in site.weights.items():
        pinned = {
            "source": model.source, "revision": model.revision, "heads": model.pad_heads_to,
        }  # fmt: skip
        folder = kept_folder(model.source, model.revision, model.pad_heads_to, store_dir())
        yield ClosureNode(
            name=f"{name} ({model.source} at {model.revision[:12]})",
            hash=_sha256(_text(pinned)),
            size_bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        )


def _branch(name: str, *children: ClosureNode) -> ClosureNode:
    return ClosureNode(
        name=name,
        hash=_sha256(_text([name, [[child.name, child.hash] for child in children]])),
        size_bytes=sum(child.size_bytes for child in children),
        children=children,
    )


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
