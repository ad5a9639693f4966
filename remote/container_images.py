"""An image onto a machine: it is there, or it is loaded from an archive, or pulled by digest."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import docker
from docker.errors import APIError, ImageNotFound

from remote.connection import Connection
from remote.container_spec import ContainerSpec, Registry
from remote.engine import engine
from remote.errors import RackformError

Load: TypeAlias = Callable[[], Iterator[bytes]]
"""Gives the chunks of a `docker save` archive."""

REMEDIES = {
    "x509": "the node does not trust the registry's CA: apply docker_engine with ca_certificate",
    "unauthorized": "the registry refused user and password: see the site's credentials",
    "no basic auth": "the registry wants a user and a password: declare them",
    "not found": "push the image to the registry first (OciImage)",
    "connection refused": "see that the registry runs: 'docker ps' on its node",
    "no space left": "free space on the node: 'docker system prune' there",
}


def present(connection: Connection, image_id: str) -> bool:
    """Say whether the machine's Docker Engine has the image."""
    with engine(connection) as client:
        return _present(client, image_id)


def pull(
    connection: Connection,
    reference: str,
    image_id: str,
    registry: Registry,
    progress: Callable[[str], None],
) -> None:
    """See that the machine has the image, pulled by digest where it lacks it."""
    name = reference.partition("@")[0].rsplit("/", 1)[-1]
    wanted = ContainerSpec(
        name=name, image=reference, image_id=image_id, registry=registry, command=[]
    )
    with engine(connection) as client:
        fetch(client, connection, wanted, None, progress)


def fetch(
    client: docker.DockerClient,
    connection: Connection,
    spec: ContainerSpec,
    load: Load | None,
    progress: Callable[[str], None],
) -> None:
    """See that the machine has the image with the declared id.

    Raises RackformError when what was loaded or pulled is another image than declared.
    """
    if _present(client, spec.image_id):
        return
    if load is not None:
        progress(f"loading {spec.name}'s image onto {connection.name}")
        for line in client.api.load_image(load()):  # type: ignore[no-untyped-call] # not typed there
            if "error" in line:
                raise RackformError(f"{connection.name}: docker load: {line['error']}")
    else:
        _pull(client, connection, spec, progress)
    if not _present(client, spec.image_id):
        raise RackformError(
            f"{connection.name}: {spec.image} holds another image than {spec.image_id}: build and "
            "push it again so that both come from one build"
        )


def _present(client: docker.DockerClient, image_id: str) -> bool:
    try:
        client.api.inspect_image(image_id)  # type: ignore[no-untyped-call] # not typed there
    except ImageNotFound:
        return False
    return True


def _pull(
    client: docker.DockerClient,
    connection: Connection,
    spec: ContainerSpec,
    progress: Callable[[str], None],
) -> None:
    repository, _, digest = spec.image.partition("@")
    if not digest:
        raise RackformError(
            f"image {spec.image!r} of {spec.name} is not pinned: name it by digest, as in "
            "registry/name@sha256:…"
        )
    login = spec.registry
    auth = {"username": login.user, "password": login.password} if login else None
    layers: dict[str, str] = {}
    said = 0
    progress(f"pulling {spec.name}'s image onto {connection.name}")
    try:
        for line in client.api.pull(
            repository, tag=digest, auth_config=auth, stream=True, decode=True
        ):
            if "error" in line:
                raise _refused(connection, spec, str(line["error"]))
            if "id" in line:
                layers[line["id"]] = str(line.get("status", ""))
            if _done(layers) > said:
                said = _done(layers)
                progress(f"pulling {spec.name}'s image onto {connection.name}: {said} layers")
    except APIError as error:
        raise _refused(connection, spec, str(error.explanation or error)) from error


def _done(layers: Mapping[str, str]) -> int:
    return sum(status in {"Pull complete", "Already exists"} for status in layers.values())


def _refused(connection: Connection, spec: ContainerSpec, reason: str) -> RackformError:
    remedy = next((r for key, r in REMEDIES.items() if key in reason.lower()), None)
    return RackformError(
        f"{connection.name}: {spec.image} was not pulled: {reason}" + (f"; {remedy}" * bool(remedy))
    )
