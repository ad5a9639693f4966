"""What `show` prints of the switch, whoever asks and in whichever mode."""

import time
from collections.abc import Callable, Sequence

from lab.eos_cli import show, structured
from lab.eos_cli.engine import Switch
from lab.eos_cli.model import render
from lab.switch_cli.core import CliError
from lab.switch_cli.lldp import Table
from lab.switch_cli.matching import Command

Look = Callable[[Switch, Table, Command], Sequence[str]]
LOOKS: dict[str, Look] = {}
"""A command's form → what prints it."""


def _shows(*forms: str) -> Callable[[Look], Look]:
    def register(look: Look) -> Look:
        LOOKS.update(dict.fromkeys(forms, look))
        return look

    return register


def _asked(switch: Switch, command: Command) -> list[str]:
    """Return the ports that a command is about: the one that it names, or all."""
    only = command.arguments.get("interface")
    return [only] if only else list(switch.context.ports)


@_shows("show configuration sessions", "show configuration sessions detail")
def _sessions(switch: Switch, _: Table, command: Command) -> Sequence[str]:
    return show.sessions(switch, detail=command.form.endswith("detail"))


@_shows("show running-config")
def _running(switch: Switch, _: Table, __: Command) -> Sequence[str]:
    return show.running_config(switch.running())


@_shows("show running-config section <line>")
def _section(switch: Switch, _: Table, command: Command) -> Sequence[str]:
    return show.section(render(switch.running()), command.arguments["line"])


@_shows("show running-config interfaces <interface>")
def _running_interface(switch: Switch, _: Table, command: Command) -> Sequence[str]:
    title = f"interface {command.arguments['interface']}"
    lines = show.blocks(render(switch.running()))
    return [line for block in lines if block[0] == title for line in block]


@_shows("show startup-config")
def _startup(switch: Switch, _: Table, __: Command) -> Sequence[str]:
    text = switch.store.startup()
    if text is None:
        return ["% Error displaying startup-config: No such file or directory"]
    return show.running_config(switch.parse(text), "show startup-config")


@_shows("show version")
def _version(switch: Switch, _: Table, __: Command) -> Sequence[str]:
    mac = structured.system_mac(switch)
    return show.version(mac, structured.uptime_s(), structured.memory_kb())


@_shows("show hostname")
def _hostname(switch: Switch, _: Table, __: Command) -> Sequence[str]:
    hostname = switch.declared.hostname
    return [f"Hostname: {hostname}", f"FQDN:     {hostname}"]


@_shows("show clock")
def _clock(_: Switch, __: Table, ___: Command) -> Sequence[str]:
    now = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime())
    return [now, "Timezone: UTC", "Clock source: local"]


@_shows("show interfaces", "show interfaces <interface>")
def _interfaces(switch: Switch, _: Table, command: Command) -> Sequence[str]:
    links, config = switch.ports.read(), switch.running()
    ports = _asked(switch, command)
    return [
        line
        for port in ports
        for line in show.interface(port, config.interfaces[port], links.get(port))
    ]


@_shows("show interfaces status", "show interfaces <interface> status")
def _status(switch: Switch, _: Table, command: Command) -> Sequence[str]:
    ports = _asked(switch, command)
    return show.interfaces_status(switch.running(), switch.ports.read(), ports)


@_shows("show interfaces description")
def _description(switch: Switch, _: Table, __: Command) -> Sequence[str]:
    return show.interfaces_description(switch.running(), switch.ports.read())


@_shows(
    "show lldp neighbors",
    "show lldp neighbors detail",
    "show lldp neighbors <interface>",
    "show lldp neighbors <interface> detail",
)
def _lldp(switch: Switch, table: Table, command: Command) -> Sequence[str]:
    if not switch.declared.lldp:
        raise CliError("% LLDP is not enabled")
    ports = _asked(switch, command)
    if command.form.endswith("detail"):
        return show.lldp_neighbors_detail(table, ports)
    return show.lldp_neighbors(table, ports)
