"""Cumulus Linux over SSH: every change is an NVUE revision, applied with a time to confirm it.

NVUE's command line and its REST interface are one API; over SSH it needs no password, and the
switch's host key is pinned. `nv config apply --confirm` goes back by itself.
"""

import contextlib
import secrets
import shlex
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from fabric import cumulus_text, lldp
from fabric.changes import Change, Running, Setting
from fabric.changes import told as told_by
from fabric.linux import LinuxSwitch
from fabric.protocol import Neighbour
from fabric.trial import PREFIX
from remote.errors import RackformError, Unreachable

_SHOWN = TypeAdapter(list[dict[str, object]])


class Cumulus(LinuxSwitch):
    """One switch that runs Cumulus Linux 5 with NVUE."""

    roce_per_port = False
    unsaved = ("startup.yaml", "  + nv config save")

    def _running(self) -> Running:
        return self._configured("applied")

    def _startup(self) -> Running | None:
        return self._configured("startup")

    def _configured(self, revision: str) -> Running:
        text = self._run("nv", "config", "show", "-r", revision, "-o", "json")
        try:
            shown = _SHOWN.validate_json(text or "[]")
        except ValidationError as error:
            raise RackformError(
                f"switch {self._connection.name} shows its {revision} configuration as "
                f"{text.strip()[:60]!r}, which this version can't read: Cumulus Linux 5 with NVUE "
                "is needed"
            ) from error
        tree = next((part["set"] for part in shown if "set" in part), {})
        ports = list(cumulus_text.ports(self._interfaces()))
        settings = tree if isinstance(tree, dict) else {}
        return cumulus_text.running(settings, ports, lldp=self._lldp_runs())

    def _interfaces(self) -> dict[str, object]:
        return self._json("nv", "show", "interface", "-o", "json")

    def _lldp_runs(self) -> bool:
        units = ("--type=service", "--state=active", "--plain", "--no-legend", "lldpd.service")
        return "lldpd.service" in self._run("systemctl", "list-units", *units)

    def _connected(self) -> set[str]:
        return {name for name, up in cumulus_text.ports(self._interfaces()).items() if up}

    def _neighbours(self) -> dict[str, list[Neighbour]]:
        return lldp.neighbours(self._run("sudo", "lldpctl", "-f", "json0"))

    def _told(self, due: Sequence[Change]) -> list[str]:
        return told_by(due, lambda port: f"interface {port}", cumulus_text.word)

    def _clear_the_way(self) -> None:
        for revision, message in self._waiting().items():
            if not message.startswith(PREFIX):
                raise RackformError(
                    f"switch {self._connection.name} is waiting for somebody to confirm revision "
                    f"{revision} ({message or 'no message'}): confirm it there with 'nv config "
                    f"apply {revision} --confirm-yes', or wait until its time has run out"
                )
            self._run("nv", "config", "apply", revision, "--confirm-no")

    def _waiting(self) -> dict[str, str]:
        return cumulus_text.waiting(self._json("nv", "config", "revision", "-o", "json"))

    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        if any(change.setting is Setting.LLDP for change in due):
            raise RackformError(
                f"switch {self._connection.name} doesn't run LLDP as declared, and NVUE doesn't "
                "manage that: run 'sudo systemctl enable --now lldpd' there (or disable it)"
            )
        commands, trial = cumulus_text.commands(due), PREFIX + secrets.token_hex(4)
        self._expect_no_candidate({shlex.join(words) for words in commands})
        try:
            for words in commands:
                self._run(*words)
            timed = ["--confirm", f"{confirm_timeout_s}s", "-m", trial]
            self._run("nv", "config", "apply", "-y", *timed)
        except Unreachable:
            return trial  # a new connection, if there can be one, finds out how it went
        except RackformError:
            self._undo(trial)
            with contextlib.suppress(RackformError):
                self._run("nv", "config", "detach")
            raise
        return trial

    def _expect_no_candidate(self, ours: set[str]) -> None:
        """Refuse to apply what somebody else has entered under this login and not yet applied."""
        text = self._run("nv", "config", "diff", "-o", "commands")
        entered = [shlex.join(shlex.split(line)) for line in text.splitlines() if line.strip()]
        foreign = [line for line in entered if line not in ours]
        if foreign:
            raise RackformError(
                f"switch {self._connection.name} has settings that user {self._connection.user} "
                f"entered and didn't apply ({'; '.join(foreign)}): apply them there with 'nv "
                "config apply', or drop them with 'nv config detach'"
            )
        if entered:
            self._run("nv", "config", "detach")

    def _revision(self, trial: str) -> str | None:
        return next((r for r, message in self._waiting().items() if message == trial), None)

    def _undo(self, trial: str) -> None:
        with contextlib.suppress(RackformError):
            if revision := self._revision(trial):
                self._run("nv", "config", "apply", revision, "--confirm-no")

    def _keep(self, trial: str) -> None:
        revision = self._revision(trial)
        if revision is None:
            raise RackformError(
                f"switch {self._connection.name} has no revision '{trial}' that waits to be "
                "confirmed: see 'nv config history' there for who ended it, then run 'up' again"
            )
        self._run("nv", "config", "apply", revision, "--confirm-yes")

    def _save(self) -> None:
        self._run("nv", "config", "save")
