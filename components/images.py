"""Container images: built from their locks, put into the site's registry, pulled by every node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from components.machines import Machine, installations
from components.resources import ImagePull, OciImage
from images import builder
from stack.paths import locks_dir, store_dir

RegistryInput = Mapping[str, Input[str]]


@dataclass(frozen=True, kw_only=True)
class ImageSources:
    """Where images come from, beside their declarations and locks."""

    debian_snapshot: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    """image/variant → input hash of the earlier generation's that is run instead."""

    def of(self, image: str, variant: str) -> builder.Sources:
        return builder.Sources(
            locks=locks_dir(),
            snapshot=self.debian_snapshot,
            pinned=self.pins.get(f"{image}/{variant}"),
        )


def has_lock(image: str) -> bool:
    """Tell whether an image can be had: what only its makers build has a lock once it was met."""
    return builder.locked(image, "default") is not None


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where an image is put beside the store."""

    registry: RegistryInput
    machine: Machine
    """The registry's node: installed anew it has an empty registry."""


def oci_image(
    name: str,
    kind: tuple[str, str],
    sources: ImageSources,
    opts: ResourceOptions,
    to: Published | None = None,
) -> OciImage:
    """Declare the image that a definition and its lock make; with `to`, in a registry too.

    `kind` is the image's name and variant.
    """
    image, variant = kind
    chosen = sources.of(image, variant)
    expected = builder.expected(image, variant, store_dir(), chosen)
    return OciImage(
        name,
        image=image,
        variant=variant,
        lock_sha256=expected.lock_sha256,
        packages=expected.packages,
        files=expected.files,
        registry=to.registry if to else None,
        machine=to.machine.installation if to else None,
        pinned=chosen.pinned,
        debian_snapshot=chosen.snapshot,
        opts=opts,
    )


@dataclass(frozen=True, kw_only=True)
class ContainerImageArgs:
    image: str
    variant: str
    sources: ImageSources
    registry: RegistryInput
    registry_container: Resource
    registry_machine: Machine
    nodes: Mapping[str, Machine]
    hosts: Sequence[Resource]
    twin: bool
    after: Sequence[Resource] = ()
    """What is made before this image is."""


class ContainerImage(ComponentResource):
    """An image from its lock to the nodes: built, published, pulled. Containers depend on it."""

    image_id: pulumi.Output[str]
    """sha256:… of the image's configuration: what `docker inspect` shows."""
    reference: pulumi.Output[str]
    """registry/name@sha256:…"""
    pulled: ImagePull
    """Done when every node has the image."""

    def __init__(
        self, name: str, args: ContainerImageArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:ContainerImage", name, None, opts)
        # Built on its own first: that needs no machine, so it runs while machines are made.
        kind = (args.image, args.variant)
        built = oci_image(
            f"{name}-build",
            kind,
            args.sources,
            ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        published = oci_image(
            f"{name}-publish",
            kind,
            args.sources,
            ResourceOptions(parent=self, depends_on=[built, args.registry_container]),
            Published(registry=args.registry, machine=args.registry_machine),
        )
        self.pulled = ImagePull(
            f"{name}-pull",
            digest=published.digest,
            image_id=published.image_id,
            reference=published.reference,
            registry=args.registry,
            nodes=[node.connection for node in args.nodes.values()],
            machines=installations(args.nodes),
            twin=args.twin,
            opts=ResourceOptions(parent=self, depends_on=list(args.hosts)),
        )
        self.image_id, self.reference = published.image_id, published.reference
        self.register_outputs({"image_id": self.image_id, "reference": self.reference})
