"""Mellanox Onyx (MLNX-OS) over SSH, by netmiko: lines in force at once, a job that takes them back.

Onyx has neither candidate nor timed commit. Before the first line is entered, a job is scheduled on
the switch that enters the opposite of each of them, in reverse; it is removed once a new connection
has found the switch as declared.
"""

import contextlib
import datetime as dt
import secrets
from collections.abc import Sequence

from netmiko.base_connection import BaseConnection
from netmiko.mellanox.mellanox_mlnxos_ssh import MellanoxMlnxosSSH

from fabric import onyx_text
from fabric.changes import Change, Running, Setting, without_secrets
from fabric.changes import told as told_by
from fabric.protocol import Neighbour, UnderWay
from fabric.terminal import TerminalSwitch, Woken, connect
from fabric.trial import PREFIX
from remote.errors import RackformError, Unreachable

_FIRST_JOB = 900


class _Terminal(Woken, MellanoxMlnxosSSH):
    """netmiko's Onyx driver."""

    greeting = r"[>#]\s*$"
    unpaged = r"paging enable[\s\S]*?\n[^\n]*[>#]\s*$"


class Onyx(TerminalSwitch):
    """One switch that runs Mellanox Onyx. Stays in configuration mode, where all can be asked."""

    system = "Onyx"
    unsaved = ("saved configuration", "  + configuration write")
    saving = "configuration write"

    def _open(self) -> BaseConnection:
        terminal = connect(self._connection, _Terminal, "mellanox_mlnxos", self.system)
        terminal.write_channel("configure terminal\n")
        terminal.read_until_pattern(r"\(config\) #\s*$", read_timeout=10)
        return terminal

    def _running(self) -> Running:
        return onyx_text.running(self._ask("show running-config"), list(self._status()))

    def _startup(self, running: Running) -> Running | None:
        return onyx_text.running(self._ask("show configuration"), list(running.ports))

    def _status(self) -> dict[str, bool]:
        return onyx_text.status(self._ask("show interfaces ethernet status | json-print"))

    def _connected(self) -> set[str]:
        return {port for port, up in self._status().items() if up}

    def _neighbours(self) -> dict[str, list[Neighbour]]:
        return onyx_text.neighbours(self._ask("show lldp interfaces ethernet remote"))

    def _told(self, due: Sequence[Change]) -> list[str]:
        return told_by(due, lambda port: f"interface ethernet {port[3:]}", onyx_text.word)

    def _jobs(self) -> list[onyx_text.Job]:
        return onyx_text.jobs(self._ask("show jobs"))

    def _others(self, due: Sequence[Change]) -> list[UnderWay]:
        _ = due
        jobs = [job for job in self._jobs() if not job.name.startswith(PREFIX)]
        found = [UnderWay(sentence=self._waits(job), blocks=True) for job in jobs if job.changes]
        logins = self._logins()
        mine = onyx_text.mine(logins, self._connection.user, self._own_address())
        return found + [
            UnderWay(sentence=self._logged_in(login), blocks=False)
            for login in logins
            if login is not mine
        ]

    def _logins(self) -> list[onyx_text.Login]:
        try:
            return onyx_text.logins(self._ask("show users"))
        except Unreachable:
            raise
        except RackformError:  # a version, or a user, that may not ask: it is told, never needed
            return []

    def _waits(self, job: onyx_text.Job) -> str:
        return (
            f"switch {self._connection.name} has job {job.id} ({job.name or 'no name'}) of "
            f"somebody else waiting to enter '{without_secrets(job.commands[-1])}'"
            f"{f' at {job.at}' if job.at else ''}: remove it there with 'no job {job.id}', or wait "
            "until it has run"
        )

    def _logged_in(self, login: onyx_text.Login) -> str:
        return (
            f"switch {self._connection.name} has {login.user} logged in on {login.line} from "
            f"{login.host or 'its console'}, idle for {login.idle}: Onyx has no sessions, so what "
            "is entered there is in force at once; see that nobody is configuring the same ports"
        )

    def _undo_leftovers(self) -> bool:
        ours = [job for job in self._jobs() if job.name.startswith(PREFIX)]
        for job in ours:
            self._end(job, take_back=job.waits)
        return bool(ours)

    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        trial = PREFIX + secrets.token_hex(4)
        back = onyx_text.commands([change.reversed() for change in reversed(due)])
        self._arm(trial, back, confirm_timeout_s)
        try:
            if any(change.setting is Setting.VLAN for change in due):
                self._do("no cli session prefix-modes enable")  # 'vlan 78' would begin a section
            for line in onyx_text.commands(due):
                self._do(line)
        except Unreachable:
            return trial  # a new connection, if there can be one, finds out how it went
        except RackformError:
            self._undo(trial)
            raise
        return trial

    def _arm(self, trial: str, lines: Sequence[str], confirm_timeout_s: int) -> None:
        now = onyx_text.clock(self._ask("show clock"))
        if now is None:
            raise RackformError(
                f"switch {self._connection.name} doesn't tell its time, by which a change is taken "
                "back: set it there with 'clock set' or 'ntp server'"
            )
        at = now + dt.timedelta(seconds=confirm_timeout_s)
        number = max([_FIRST_JOB - 1, *(job.id for job in self._jobs())]) + 1
        self._do(f"job {number} name {trial}")
        for position, line in enumerate(lines, start=1):
            quoted = line.replace('"', '\\"')
            self._do(f'job {number} command {position} "{quoted}"')
        self._do(f"job {number} fail-continue")
        self._do(f"job {number} schedule type once")
        self._do(f"job {number} schedule once time {at:%H:%M:%S} date {at:%Y/%m/%d}")
        self._do(f"job {number} enable")

    def _named(self, trial: str) -> onyx_text.Job | None:
        return next((job for job in self._jobs() if job.name == trial), None)

    def _end(self, job: onyx_text.Job, *, take_back: bool) -> None:
        if take_back:
            self._do(f"job {job.id} execute")
        self._do(f"no job {job.id}")

    def _undo(self, trial: str) -> None:
        with contextlib.suppress(RackformError):
            if job := self._named(trial):
                self._end(job, take_back=True)

    def _keep(self, trial: str) -> None:
        job = self._named(trial)
        if job is None or not job.waits:
            raise RackformError(
                f"switch {self._connection.name} has taken the change back already: its job "
                f"'{trial}' has run; give it more time, or see why the switch is slow"
            )
        self._end(job, take_back=False)

    def _save(self) -> None:
        self._do("configuration write")
