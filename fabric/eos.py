"""Arista EOS over SSH, by netmiko: every change is a configuration session with a commit timer."""

import contextlib
import secrets
from collections.abc import Sequence

from netmiko.arista.arista import AristaSSH
from netmiko.base_connection import BaseConnection

from fabric import eos_text
from fabric.changes import Change, Running
from fabric.protocol import Neighbour, UnderWay
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

    system = "EOS"
    unsaved = ("startup-config", "  + write memory")
    saving = "write memory"

    def _open(self) -> BaseConnection:
        return _connect(self._connection)

    def _running(self) -> Running:
        return self._config("running-config")

    def _startup(self, running: Running) -> Running | None:
        _ = running
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

    def _others(self, due: Sequence[Change]) -> list[UnderWay]:
        _ = due
        text = self._ask("show configuration sessions detail")
        others = [s for s in eos_text.sessions(text) if not s.name.startswith(PREFIX)]
        waiting = [session for session in others if not session.timed]
        found = [
            UnderWay(sentence=self._timed(session), blocks=True)
            for session in others
            if session.timed
        ]
        most = eos_text.most_sessions(text)
        if most is not None and len(waiting) >= most:
            return [*found, UnderWay(sentence=self._full(waiting, most), blocks=True)]
        return found + [UnderWay(sentence=self._opened(s), blocks=False) for s in waiting]

    def _timed(self, session: eos_text.Session) -> str:
        left = f" within {session.left}" if session.left else ""
        return (
            f"switch {self._connection.name} is waiting for somebody to confirm the configuration "
            f"session {_whose(session)}{left}: confirm it there with 'configure session "
            f"{session.name} commit', or wait until its timer has run out"
        )

    def _full(self, waiting: Sequence[eos_text.Session], most: int) -> str:
        return (
            f"switch {self._connection.name} has {', '.join(map(_whose, waiting))} open and takes "
            f"no more than {most} configuration sessions: commit one there or end it with "
            "'configure session NAME abort', then run 'up' again"
        )

    def _opened(self, session: eos_text.Session) -> str:
        """Tell of a session that is only being edited: its commit puts a whole old copy back."""
        return (
            f"switch {self._connection.name} has the configuration session {_whose(session)} open: "
            "committed after this change it takes the change back, as it began from what ran "
            f"before: commit it first, or end it there with 'configure session {session.name} "
            "abort' and begin it anew"
        )

    def _undo_leftovers(self) -> bool:
        """Abort the sessions of a run that was cut off; a timed commit among them is undone."""
        open_now = eos_text.sessions(self._ask("show configuration sessions detail"))
        ours = [session.name for session in open_now if session.name.startswith(PREFIX)]
        for name in ours:
            self._do(f"configure session {name} abort")
        return bool(ours)

    def _config(self, which: str) -> Running:
        return eos_text.running(self._ask(f"show {which}"))

    def _save(self) -> None:
        answer = self._ask("write memory")
        if "Copy completed successfully" not in answer:
            raise RackformError(
                f"switch {self._connection.name} runs the new configuration but didn't save it "
                f"({answer or 'no answer'}): free space on its flash, then run 'up' again"
            )


def _whose(session: eos_text.Session) -> str:
    """Return a session by its name, with whom the switch sees in it."""
    return (
        f"{session.name} (of {session.user} on {session.terminal})"
        if session.user
        else session.name
    )
