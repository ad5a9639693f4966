"""Each network OS that the twin speaks: its switch, and what a login to it gets."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lab.cumulus_cli import engine as cumulus
from lab.cumulus_cli.shell import Shell as CumulusShell
from lab.eos_cli import engine as eos
from lab.eos_cli.shell import Shell as EosShell
from lab.onyx_cli import engine as onyx
from lab.onyx_cli.shell import Shell as OnyxShell
from lab.sonic_cli import engine as sonic
from lab.sonic_cli.shell import Shell as SonicShell
from lab.switch_cli.agent import Announced
from lab.switch_cli.core import Context
from lab.switch_cli.lldp import Table
from lab.switch_cli.ports import Ports
from lab.switch_cli.server import Login, Timed
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store


class Device(Announced, Timed, Protocol):
    """A switch, whatever it runs."""

    def reconcile(self) -> None: ...


@dataclass(frozen=True)
class Speaking:
    """A switch, and how somebody logs in to it."""

    switch: Device
    login: Login


@dataclass(frozen=True)
class World:
    """What a switch is made of, beside its settings."""

    ports: Ports
    store: Store
    world: str
    table: Table
    clock: Callable[[], float] = time.time


def _eos(settings: Settings, of: World) -> Speaking:
    switch = eos.Switch(*_parts(settings, of))
    return Speaking(switch, lambda user, line, _="": EosShell(switch, of.table, user, line))


def _cumulus(settings: Settings, of: World) -> Speaking:
    switch = cumulus.Switch(*_parts(settings, of))
    files: dict[str, str] = {}
    return Speaking(switch, lambda user, _, __="": CumulusShell(user, files, switch, of.table))


def _onyx(settings: Settings, of: World) -> Speaking:
    switch = onyx.Switch(*_parts(settings, of))
    return Speaking(
        switch, lambda user, line, host="": OnyxShell(switch, of.table, user, line, host)
    )


def _sonic(settings: Settings, of: World) -> Speaking:
    switch = sonic.Switch(*_parts(settings, of))
    files: dict[str, str] = {}
    return Speaking(
        switch, lambda user, line, _="": SonicShell(user, files, switch, of.table, line)
    )


def _parts(
    settings: Settings, of: World
) -> tuple[str, Context, Ports, Store, str, Callable[[], float]]:
    context = Context(ports=tuple(settings.ports), max_mtu_bytes=settings.max_mtu_bytes)
    return settings.hostname, context, of.ports, of.store, of.world, of.clock


_SYSTEMS = {"eos": _eos, "cumulus": _cumulus, "onyx": _onyx, "sonic": _sonic}


def speaking(settings: Settings, of: World) -> Speaking:
    return _SYSTEMS[settings.os](settings, of)
