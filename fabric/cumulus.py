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
from fabric.changes import Change, Running, Setting, without_secrets
from fabric.changes import told as told_by
from fabric.linux import LinuxSwitch
from fabric.protocol import Neighbour, UnderWay
from fabric.trial import PREFIX
from remote.errors import RackformError, Unreachable

_SHOWN = TypeAdapter(list[dict[str, object]])


class Cumulus(LinuxSwitch):
    """One switch that runs Cumulus Linux 5 with NVUE."""

    roce_per_port = False
    unsaved = ("startup.yaml", "  + nv config save")
    saving = "nv config save"

    def _running(self) -> Running:
        tree, ports = self._tree("applied"), list(cumulus_text.ports(self._interfaces()))
        return cumulus_text.running(tree, ports, lldp=self._lldp_runs())

    def _startup(self, running: Running) -> Running | None:
        tree, ports = self._tree("startup"), list(running.ports)
        return cumulus_text.running(tree, ports, lldp=running.lldp) if tree else None

    def _tree(self, revision: str) -> dict[str, object]:
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
        return tree if isinstance(tree, dict) else {}

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

    def _others(self, due: Sequence[Change]) -> list[UnderWay]:
        revisions = [r for r in self._revisions() if not r.message.startswith(PREFIX)]
        found = [
            UnderWay(sentence=self._on_trial(revision), blocks=True)
            for revision in revisions
            if revision.state == "confirm"
        ]
        if foreign := _foreign(self._candidate(), due):
            found.append(UnderWay(sentence=self._entered(foreign), blocks=True))
        return found + [
            UnderWay(sentence=self._open(revision), blocks=False)
            for revision in revisions
            if revision.state == "pending" and revision.user != self._connection.user
        ]

    def _on_trial(self, revision: cumulus_text.Revision) -> str:
        return (
            f"switch {self._connection.name} is waiting for somebody to confirm revision "
            f"{revision.told}: confirm it there with 'nv config apply {revision.name} "
            "--confirm-yes', or wait until its time has run out"
        )

    def _entered(self, foreign: Sequence[str]) -> str:
        lines = "; ".join(map(without_secrets, foreign))
        return (
            f"switch {self._connection.name} has settings that user {self._connection.user} "
            f"entered and didn't apply ({lines}): apply them there with 'nv config apply', or drop "
            "them with 'nv config detach'"
        )

    def _open(self, revision: cumulus_text.Revision) -> str:
        return (
            f"switch {self._connection.name} has the pending revision {revision.told}, begun from "
            "what ran before this change: see 'nv config diff' there before it is applied"
        )

    def _revisions(self) -> list[cumulus_text.Revision]:
        return cumulus_text.revisions(self._json("nv", "config", "revision", "-o", "json"))

    def _undo_leftovers(self) -> bool:
        waiting = [r for r in self._revisions() if r.state == "confirm"]
        ours = [revision.name for revision in waiting if revision.message.startswith(PREFIX)]
        for name in ours:
            self._run("nv", "config", "apply", name, "--confirm-no")
        return bool(ours)

    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        if any(change.setting is Setting.LLDP for change in due):
            raise RackformError(
                f"switch {self._connection.name} doesn't run LLDP as declared, and NVUE doesn't "
                "manage that: run 'sudo systemctl enable --now lldpd' there (or disable it)"
            )
        commands, trial = cumulus_text.commands(due), PREFIX + secrets.token_hex(4)
        if candidate := self._candidate():
            if foreign := _foreign(candidate, due):
                raise RackformError(self._entered(foreign))
            self._run("nv", "config", "detach")  # of a run of ours that was cut off
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

    def _candidate(self) -> list[str]:
        """Return what was entered under this login and not yet applied."""
        text = self._run("nv", "config", "diff", "-o", "commands")
        return [shlex.join(shlex.split(line)) for line in text.splitlines() if line.strip()]

    def _revision(self, trial: str) -> str | None:
        waiting = (r for r in self._revisions() if r.state == "confirm" and r.message == trial)
        return next((revision.name for revision in waiting), None)

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


def _foreign(candidate: Sequence[str], due: Sequence[Change]) -> list[str]:
    """Return the lines of a candidate that aren't part of `due`."""
    ours = {shlex.join(words) for words in cumulus_text.commands(due)}
    return [line for line in candidate if line not in ours]
