"""The switch behind the CLI: running and startup configuration, sessions, the commit timer.

Sessions follow Arista's user manual ("Configure Session", "Config Session Commit Timer"): a session
starts as a copy of the running configuration; its commit puts that whole copy in place; a commit
with a timer is undone when it isn't confirmed by a second commit; uncommitted sessions are lost
when the switch (here: the daemon) restarts.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lab.eos_cli.editor import load
from lab.eos_cli.grammar import CliError, Context
from lab.eos_cli.model import Config, Interface, factory, render
from lab.eos_cli.ports import Link, PortError, Ports
from lab.eos_cli.store import Memory, PendingRollback, Store

MAX_PENDING_SESSIONS = 5

log = logging.getLogger("eos_cli")


class SessionState(StrEnum):
    PENDING = "pending"
    COMMITTED = "committed"
    COMPLETED = "completed"
    ABORTED = "aborted"


@dataclass
class Session:
    """One configuration session; `candidate` is edited line by line."""

    name: str
    candidate: Config
    state: SessionState = SessionState.PENDING
    user: str = ""
    terminal: str = ""
    completed: float | None = None


def overlay(declared: Interface, link: Link | None) -> Interface:
    """Return the interface as it runs: what the kernel says wins over what was configured."""
    if link is None:
        return declared
    found = replace(declared, shutdown=not link.enabled)
    if link.mtu_bytes == declared.port_mtu_bytes:
        return found
    l2 = declared.l2_mtu_bytes
    kept = l2 if l2 is not None and l2 >= link.mtu_bytes else None
    return replace(found, mtu_bytes=link.mtu_bytes, l2_mtu_bytes=kept)


@dataclass
class Switch:
    """The whole state of one switch. Every method runs to its end: nothing here waits."""

    hostname: str
    context: Context
    ports: Ports
    store: Store
    world: str
    clock: Callable[[], float] = time.time
    sessions: dict[str, Session] = field(default_factory=dict)
    pending: PendingRollback | None = None
    _declared: Config = field(init=False)
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Go on where this switch was, or start cold from the startup configuration."""
        memory = self.store.memory(self.world)
        if memory:
            self._declared = load(memory.running, self.hostname, self.context)
            self.pending = memory.pending
            self._known = dict(memory.devices)
            self.reconcile()
            return
        self._known = {port: link.identity for port, link in self.ports.read().items()}
        self._declared = factory(self.hostname, list(self.context.ports))
        startup = self.store.startup()
        if startup is not None:
            self.replace(load(startup, self.hostname, self.context))
        else:
            self._declared = self.running()
            self._remember()

    @property
    def declared(self) -> Config:
        """What was configured, whatever the ports have become: for all that isn't theirs."""
        return self._declared

    def running(self) -> Config:
        """Return the running configuration, with what somebody set on the ports by hand."""
        links = self.ports.read()
        return replace(
            self._declared,
            interfaces={
                port: overlay(interface, links.get(port))
                for port, interface in self._declared.interfaces.items()
            },
        )

    def replace(self, wanted: Config) -> None:
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
        self.store.save_startup(self._text(self.running()))

    def reconcile(self) -> None:
        """Put the configuration onto ports whose device is new: a cable was plugged in again."""
        links = self.ports.read()
        found = {port: link.identity for port, link in links.items()}
        if found == self._known:
            return
        for port in [p for p in links if self._known.get(p) != found[p]]:
            try:
                self._land_port(port, self._declared.interfaces[port], links[port])
            except PortError as error:  # gone already, or not whole yet: its next change tells
                log.warning("%s didn't take its configuration: %s", port, error)
                del found[port]
        self._known = found
        self._remember()

    def open_session(self, name: str, user: str, terminal: str) -> Session:
        """Return the pending session of that name, made now if there is none.

        Raises:
            CliError: it is already committed, or there are too many.

        """
        known = self.sessions.get(name)
        if known and known.state is SessionState.PENDING:
            return known
        if self.pending and self.pending.session == name:
            raise CliError(f"% Session {name} is waiting for its commit to be confirmed")
        waiting = [s for s in self.sessions.values() if s.state is SessionState.PENDING]
        if len(waiting) >= MAX_PENDING_SESSIONS:
            raise CliError(
                "% Maximum number of pending sessions has been reached. Please commit or abort "
                "previous sessions before creating a new one."
            )
        self.sessions[name] = Session(name, self.running(), user=user, terminal=terminal)
        return self.sessions[name]

    def commit(self, name: str, timer_s: int | None = None) -> None:
        """Commit a session, or confirm it when its commit timer runs.

        Raises:
            CliError: no such session, another one's timer runs, or the kernel refused.

        """
        if self.pending and self.pending.session == name:
            self._confirm(name, timer_s)
            return
        if self.pending:
            raise CliError(
                f"% Cannot commit session {name}: session {self.pending.session} has a commit "
                "timer running"
            )
        session = self._pending_session(name)
        checkpoint = self._text(self.running())
        if timer_s is not None:
            self.pending = PendingRollback(
                session=name, deadline=self.clock() + timer_s, checkpoint=checkpoint
            )
            self._remember()  # before the ports change: a daemon killed here still rolls back
        try:
            self.replace(session.candidate)
        except CliError:
            self.pending = None
            self._remember()
            raise
        session.state = SessionState.COMPLETED if timer_s is None else SessionState.COMMITTED
        session.completed = self.clock()
        self._forget_older(name)

    def abort(self, name: str) -> None:
        """Drop a session; one whose commit timer runs is undone at once."""
        if self.pending and self.pending.session == name:
            self._roll_back()
            return
        self._pending_session(name)
        del self.sessions[name]

    def expire(self) -> bool:
        """Undo the commit whose timer has run out; return whether there was one."""
        if self.pending is None or self.clock() < self.pending.deadline:
            return False
        self._roll_back()
        return True

    def parse(self, text: str) -> Config:
        return load(text, self.hostname, self.context)

    def _confirm(self, name: str, timer_s: int | None) -> None:
        if timer_s is not None and self.pending:
            deadline = self.clock() + timer_s
            self.pending = self.pending.model_copy(update={"deadline": deadline})
        else:
            self.pending = None
            if name in self.sessions:
                self.sessions[name].state = SessionState.COMPLETED
        self._remember()

    def _roll_back(self) -> None:
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            self.replace(load(pending.checkpoint, self.hostname, self.context))
        except CliError:
            self.pending = pending  # tried again: a rollback is never given up
            raise
        if pending.session in self.sessions:
            self.sessions[pending.session].state = SessionState.ABORTED

    def _pending_session(self, name: str) -> Session:
        session = self.sessions.get(name)
        if session is None or session.state is not SessionState.PENDING:
            raise CliError(f"% Session {name} does not exist")
        return session

    def _forget_older(self, name: str) -> None:
        """Keep one completed session, as EOS does by default."""
        for other in [
            s.name
            for s in self.sessions.values()
            if s.name != name and s.state is not SessionState.PENDING
        ]:
            del self.sessions[other]

    def _land(self, wanted: Config) -> None:
        links = self.ports.read()
        for port, interface in wanted.interfaces.items():
            if port in links:
                self._land_port(port, interface, links[port])

    def _land_port(self, port: str, interface: Interface, link: Link) -> None:
        if link.mtu_bytes != interface.port_mtu_bytes:
            self.ports.set_mtu(port, interface.port_mtu_bytes)
        if link.alias != interface.description:
            self.ports.set_description(port, interface.description)
        if link.enabled == interface.shutdown:
            self.ports.set_enabled(port, enabled=not interface.shutdown)

    def _text(self, config: Config) -> str:
        return "\n".join(render(config)) + "\n"

    def _remember(self) -> None:
        self.store.save_memory(
            Memory(
                world=self.world,
                running=self._text(self._declared),
                devices=self._known,
                pending=self.pending,
            )
        )
