"""Manifests and configurations of the OCI image format, written the same way each time."""

import json
import time

from pydantic import BaseModel, ConfigDict, ValidationError

from images.builder.declaration import Definition, Variant
from images.builder.layers import EPOCH
from images.builder.store import Blob, Store
from remote.errors import RackformError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME_LABEL = "rackform.image"
VARIANT_LABEL = "rackform.variant"


class Layer(BaseModel):
    """One layer in the store. It is not compressed: its digest is also its diff ID."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    size_bytes: int
    cached: bool = True


def read_layer(text: str | None) -> Layer | None:
    """Return the layer that a record of the store tells of; None without a whole record."""
    try:
        return Layer.model_validate_json(text) if text else None
    except ValidationError:
        return None


class Manifest(BaseModel):
    """What a manifest in the store holds, as far as the rest of the program asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    size: int
    media_type: str
    name: str
    variant: str
    config: Blob
    layers: list[Blob]


def put_image(store: Store, definition: Definition, layers: list[Layer]) -> tuple[str, str]:
    """Write configuration and manifest; return the manifest's digest and the image ID."""
    config = store.put(
        as_json(
            {
                "created": created(),
                "architecture": "amd64",
                "os": "linux",
                "config": _runtime(definition),
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
                "history": [
                    {"created": created(), "created_by": f"rackform: {layer.name}"}
                    for layer in layers
                ],
            }
        )
    )
    manifest = store.put(
        as_json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
                "layers": [
                    {"mediaType": LAYER, "digest": layer.digest, "size": layer.size_bytes}
                    for layer in layers
                ],
            }
        )
    )
    return manifest.digest, config.digest


def read_manifest(digest: str, store: Store) -> Manifest:
    """Read an image of the store by its manifest's digest."""
    if not store.blob(digest).exists():
        raise RackformError(f"image {digest} is not in the store: build it ('./rackform build')")
    with store.open(digest) as handle:
        raw = handle.read()
    document = json.loads(raw)
    config = Blob(digest=document["config"]["digest"], size=document["config"]["size"])
    with store.open(config.digest) as handle:
        labels = json.load(handle).get("config", {}).get("Labels") or {}
    return Manifest(
        digest=digest,
        size=len(raw),
        media_type=document.get("mediaType", MANIFEST),
        name=labels.get(NAME_LABEL, "upstream"),
        variant=labels.get(VARIANT_LABEL, "default"),
        config=config,
        layers=[Blob(digest=item["digest"], size=item["size"]) for item in document["layers"]],
    )


def created() -> str:
    """Return the time that everything bears, as the specification writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))


def _runtime(definition: Definition) -> dict[str, object]:
    spec: Variant = definition.spec
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if spec.python:
        path = f"{spec.python.prefix}/bin:{path}"
    held: dict[str, object] = {
        "Env": [f"{key}={value}" for key, value in sorted(({"PATH": path} | spec.env).items())],
        "Entrypoint": spec.entrypoint or None,
        "Cmd": spec.cmd or None,
        "WorkingDir": spec.workdir,
        "User": f"{spec.user.uid}:{spec.user.uid}" if spec.user else None,
        "Volumes": {volume: {} for volume in spec.volumes} or None,
        "ExposedPorts": {port: {} for port in spec.ports} or None,
        "StopSignal": spec.stop_signal,
        "Labels": spec.labels | {NAME_LABEL: definition.name, VARIANT_LABEL: definition.variant},
    }
    return {key: value for key, value in held.items() if value is not None}


def as_json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
