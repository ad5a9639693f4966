"""The switch behind the CLI: running and startup configuration, sessions, the commit timer.

Sessions follow Arista's user manual ("Configure Session", "Config Session Commit Timer"): a session
starts as a copy of the running configuration; its commit puts that whole copy in place; a commit
with a timer is undone when it isn't confirmed by a second commit; uncommitted sessions are lost
when the switch (here: the daemon) restarts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lab.eos_cli.editor import load
from lab.eos_cli.model import MODEL, VERSION, Config, Interface, factory, render
from lab.switch_cli.core import CliError, Landing, SwitchCore
from lab.switch_cli.ports import Link

MAX_PENDING_SESSIONS = 5


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
class Switch(SwitchCore[Config]):
    """The whole state of one switch that runs EOS, with its configuration sessions."""

    sessions: dict[str, Session] = field(default_factory=dict)

    def factory(self) -> Config:
        return factory(self.hostname, list(self.context.ports))

    def parse(self, text: str) -> Config:
        return load(text, self.hostname, self.context)

    def render(self, config: Config) -> str:
        return "\n".join(render(config)) + "\n"

    def landings(self, config: Config) -> Mapping[str, Landing]:
        return {
            port: Landing(
                each.port_mtu_bytes,
                each.description,
                enabled=not each.shutdown,
                vlan=1 if each.trunk else each.access_vlan,
            )
            for port, each in config.interfaces.items()
        }

    def overlaid(self, config: Config, links: Mapping[str, Link]) -> Config:
        return replace(
            config,
            interfaces={
                port: overlay(interface, links.get(port))
                for port, interface in config.interfaces.items()
            },
        )

    @property
    def system_name(self) -> str:
        return self.declared.hostname

    @property
    def lldp_runs(self) -> bool:
        return self.declared.lldp

    @property
    def about(self) -> str:
        return f"Arista Networks EOS version {VERSION} running on an Arista {MODEL}"

    def open_session(self, name: str, user: str, terminal: str) -> Session:
        """Return the pending session of that name, made now if there is none.

        Raises:
            CliError: it is already committed, or there are too many.

        """
        known = self.sessions.get(name)
        if known and known.state is SessionState.PENDING:
            known.user, known.terminal = user, terminal
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

    def leave_session(self, name: str, terminal: str) -> None:
        """Show nobody in a session that is still open any more, once its terminal has left it."""
        session = self.sessions.get(name)
        if session and session.state is SessionState.PENDING and session.terminal == terminal:
            session.user = session.terminal = ""

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
        if timer_s is not None:
            self.arm(name, timer_s)  # before the ports change: a daemon killed here rolls back
        try:
            self.replace(session.candidate)
        except CliError:
            self.disarm()
            raise
        session.state = SessionState.COMPLETED if timer_s is None else SessionState.COMMITTED
        session.completed = self.clock()
        self._forget_older(name)

    def abort(self, name: str) -> None:
        """Drop a session; one whose commit timer runs is undone at once."""
        if self.pending and self.pending.session == name:
            self.roll_back()
            return
        self._pending_session(name)
        del self.sessions[name]

    def _confirm(self, name: str, timer_s: int | None) -> None:
        if timer_s is not None and self.pending:
            deadline = self.clock() + timer_s
            self.pending = self.pending.model_copy(update={"deadline": deadline})
        else:
            self.pending = None
            if name in self.sessions:
                self.sessions[name].state = SessionState.COMPLETED
        self._remember()

    def rolled_back(self, name: str) -> None:
        if name in self.sessions:
            self.sessions[name].state = SessionState.ABORTED

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
