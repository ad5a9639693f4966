"""Arista EOS over SSH, by netmiko: every change is a configuration session with a commit timer."""

import contextlib
import secrets
from collections.abc import Sequence

from netmiko.arista.arista import AristaSSH
from netmiko.base_connection import BaseConnection

from fabric import eos_text
from fabric.changes import Change, Running
from fabric.protocol import Neighbour
from fabric.terminal import TerminalSwitch, Woken, connect
from fabric.trial import PREFIX
from remote.connection import Connection
from remote.errors import RackformError, Unreachable


class _Terminal(Woken, AristaSSH):
    """netmiko's EOS driver."""

    greeting = AristaSSH.prompt_pattern
    unpaged = r"Pagination disabled[^>#]*[>#]"


def _connect(connection: Connection) -> BaseConnection:
    return connect(connection, _Terminal, "arista_eos", Eos.system)


class Eos(TerminalSwitch):
    """One switch that runs Arista EOS. Connects when it is made."""

    unsaved = ("startup-config", "  + write memory")

    system = "EOS"

    def _open(self) -> BaseConnection:
        return _connect(self._connection)

    def _running(self) -> Running:
        return self._config("running-config")

    def _startup(self) -> Running | None:
        try:
            return self._config("startup-config")
        except Unreachable:
            raise
        except RackformError:  # it was never saved
            return None

    def _connected(self) -> set[str]:
        return eos_text.connected(self._ask("show interfaces status"))

    def _neighbours(self) -> dict[str, list[Neighbour]]:
        return eos_text.neighbours(self._ask("show lldp neighbors"))

    def _told(self, due: Sequence[Change]) -> list[str]:
        return eos_text.told(due)

    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        session = PREFIX + secrets.token_hex(4)
        self._commit(session, eos_text.commands(due), confirm_timeout_s)
        return session

    def _keep(self, trial: str) -> None:
        self._do(f"configure session {trial} commit")

    def _commit(self, session: str, commands: list[str], confirm_timeout_s: int) -> None:
        try:
            self._do(f"configure session {session}")
            for command in commands:
                self._do(command)
            self._expect_difference(commands)
        except Unreachable:
            raise  # the next run aborts what is left of the session
        except RackformError:
            self._undo(session)
            raise
        try:
            self._do(f"commit timer {eos_text.timer(confirm_timeout_s)}")
        except Unreachable:
            return  # a new connection, if there can be one, finds out how it went
        except RackformError:
            self._undo(session)
            raise

    def _undo(self, trial: str) -> None:
        with contextlib.suppress(RackformError):
            self._do(f"configure session {trial} abort")

    def _expect_difference(self, commands: list[str]) -> None:
        if not self._ask("show session-config diffs"):
            raise RackformError(
                f"switch {self._connection.name} took {commands} without a difference to its "
                "running configuration: enter them by hand to see why"
            )

    def _clear_the_way(self) -> None:
        """Abort the sessions of a run that was cut off; a timed commit among them is undone."""
        listing = self._ask("show configuration sessions detail")
        for session in sorted(eos_text.open_sessions(listing)):
            if session.startswith(PREFIX):
                self._do(f"configure session {session} abort")
            elif session in eos_text.timed_sessions(listing):
                raise RackformError(
                    f"switch {self._connection.name} is waiting for somebody to confirm the "
                    f"configuration session {session}: confirm it there with 'configure session "
                    f"{session} commit', or wait until its timer has run out"
                )

    def _config(self, which: str) -> Running:
        return eos_text.running(self._ask(f"show {which}"))

    def _save(self) -> None:
        answer = self._ask("write memory")
        if "Copy completed successfully" not in answer:
            raise RackformError(
                f"switch {self._connection.name} runs the new configuration but didn't save it "
                f"({answer or 'no answer'}): free space on its flash, then run 'up' again"
            )
