"""What every switch of the twin is behind its command line: configuration, ports, a rollback.

A network OS adds its own configuration model (`parse`, `render`, `landings`, `overlaid`) and the
way in which a change is tried: a session, a revision, a checkpoint, a job. Whatever it is called
there, a change that nobody confirms is undone by `expire`, also after the daemon was killed.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lab.switch_cli.ports import FIRST_VLAN, Link, PortError, Ports
from lab.switch_cli.store import Memory, PendingRollback, Store

log = logging.getLogger("switch_cli")


class CliError(Exception):
    """A line that is refused; the message is what the switch prints."""


@dataclass(frozen=True)
class Context:
    """What the arguments of commands are checked against."""

    ports: tuple[str, ...]
    max_mtu_bytes: int


@dataclass(frozen=True)
class Landing:
    """What a configuration makes of one port."""

    mtu_bytes: int
    description: str
    enabled: bool
    vlan: int | None = None
    """Untagged. A port that is in none forwards as one in VLAN 1, unlike on a switch."""


ConfigT = TypeVar("ConfigT")


@dataclass
class SwitchCore(ABC, Generic[ConfigT]):
    """The whole state of one switch. Every method runs to its end: nothing here waits."""

    hostname: str
    context: Context
    ports: Ports
    store: Store
    world: str
    clock: Callable[[], float] = time.time
    pending: PendingRollback | None = None
    _declared: ConfigT = field(init=False)
    _known: dict[str, str] = field(default_factory=dict)

    @abstractmethod
    def factory(self) -> ConfigT:
        """Return the configuration of a switch that was never configured."""

    @abstractmethod
    def parse(self, text: str) -> ConfigT:
        """Return the configuration that a text describes.

        Raises:
            CliError: the first line that isn't one of a configuration.

        """

    @abstractmethod
    def render(self, config: ConfigT) -> str: ...

    @abstractmethod
    def landings(self, config: ConfigT) -> Mapping[str, Landing]:
        """Return what the configuration makes of every port of the switch."""

    @abstractmethod
    def overlaid(self, config: ConfigT, links: Mapping[str, Link]) -> ConfigT:
        """Return the configuration as it runs: what the kernel says wins over what was set."""

    @property
    @abstractmethod
    def system_name(self) -> str: ...

    @property
    @abstractmethod
    def lldp_runs(self) -> bool: ...

    @property
    @abstractmethod
    def about(self) -> str:
        """What LLDP tells of the switch."""

    def __post_init__(self) -> None:
        """Go on where this switch was, or start cold from the startup configuration."""
        memory = self.store.memory(self.world)
        if memory:
            self._declared = self.parse(memory.running)
            self.pending = memory.pending
            self._known = dict(memory.devices)
            self.reconcile()
            return
        self._known = {port: link.identity for port, link in self.ports.read().items()}
        self._declared = self.factory()
        startup = self.store.startup()
        if startup is not None:
            self.replace(self.parse(startup))
        else:
            self._declared = self.running()
            self._remember()

    @property
    def declared(self) -> ConfigT:
        """What was configured, whatever the ports have become: for all that isn't theirs."""
        return self._declared

    def running(self) -> ConfigT:
        """Return the running configuration, with what somebody set on the ports by hand."""
        return self.overlaid(self._declared, self.ports.read())

    def replace(self, wanted: ConfigT) -> None:
        """Make a configuration the running one, on the ports too.

        Raises:
            CliError: the kernel refused; the ports are as they were before.

        """
        before = self.running()
        try:
            self._land(wanted)
        except PortError as error:
            self._land(before)
            raise CliError(f"% Error applying configuration: {error}") from error
        self._declared = wanted
        self._remember()

    def save(self) -> None:
        self.store.save_startup(self.render(self.running()))

    def reconcile(self) -> None:
        """Put the configuration onto ports whose device is new: a cable was plugged in again."""
        links = self.ports.read()
        found = {port: link.identity for port, link in links.items()}
        if found == self._known:
            return
        landings = self.landings(self._declared)
        for port in [p for p in links if self._known.get(p) != found[p]]:
            try:
                self._land_port(port, landings[port], links[port])
            except PortError as error:  # gone already, or not whole yet: its next change tells
                log.warning("%s didn't take its configuration: %s", port, error)
                del found[port]
        self._known = found
        self._remember()

    def arm(self, name: str, timer_s: float, checkpoint: str | None = None) -> None:
        """Undo everything from now on after `timer_s` unless `disarm` comes before."""
        text = self.render(self.running()) if checkpoint is None else checkpoint
        self.pending = PendingRollback(
            session=name, deadline=self.clock() + timer_s, checkpoint=text
        )
        self._remember()

    def disarm(self) -> None:
        self.pending = None
        self._remember()

    def waits(self) -> bool:
        """Return whether a change is waiting for its confirmation."""
        return self.pending is not None

    def expire(self) -> bool:
        """Undo the change whose timer has run out; return whether there was one."""
        if self.pending is None or self.clock() < self.pending.deadline:
            return False
        self.roll_back()
        return True

    def roll_back(self) -> None:
        """Undo the change that waits for its confirmation, if there is one.

        Raises:
            CliError: the kernel refused; the change still waits, and is undone later.

        """
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            self.replace(self.parse(pending.checkpoint))
        except CliError:
            self.pending = pending  # tried again: a rollback is never given up
            raise
        self.rolled_back(pending.session)

    def rolled_back(self, name: str) -> None:
        """Hear that a change was undone."""

    def _land(self, wanted: ConfigT) -> None:
        links = self.ports.read()
        for port, landing in self.landings(wanted).items():
            if port in links:
                self._land_port(port, landing, links[port])

    def _land_port(self, port: str, landing: Landing, link: Link) -> None:
        if link.mtu_bytes != landing.mtu_bytes:
            self.ports.set_mtu(port, landing.mtu_bytes)
        if link.alias != landing.description:
            self.ports.set_description(port, landing.description)
        if link.enabled != landing.enabled:
            self.ports.set_enabled(port, enabled=landing.enabled)
        if link.vlan != (landing.vlan or FIRST_VLAN):
            self.ports.set_vlan(port, landing.vlan or FIRST_VLAN)

    def _remember(self) -> None:
        self.store.save_memory(
            Memory(
                world=self.world,
                running=self.render(self._declared),
                devices=self._known,
                pending=self.pending,
            )
        )
