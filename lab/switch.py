"""The twin's switches: a bridge in its own namespace, and the command line that speaks for it."""

import json
import sys
from ipaddress import IPv4Interface
from pathlib import Path

from pydantic import ValidationError

from lab import cgroups, network, nodes, overlay, processes
from lab.keys import ensure_key
from lab.layout import Twin
from lab.login import wait_login
from lab.network import namespace as namespace  # noqa: PLC0414 - part of this module's interface
from lab.shell import ENVIRONMENT, require
from lab.spec import SwitchSpec, SwitchState
from lab.supervisor import Supervised
from remote.connection import Connection
from remote.errors import RackformError
from remote.private_file import write_private

SPEC, CLI, AUTHORIZED = "spec.json", "cli.json", "authorized_keys"
CLI_PORT = 22
GREETING = {
    "eos": "show version",
    "onyx": "show version",
    "cumulus": "true",
    "sonic": "show version",
}
"""What each network OS answers to whoever may log in: not all have a `true`."""


def create(twin: Twin, spec: SwitchSpec, *, timeout_s: float = 30) -> Connection:
    """Make the switch, or make what is there of it into what `spec` says, and wait for its SSH."""
    require()
    with twin.locked(f"switch-{spec.name}"):
        folder = twin.switch(spec.name)
        if twin.node(spec.name).exists():
            raise RackformError(f"'{spec.name}' is a node of the twin already: rename the switch")
        folder.mkdir(parents=True, exist_ok=True)
        host_key = ensure_key(twin.host_key(spec.name))
        with twin.locked("network"):
            _wire(twin, spec)
        old_cli = (folder / CLI).read_text() if (folder / CLI).exists() else None
        write_private(folder / AUTHORIZED, f"{spec.authorized_key.strip()}\n")
        write_private(folder / CLI, cli_config(twin, spec))
        write_private(folder / SPEC, spec.model_dump_json(indent=1))
        if old_cli not in {None, (folder / CLI).read_text()}:
            processes.stop(folder, spec.name, timeout_s=10)
        _start(folder, spec)
        connection = spec.connection(host_key)
        wait_login(connection, folder, timeout_s=timeout_s, command=GREETING[spec.os])
        return connection


def _wire(twin: Twin, spec: SwitchSpec) -> None:
    network.connect(spec.name, spec.address)
    devices = [network.port_device(port) for port in spec.ports]
    inside = network.links(spec.name)
    plan = network.removed_ports_plan(devices, inside) + network.switch_plan(devices, inside)
    network.batch(plan, name=spec.name, purpose=f"make the ports of {spec.name}")
    for folder in sorted(twin.nodes.glob("*")):
        node = nodes.load(folder)
        if node and any(end.startswith(f"{spec.name}.") for end in node.cables.values()):
            nodes.plug(node)


def cli_config(twin: Twin, spec: SwitchSpec) -> str:
    """Return what the switch's command line is started with."""
    folder = twin.switch(spec.name)
    return json.dumps(
        {
            "os": spec.os,
            "hostname": spec.name,
            "address": str(IPv4Interface(spec.address).ip),
            "port": CLI_PORT,
            "host_key_file": str(twin.host_key(spec.name)),
            "authorized_keys_file": str(folder / AUTHORIZED),
            "state_dir": str(folder / "flash"),
            "ports": {port: network.port_device(port) for port in spec.ports},
            "max_mtu_bytes": spec.max_mtu_bytes,
        },
        indent=1,
    )


def _start(folder: Path, spec: SwitchSpec) -> None:
    processes.start(
        folder,
        network.namespace(spec.name),
        Supervised(
            name=spec.name,
            argv=[sys.executable, "-m", "lab.switch_cli", "--config", str(folder / CLI)],
            env=ENVIRONMENT,
            restart="always",
            before=[["ip", "link", "set", network.MANAGEMENT, "up"]],
            after=[],
        ),
    )


def load(folder: Path) -> SwitchSpec | None:
    """Return what the switch in `folder` was made from; None: none, or not readable."""
    try:
        return SwitchSpec.model_validate_json((folder / SPEC).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def read(twin: Twin, name: str) -> SwitchState | None:
    """Return the switch as it is found, without logging in; None: there is none."""
    folder = twin.switch(name)
    spec = load(folder)
    if spec is None:
        return None
    on = processes.supervisor(folder) is not None
    inside = network.links(name)
    gone = [p for p in spec.ports if network.port_device(p) not in inside]
    problems = [] if on else ["its command line does not run"]
    if gone:
        problems.append(f"its ports {', '.join(gone)} are gone")
    return SwitchState(
        spec=spec,
        power="on" if on else "off",
        problems=tuple(problems),
        connection=spec.connection(ensure_key(twin.host_key(name))),
        namespace=network.namespace(name),
    )


def delete(twin: Twin, name: str) -> None:
    """Remove the switch, whole or not. Its host key stays, its configuration doesn't."""
    require()
    with twin.locked(f"switch-{name}"):
        folder = twin.switch(name)
        processes.stop(folder, name, timeout_s=5)
        processes.cut(folder, name)
        with twin.locked("network"):
            network.disconnect(name)
        cgroups.remove(name)
        overlay.discard(folder)
