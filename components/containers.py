"""From rendered container parts to a `Container` resource."""

from collections.abc import Mapping
from dataclasses import dataclass

from pulumi import Input, ResourceOptions

from components.images import ContainerImage
from components.machines import Machine
from components.resources import Container
from components.secrets import fill
from remote.container_spec import ContainerParts


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a container runs and from what."""

    node: Machine
    image: ContainerImage
    secrets: Mapping[str, Input[str]]
    gpus: bool = False


def run_parts(
    name: str, container: str, parts: ContainerParts, place: Placement, opts: ResourceOptions
) -> Container:
    """Declare the container; placeholders in its parts become Pulumi secrets."""
    return Container(
        name,
        connection=place.node.connection,
        machine=place.node.installation,
        container_name=container,
        image=place.image.reference,
        image_id=place.image.image_id,
        gpus=place.gpus,
        command=parts.command,
        environment={key: fill(value, place.secrets) for key, value in parts.environment.items()},
        files={
            path: {"content": fill(file.content, place.secrets), "mode": file.mode}
            for path, file in parts.files.items()
        },
        mounts=parts.mounts,
        devices=parts.devices,
        capabilities=parts.capabilities,
        ulimits=parts.ulimits,
        ipc_host=parts.ipc_host,
        user=parts.user,
        ready=parts.ready,
        opts=opts,
    )
