"""The store as an OCI image layout: tools that read one find the images and their SBOMs."""

import json
from collections.abc import Iterator

from images.builder import index, oci
from images.builder.index import Indexed
from images.builder.store import Store

VERSION = '{"imageLayoutVersion":"1.0.0"}'


def write(store: Store) -> None:
    """Write `oci-layout` and `index.json` over every finished image of the store."""
    with store.locked("layout"):
        found = index.everything(store.path).values()
        manifests = [entry for image in found for entry in _entries(image, store)]
        unique = {json.dumps(entry, sort_keys=True): entry for entry in manifests}
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [unique[key] for key in sorted(unique)],
        }
        store.write(store.path / "oci-layout", VERSION.encode())
        store.write(store.path / "index.json", oci.as_json(document) + b"\n")


def _entries(image: Indexed, store: Store) -> Iterator[dict[str, object]]:
    if not store.blob(image.digest).exists():
        return
    held = oci.read_manifest(image.digest, store)
    name = f"{image.name}-{image.variant}-{image.digest.removeprefix('sha256:')[:12]}"
    yield {
        "mediaType": held.media_type,
        "digest": held.digest,
        "size": held.size,
        "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": name},
    }
    if image.sbom_manifest and store.blob(image.sbom_manifest).exists():
        yield {
            "mediaType": oci.MANIFEST,
            "digest": image.sbom_manifest,
            "size": store.blob(image.sbom_manifest).stat().st_size,
            "artifactType": "application/vnd.cyclonedx+json",
        }
