"""What an image is made of, as CycloneDX: from its lock, attached to the image in the store."""

import datetime as dt
import json
import uuid
from collections.abc import Iterator

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from images.builder import oci
from images.builder.layers import EPOCH
from images.builder.licences import licences
from images.builder.lock_model import DebianPackage, Lock, Wheel
from images.builder.oci import Layer
from images.builder.store import Store

MEDIA_TYPE = "application/vnd.cyclonedx+json"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "rackform")


def attach(
    name: str, digest: str, lock: Lock, layers: list[Layer], store: Store
) -> tuple[str, str]:
    """Write an image's SBOM and the manifest that refers to the image.

    Args:
        name: the image's, with its variant.
        digest: its manifest's.
        lock: what it was made from.
        layers: read for the packages' licences.
        store: where both go.

    Returns:
        The digests of the referring manifest and of the SBOM itself.

    """
    blob = store.put(_document(name, digest, lock, licences(layers, store)))
    subject = oci.read_manifest(digest, store)
    empty = store.put(b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": MEDIA_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": empty.digest, "size": empty.size,
        },
        "layers": [{"mediaType": MEDIA_TYPE, "digest": blob.digest, "size": blob.size}],
        "subject": {
            "mediaType": subject.media_type, "digest": subject.digest, "size": subject.size,
        },
        "annotations": {"org.opencontainers.image.created": oci.created()},
    }  # fmt: skip
    return store.put(oci.as_json(manifest)).digest, blob.digest


def _document(name: str, digest: str, lock: Lock, licences_of: dict[str, list[str]]) -> bytes:
    image = Component(type=ComponentType.CONTAINER, name=name, version=digest, bom_ref="image")
    components = list(_components(lock, licences_of))
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, digest),
        metadata=BomMetaData(
            timestamp=dt.datetime.fromtimestamp(EPOCH, dt.UTC),
            component=image,
        ),
        components=components,
    )
    bom.register_dependency(image, components)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    return (json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n").encode()


def _components(lock: Lock, licences_of: dict[str, list[str]]) -> Iterator[Component]:
    for package in lock.debian:
        url = PackageURL("deb", "debian", package.name, package.version, {"arch": package.arch})
        yield _component(package, url, licences_of.get(f"debian/{package.name}", []))
    for wheel in lock.wheels:
        url = PackageURL("pypi", None, wheel.name, wheel.version)
        yield _component(wheel, url, licences_of.get(f"python/{wheel.name}", []))


def _component(package: DebianPackage | Wheel, url: PackageURL, names: list[str]) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=url,
        bom_ref=url.to_string(),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)],
        licenses=_licences(names),
    )


def _licences(names: list[str]) -> list[License]:
    """Return one expression, or licences by SPDX's identifier, else by the name that was given."""
    factory = LicenseFactory()
    if len(names) == 1:
        return [factory.make_from_string(names[0])]
    found: list[License] = []
    for name in names:
        try:
            found.append(factory.make_with_id(name))
        except InvalidSpdxLicenseException:
            found.append(DisjunctiveLicense(name=name))
    return found
