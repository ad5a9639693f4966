"""One request on one host: connect, prepare, then tell or carry out what is due."""

import contextlib
import io
import os
import select
import shlex
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from paramiko import Agent, SSHClient, Transport
from paramiko.ssh_exception import NoValidConnectionsError
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import State, StateOperationHostData, StateStage
from pyinfra.connectors import ssh as _ssh  # noqa: F401 - imported before the fork, for speed
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from pyinfra_deploys import registry
from pyinfra_deploys.messages import Answer, Event, Operation, Request
from pyinfra_deploys.operations.files import WriteFile
from pyinfra_deploys.operations.reboot import AskReboot
from remote import examine, keys, ssh
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError, Unreachable

CONNECT_TIMEOUT_S = 10
STDERR_LINES = 8

for _deploy in registry.DEPLOYS.values():
    _deploy.function()  # import every deploy before the fork


class Job:
    """A request under way; `step` is what it does just now, for an error to name."""

    def __init__(self, request: Request, channel: socket.socket) -> None:
        self.request = request
        self.channel = channel
        self.name = request.connection.name
        self.step = "connecting"
        self.host: Host | None = None
        self._speaking = threading.Lock()

    def say(self, message: Answer | Event) -> None:
        with self._speaking:
            self.channel.sendall(message.model_dump_json().encode() + b"\n")

    def watch(self) -> None:
        """End this process when the time is up or the client has gone."""
        ready, _, _ = select.select([self.channel], [], [], self.request.timeout_s)
        if not ready:
            self.say(
                Answer(
                    error=f"{self.name}: not done after {self.request.timeout_s:g} s while "
                    f"{self.step}; look at the host, then run it again"
                )
            )
        os._exit(1)

    def answer(self) -> Answer:
        state, host = _connected(self.request)
        self.host = host
        self.step = "looking at the host"
        found = _examined(host)
        clock = "restore" not in self.request.deploys  # what was there before went by no clock
        if refused := list(examine.refusals(self.request.connection, found, clock=clock)):
            raise RackformError("\n".join(refused))
        self.step = "reading the host's state"
        state.set_stage(StateStage.Prepare)
        with ctx_host.use(host), ctx_config.use(state.config.copy()):
            for name, values in self.request.deploys.items():
                registry.DEPLOYS[name].function()(registry.settings(name, values))
            if self.request.action == "plan":
                return Answer(operations=list(_due(state, host)), identity=found.identity)
            return Answer(operations=list(self.execute(state, host)), identity=found.identity)

    def mind_the_line(self) -> None:
        """Raise Unreachable if the connection is gone: then that is why something failed."""
        if self.host and not _transport(self.host).is_active():
            raise Unreachable(
                f"{self.name}: the connection was lost while {self.step}; see that the machine "
                "runs, then run it again"
            )

    def execute(self, state: State, host: Host) -> Iterator[Operation]:
        state.set_stage(StateStage.Execute)
        state.is_executing = True
        for op_hash in state.get_op_order():  # type: ignore[no-untyped-call] # pyinfra's
            deploy, name = _names(state, op_hash)
            self.step = f"carrying out {deploy}: {name}"
            self.say(Event(deploy=deploy, operation=name, state="started"))
            data = state.get_op_data_for_host(host, op_hash)
            told = _record(data)
            succeeded = run_host_op(state, host, op_hash)
            changed = data.operation_meta.did_change()
            outcome = "failed" if not succeeded else "changed" if changed else "unchanged"
            self.say(Event.model_validate({"deploy": deploy, "operation": name, "state": outcome}))
            if not succeeded:
                self.mind_the_line()
                raise RackformError(_failure(self.name, deploy, name, data, told))
            if changed:
                yield _described(deploy, name, told)


def serve(channel: socket.socket) -> None:
    """Read one request from `channel`, answer it there."""
    with channel.makefile("rb") as stream:
        request = Request.model_validate_json(stream.readline())
    job = Job(request, channel)
    threading.Thread(target=job.watch, daemon=True).start()
    try:
        # What pyinfra prints for people is told in the answer.
        with contextlib.redirect_stderr(io.StringIO()):
            answer = job.answer()
    except RackformError as error:
        answer = Answer(error=str(error), kind=_kind(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
        answer = _unforeseen(job, error)
    job.say(answer)


def _unforeseen(job: Job, error: Exception) -> Answer:
    try:
        job.mind_the_line()
    except Unreachable as lost:
        return Answer(error=str(lost), kind="unreachable")
    if isinstance(error, PyinfraError):
        return Answer(error=f"{job.name}: {error} (while {job.step})")
    traceback.print_exception(error, file=sys.__stderr__)
    return Answer(error=f"{job.name}: {type(error).__name__}: {error} (while {job.step})")


def _kind(error: RackformError) -> Literal["", "unreachable", "refused", "other key"]:
    match error:
        case OtherHostKey():
            return "other key"
        case LoginRefused():
            return "refused"
        case Unreachable():
            return "unreachable"
    return ""


def _connected(request: Request) -> tuple[State, Host]:
    """Return pyinfra's state with its one host connected by the pinned key."""
    connection = request.connection
    descriptor, known_hosts = tempfile.mkstemp(prefix="rackform-known-hosts-")
    with os.fdopen(descriptor, "w") as file:
        file.write(ssh.known_hosts([connection]))
    data = {
        "ssh_hostname": connection.address,
        "ssh_port": connection.port,
        "ssh_user": connection.user,
        **_login(connection),
        "ssh_known_hosts_file": known_hosts,
        "ssh_strict_host_key_checking": "yes",
        "ssh_config_file": os.devnull,
    }
    inventory = Inventory(([(connection.name, data)], {}))  # type: ignore[no-untyped-call] # pyinfra's
    config = Config(SUDO=connection.user != "root", CONNECT_TIMEOUT=CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call] # pyinfra's
    # A dry run asks whether an operation would change anything; a real one just runs it.
    state = State(inventory, config, check_for_changes=request.action == "plan")
    ctx_state.set(state)  # type: ignore[no-untyped-call] # pyinfra's
    ctx_inventory.set(inventory)  # type: ignore[no-untyped-call] # pyinfra's
    state.set_stage(StateStage.Connect)
    (host,) = inventory
    try:
        host.connect(show_errors=False, raise_exceptions=True)
    except (ConnectError, PyinfraError) as error:
        raise ssh.unreachable(connection, _reason(error)) from error
    finally:
        Path(known_hosts).unlink()
    # paramiko sends small packets one by one; with Nagle's algorithm each of an operation's
    # questions waits for a delayed acknowledgement (40 ms on Linux).
    wire = _transport(host).sock
    if isinstance(wire, socket.socket):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    state.activate_host(host)
    return state, host


def _login(connection: Connection) -> dict[str, object]:
    """Return pyinfra's data for the key; one with a passphrase is the agent's to sign with.

    Raises:
        RackformError: the key can't be used.

    """
    try:
        key = keys.ready(connection.private_key_file)
    except RackformError as error:
        raise RackformError(f"{connection.name}: {error}") from None
    if not key.locked:
        return {"ssh_key": str(connection.private_key_file)}
    held = next(k for k in Agent().get_keys() if key.public == f"{k.name} {k.get_base64()}")
    chosen = {"pkey": held, "allow_agent": False, "look_for_keys": False}
    return {"ssh_paramiko_connect_kwargs": chosen}


def _examined(host: Host) -> examine.Examined:
    before = time.time()
    client: SSHClient = host.connector.client  # type: ignore[attr-defined] # SSH's
    _, told, _ = client.exec_command(f"sh -c {shlex.quote(examine.SCRIPT)}")
    text = told.read().decode(errors="replace")
    return examine.read(text, before, time.time())


def _transport(host: Host) -> Transport:
    transport: Transport = host.connector.client.get_transport()  # type: ignore[attr-defined] # SSH's
    return transport


def _reason(error: BaseException) -> str:
    """Return the cause in the system's own words where paramiko only counts its attempts."""
    cause = error.__context__
    if isinstance(cause, NoValidConnectionsError):
        return "; ".join(
            sorted({getattr(e, "strerror", None) or str(e) for e in cause.errors.values()})
        )
    return str(error)


def _due(state: State, host: Host) -> Iterator[Operation]:
    for op_hash in state.get_op_order():  # type: ignore[no-untyped-call] # pyinfra's
        data = state.get_op_data_for_host(host, op_hash)
        if data.operation_meta.will_change:
            deploy, name = _names(state, op_hash)
            yield _described(deploy, name, list(data.command_generator()))


def _names(state: State, op_hash: str) -> tuple[str, str]:
    deploy, _, name = next(iter(state.get_op_meta(op_hash).names)).partition(" | ")
    return deploy, name


def _record(data: StateOperationHostData) -> list[PyinfraCommand]:
    """Return a list that fills with the operation's commands as they are carried out."""
    told: list[PyinfraCommand] = []
    generate = data.command_generator

    def recorded() -> Iterator[PyinfraCommand]:
        for command in generate():
            told.append(command)
            yield command

    data.command_generator = recorded
    return told


def _described(deploy: str, name: str, commands: list[PyinfraCommand]) -> Operation:
    diffs = [command.diff() for command in commands if isinstance(command, WriteFile)]
    return Operation(
        deploy=deploy,
        name=name,
        commands=[str(c) for c in commands],
        diff="\n".join(diffs),
        ends_boot=next((c.boot for c in commands if isinstance(c, AskReboot)), ""),
    )


def _failure(
    host: str, deploy: str, name: str, data: StateOperationHostData, told: list[PyinfraCommand]
) -> str:
    meta = data.operation_meta
    lines = (meta.stderr_lines or meta.stdout_lines)[-STDERR_LINES:]
    said = "\n".join(f"    {line}" for line in lines) or "    (it said nothing)"
    return (
        f"{host}: {deploy}: {name} failed at: {told[-1] if told else 'no command'}\n{said}\n"
        "Mend that on the host or in the site, then run it again: what was done is kept."
    )
