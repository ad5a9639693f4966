"""Containers on a machine: adopted, made, compared and removed through Docker Engine over SSH."""

import io
import shlex
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import docker
from docker.errors import NotFound
from pydantic import JsonValue, TypeAdapter

from remote import ssh
from remote.connection import Connection
from remote.container_images import Load, fetch
from remote.container_ready import wait_ready
from remote.container_spec import (
    HOST_FOLDER,
    LABEL,
    ContainerSpec,
    changed_fields,
    changed_files,
    label,
)
from remote.engine import engine
from remote.ports import refuse_taken

Progress = Callable[[str], None]
Inspected = dict[str, JsonValue]

LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
ABSENT = "not on the machine"
STOPPED = "not running"
CRASHED_LATELY_S = 20


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Running:
    container_id: str
    image_id: str
    changed: list[str] = field(default_factory=list)
    """Why it was made or started anew; empty where it was adopted as it ran."""


@dataclass(frozen=True)
class ContainerState:
    container_id: str
    image_id: str
    running: bool
    status: str
    """created, running, paused, restarting, exited or dead"""
    restarts: int


def ensure(
    connection: Connection,
    spec: ContainerSpec,
    load: Load | None = None,
    progress: Progress = _silent,
    stop_timeout_s: int = 30,
) -> Running:
    """Make the machine run this container, and wait until it is ready.

    What already runs as declared is adopted; what is stopped is started; anything else is stopped,
    removed and made anew, its image first so that the gap is short. `load` gives a `docker save`
    archive, used where the machine lacks the image.

    Raises RackformError with the container's last log lines when it does not get ready.
    """
    with engine(connection) as client:
        found = _inspect(client, spec.name)
        due = _differences(connection, spec, found)
        if found and all(reason.startswith(STOPPED) for reason in due):
            if due:
                progress(f"starting {spec.name} on {connection.name}: {due[0]}")
                if not _state(found).running:
                    _refuse_taken_port(connection, spec)
                # also ends the growing pause between the crashes of one that keeps ending
                client.api.restart(spec.name, timeout=stop_timeout_s)
        else:
            fetch(client, connection, spec, load, progress)
            progress(f"{'replacing' if found else 'starting'} {spec.name} on {connection.name}")
            if found:
                _remove(client, spec.name, stop_timeout_s)
            if spec.files:
                _put_files(connection, spec)
            _make_folders(connection, spec)
            _create(client, spec)
            _refuse_taken_port(connection, spec)
            client.api.start(spec.name)
        wait_ready(client, connection, spec, progress)
        state = _state(_inspect(client, spec.name) or {})
        return Running(state.container_id, state.image_id, due)


def pending(connection: Connection, spec: ContainerSpec) -> list[str]:
    """Return a sentence for each thing that `ensure` would mend; none where all is as declared."""
    with engine(connection) as client:
        return _differences(connection, spec, _inspect(client, spec.name))


def read(connection: Connection, name: str) -> ContainerState | None:
    """Return what there is by that name, or None."""
    with engine(connection) as client:
        found = _inspect(client, name)
        return _state(found) if found else None


def remove(connection: Connection, name: str, stop_timeout_s: int = 30) -> None:
    """Stop and remove the container and its files on the host; nothing there is no error."""
    with engine(connection) as client:
        _remove(client, name, stop_timeout_s)
    ssh.run(connection, ["rm", "-rf", "--", f"{HOST_FOLDER}/{name}"])


def logs_tail(connection: Connection, name: str, lines: int = 20) -> str:
    """Return the last lines that the container wrote to stdout and stderr."""
    with engine(connection) as client:
        logs: bytes = client.api.logs(name, tail=lines)
        return logs.decode(errors="replace")


def _inspect(client: docker.DockerClient, name: str) -> Inspected | None:
    try:
        found: Inspected = client.api.inspect_container(name)
    except NotFound:
        return None
    return found


def _state(found: Inspected) -> ContainerState:
    state = TypeAdapter(dict[str, JsonValue]).validate_python(found["State"])
    return ContainerState(
        container_id=str(found["Id"]),
        image_id=str(found["Image"]),
        running=state["Status"] == "running",
        status=str(state["Status"]),
        restarts=int(str(found.get("RestartCount", 0))),
    )


def _differences(connection: Connection, spec: ContainerSpec, found: Inspected | None) -> list[str]:
    if found is None:
        return [ABSENT]
    state = _state(found)
    due = []
    if state.image_id != spec.image_id:
        due.append(f"image {_short(state.image_id)} → {_short(spec.image_id)}")
    config = TypeAdapter(dict[str, JsonValue]).validate_python(found["Config"])
    labels = TypeAdapter(dict[str, str]).validate_python(config.get("Labels") or {})
    due += changed_fields(spec, labels.get(LABEL))
    due += _policy(TypeAdapter(dict[str, JsonValue]).validate_python(found["HostConfig"]))
    if spec.files:
        due += changed_files(spec, _host_files(connection, spec))
    now = TypeAdapter(dict[str, JsonValue]).validate_python(found["State"])
    if not state.running:
        due.append(f"{STOPPED} ({state.status}, exit status {now.get('ExitCode')})")
    elif state.restarts and _age_s(str(now.get("StartedAt"))) < CRASHED_LATELY_S:
        due.append(f"{STOPPED} for long: it has ended {state.restarts} times")
    return due


def _age_s(started_at: str) -> float:
    """Return how long ago an engine's time stamp (RFC 3339, nanoseconds) was."""
    started = datetime.fromisoformat(started_at[:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - started).total_seconds()


def _policy(host: dict[str, JsonValue]) -> list[str]:
    """What `docker update` can change by hand and the label cannot know."""
    policy = TypeAdapter(dict[str, JsonValue]).validate_python(host.get("RestartPolicy") or {})
    name = policy.get("Name")
    return [] if name == "unless-stopped" else [f"restart policy {name!r}, not 'unless-stopped'"]


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _remove(client: docker.DockerClient, name: str, stop_timeout_s: int) -> None:
    try:
        client.api.stop(name, timeout=stop_timeout_s)
        client.api.remove_container(name, force=True)
    except NotFound:
        return


def _create(client: docker.DockerClient, spec: ContainerSpec) -> None:
    binds = [f"{m.source}:{m.target}:{'ro' if m.read_only else 'rw'}" for m in spec.mounts]
    binds += [f"{spec.host_path(path)}:{path}:ro" for path in sorted(spec.files)]
    every_gpu = docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])
    limits = sorted(spec.ulimits.items())
    client.api.create_container(
        image=spec.image_id,
        name=spec.name,
        # The declaration holds the whole command, so that the image's own entrypoint plays no part.
        entrypoint=spec.command[:1],
        command=spec.command[1:],
        environment=spec.environment,
        user=spec.user,
        labels={LABEL: label(spec)},
        host_config=client.api.create_host_config(
            network_mode="host",
            ipc_mode="host" if spec.ipc_host else None,
            binds=binds,
            devices=spec.devices,
            device_requests=[every_gpu] if spec.gpus else None,
            cap_add=spec.capabilities,
            ulimits=[docker.types.Ulimit(name=n, soft=v, hard=v) for n, v in limits],
            restart_policy={"Name": "unless-stopped"},
            log_config=docker.types.LogConfig(type="json-file", config=LOG_OPTIONS),
            init=True,
        ),
    )


def _refuse_taken_port(connection: Connection, spec: ContainerSpec) -> None:
    if spec.ready and spec.ready.kind == "tcp":
        address, port = spec.ready.target
        refuse_taken(connection, f"container {spec.name}", address, int(port))


def _host_files(connection: Connection, spec: ContainerSpec) -> dict[str, tuple[str, int]]:
    """Return path → (sha256, mode) of what lies in the container's folder on the host."""
    folder = shlex.quote(f"{spec.folder()}/files")
    done = ssh.run(
        connection,
        f"[ -d {folder} ] || exit 0; cd {folder} && find . -type f -printf '%m %p\\n' && echo"
        " && find . -type f -exec sha256sum {} +",
    )
    modes, _, sums = done.stdout.partition("\n\n")
    mode_of = {path: mode for mode, path in (line.split(" ", 1) for line in modes.splitlines())}
    return {
        f"{spec.folder()}/files/{path.removeprefix('./')}": (digest, int(mode_of[path], 8))
        for digest, path in (line.split("  ", 1) for line in sums.splitlines())
        if path in mode_of
    }


def _put_files(connection: Connection, spec: ContainerSpec) -> None:
    """Write the files beside the old ones, owned by the container's user, then swap the folders.

    A running container keeps the old files: it has them by inode.
    """
    folder = shlex.quote(spec.folder())
    ssh.run(
        connection,
        f"set -e; umask 077; install -d -m 755 {folder}; cd {folder}; rm -rf new old; mkdir new; "
        "tar -xpf - --same-owner -C new; chmod 700 new; "
        "[ ! -e files ] || mv files old; mv new files; rm -rf old",
        input=b"".join(_archive(spec)),
    )


def _make_folders(connection: Connection, spec: ContainerSpec) -> None:
    """Make the folders that the container writes to, its user's own; what exists is kept."""
    uid, _, gid = (spec.user or "0").partition(":")
    folders = [mount.source for mount in spec.mounts if not mount.read_only]
    if folders:
        ssh.run(connection, ["install", "-d", "-m", "750", "-o", uid, "-g", gid or uid, *folders])


def _archive(spec: ContainerSpec) -> Iterator[bytes]:
    uid, _, gid = (spec.user or "0").partition(":")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in sorted(spec.files.items()):
            data = file.content.encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(data), file.mode, int(time.time())
            entry.uid = int(uid) if uid.isdigit() else 0
            entry.gid = int(gid) if gid.isdigit() else 0
            archive.addfile(entry, io.BytesIO(data))
    yield buffer.getvalue()
