"""Waiting for a container to be ready, and telling a crash from a slow start."""

import time
from collections.abc import Callable

import docker
from docker.errors import APIError

from remote import ssh
from remote.connection import Connection
from remote.container_spec import ContainerSpec, Readiness
from remote.errors import RackformError

POLL_S = 0.25
CRASHES = 3
"""Restarts within one wait that are called a crash loop; one may be a neighbour not up yet."""

SETTLE_S = 1.0
"""How long a container without a readiness question must stay up."""

UP_TIMEOUT_S = 30
"""How long such a container may take to run at all."""

ANNOUNCE_S = 2
LOG_LINES = 15


def wait_ready(
    client: docker.DockerClient,
    connection: Connection,
    spec: ContainerSpec,
    progress: Callable[[str], None],
) -> None:
    """Wait until the container answers its readiness question.

    Raises RackformError with its last log lines, at once when it keeps crashing.
    """
    started = time.monotonic()
    limit = spec.ready.timeout_s if spec.ready else UP_TIMEOUT_S
    before = _restarts(client, spec.name)
    announced, status = False, 0
    while True:
        state = client.api.inspect_container(spec.name)["State"]
        status = int(state["ExitCode"]) or status
        crashes = _restarts(client, spec.name) - before
        waited = time.monotonic() - started
        if crashes >= CRASHES or state["Status"] in {"exited", "dead"}:
            often = f" {crashes + 1} times in {waited:.0f} s" if crashes else ""
            code = f", with status {status}" if status or not crashes else ""
            raise _failed(client, connection, spec, f"ended{often}{code}")
        if state["Status"] == "running" and _answers(client, connection, spec, waited):
            return
        if waited > limit:
            raise _failed(client, connection, spec, f"not ready after {limit} s ({_asked(spec)})")
        if not announced and waited > ANNOUNCE_S:
            progress(f"waiting for {spec.name} on {connection.name}: {_asked(spec)}")
            announced = True
        time.sleep(POLL_S)


def _answers(
    client: docker.DockerClient, connection: Connection, spec: ContainerSpec, waited: float
) -> bool:
    if spec.ready is None:
        return waited >= SETTLE_S
    if spec.ready.kind == "tcp":
        return _listens(connection, spec.ready)
    try:
        run = client.api.exec_create(spec.name, spec.ready.target)
        client.api.exec_start(run["Id"])
    except APIError:
        return False  # it restarted between two questions: the loop above sees that
    return bool(client.api.exec_inspect(run["Id"])["ExitCode"] == 0)


def _listens(connection: Connection, ready: Readiness) -> bool:
    address, port = ready.target
    connect = f"exec 3<>/dev/tcp/{address}/{int(port)}"
    done = ssh.run(connection, ["timeout", "2", "bash", "-c", connect], check=False)
    return done.returncode == 0


def _asked(spec: ContainerSpec) -> str:
    if spec.ready is None:
        return "it must stay up"
    return f"{spec.ready.kind} {' '.join(spec.ready.target)}"


def _restarts(client: docker.DockerClient, name: str) -> int:
    return int(client.api.inspect_container(name)["RestartCount"])


def _failed(
    client: docker.DockerClient, connection: Connection, spec: ContainerSpec, why: str
) -> RackformError:
    logs: bytes = client.api.logs(spec.name, tail=LOG_LINES)
    lines = logs.decode(errors="replace").strip() or "(it wrote nothing)"
    return RackformError(
        f"container {spec.name} on {connection.name} {why}. Its last lines:\n{lines}\n"
        f"Mend the cause and run 'up' again; 'docker logs {spec.name}' there has the rest."
    )
