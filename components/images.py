"""Container images: built from their locks, put into the site's registry, pulled by every node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from components.machines import Machine, installations
from components.resources import ImagePull, OciImage
from images import builder
from stack.paths import locks_dir, store_dir

RegistryInput = Mapping[str, Input[str]]


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where an image is put beside the store."""

    registry: RegistryInput
    machine: Machine
    """The registry's node: installed anew it has an empty registry."""


def oci_image(
    name: str, image: str, variant: str, opts: ResourceOptions, to: Published | None = None
) -> OciImage:
    """Declare the image that a definition and its lock make; with `to`, in a registry too."""
    expected = builder.expected(image, variant, store_dir(), locks=locks_dir())
    return OciImage(
        name,
        image=image,
        variant=variant,
        lock_sha256=expected.lock_sha256,
        packages=expected.packages,
        files=expected.files,
        registry=to.registry if to else None,
        machine=to.machine.installation if to else None,
        opts=opts,
    )


@dataclass(frozen=True, kw_only=True)
class ContainerImageArgs:
    image: str
    variant: str
    registry: RegistryInput
    registry_container: Resource
    registry_machine: Machine
    nodes: Mapping[str, Machine]
    hosts: Sequence[Resource]
    twin: bool


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
        built = oci_image(f"{name}-build", args.image, args.variant, ResourceOptions(parent=self))
        published = oci_image(
            f"{name}-publish",
            args.image,
            args.variant,
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
