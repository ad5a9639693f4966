"""Each network OS that the twin speaks: its switch, and what a login to it gets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lab.eos_cli import engine as eos
from lab.eos_cli.shell import Shell as EosShell
from lab.switch_cli.agent import Announced
from lab.switch_cli.core import Context
from lab.switch_cli.lldp import Table
from lab.switch_cli.ports import Ports
from lab.switch_cli.server import Terminal, Timed
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store


class Device(Announced, Timed, Protocol):
    """A switch, whatever it runs."""

    def reconcile(self) -> None: ...


@dataclass(frozen=True)
class Speaking:
    """A switch, and how somebody logs in to it: (user, terminal) → a terminal."""

    switch: Device
    login: Callable[[str, str], Terminal]


def _eos(settings: Settings, ports: Ports, store: Store, world: str, table: Table) -> Speaking:
    switch = eos.Switch(settings.hostname, _context(settings), ports, store, world)
    return Speaking(switch, lambda user, line: EosShell(switch, table, user, line))


def _context(settings: Settings) -> Context:
    return Context(ports=tuple(settings.ports), max_mtu_bytes=settings.max_mtu_bytes)


_SYSTEMS = {"eos": _eos}


def speaking(settings: Settings, ports: Ports, store: Store, world: str, table: Table) -> Speaking:
    return _SYSTEMS[settings.os](settings, ports, store, world, table)
