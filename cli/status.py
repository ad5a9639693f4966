"""`./rackform status`: what runs, as the machines themselves tell it."""

import json
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Table

from cli.access import access
from remote.connection import Connection
from remote.errors import Unreachable
from remote.ssh import run
from stack.expectations import ExpectedHost


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True)


class ContainerStatus(_Found):
    name: str
    state: str
    image_id: str
    as_declared: bool


class NodeStatus(_Found):
    reachable: bool
    reason: str = ""
    kernel: str = ""
    docker: str = ""
    mtu_bytes: int | None = None
    containers: list[ContainerStatus] = []


class Status(_Found):
    stack: str
    closure: str
    endpoint: str
    model: str
    nodes: dict[str, NodeStatus]


_VERSION = "{{.Server.Version}}"
_FORMAT = "{{json .Name}} {{json .State.Status}} {{json .Image}}"


def current(stack: str) -> Status:
    """Ask every node side by side; a node that can't be reached is told as such."""
    outputs = access(stack).outputs
    hosts = outputs.expectations.hosts
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        found = pool.map(node, hosts.values())
        return Status(
            stack=stack,
            closure=outputs.closure,
            endpoint=outputs.endpoint,
            model=outputs.model,
            nodes=dict(zip(hosts, found, strict=True)),
        )


def node(expected: ExpectedHost) -> NodeStatus:
    """Ask one node; one that can't be reached says why."""
    try:
        lines = _ask(expected.connection, expected.fabric_interface)
    except Unreachable as error:
        return NodeStatus(reachable=False, reason=str(error))
    kernel, docker, mtu, *containers = lines
    return NodeStatus(
        reachable=True,
        kernel=kernel,
        docker=docker,
        mtu_bytes=int(mtu) if mtu else None,
        containers=[_container(line, expected.containers) for line in containers],
    )


def _ask(connection: Connection, interface: str) -> list[str]:
    script = f"""
uname -r
docker version --format '{_VERSION}' 2>/dev/null || echo
cat /sys/class/net/{interface}/mtu 2>/dev/null || echo
docker ps -aq --no-trunc 2>/dev/null | xargs -r docker inspect --format '{_FORMAT}'
"""
    return run(connection, script, timeout_s=20).stdout.splitlines()


def _container(line: str, expected: dict[str, str]) -> ContainerStatus:
    name, state, image = (json.loads(part) for part in line.split(" "))
    name = name.lstrip("/")
    return ContainerStatus(
        name=name,
        state=state,
        image_id=image,
        as_declared=state == "running" and expected.get(name) == image,
    )


def table(status: Status) -> RenderableType:
    """Return the status as people read it."""
    rows = Table("node", "fabric MTU", "docker", "container", "state", "image")
    for name, found in status.nodes.items():
        if not found.reachable:
            rows.add_row(name, "", "", "", f"[red]{found.reason}[/]")
            continue
        rows.add_row(name, str(found.mtu_bytes), found.docker)
        for container in found.containers:
            color = "green" if container.as_declared else "red"
            rows.add_row(
                *("", "", "", container.name),
                f"[{color}]{container.state}[/]",
                container.image_id[7:19],
            )
    head = f"{status.stack}: {status.model} at {status.endpoint}\nclosure {status.closure}"
    return Group(head, rows)
