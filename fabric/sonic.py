"""SONiC over SSH: every change is a JSON patch between a checkpoint and a timer that goes back.

SONiC (202111 and later) has checkpoints and `config apply-patch`, but no commit that undoes itself:
a transient systemd timer on the switch runs `config rollback` unless it is stopped before.
"""

import contextlib
import json
import secrets
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from fabric import sonic_text
from fabric.changes import Change, Running, Setting
from fabric.changes import told as told_by
from fabric.linux import LinuxSwitch, branch
from fabric.protocol import Neighbour, UnderWay
from fabric.trial import PREFIX
from remote.errors import RackformError, Unreachable

_NAMES = TypeAdapter(list[str])
_SAVED = "/etc/sonic/config_db.json"
_LOCK = "/etc/sonic/reload.lock"


class Sonic(LinuxSwitch):
    """One switch that runs SONiC. The user needs sudo that asks for no password."""

    unsaved = ("config_db.json", "  + config save")
    saving = "sudo config save -y"

    def _config(self) -> dict[str, object]:
        return self._json("sudo", "show", "runningconfiguration", "all")

    def _running(self) -> Running:
        return sonic_text.running(self._config())

    def _startup(self, running: Running) -> Running | None:
        _ = running
        saved = self._json("sudo", "cat", _SAVED)
        return sonic_text.running(saved) if saved else None

    def _connected(self) -> set[str]:
        return sonic_text.connected(self._run("show", "interfaces", "status"))

    def _neighbours(self) -> dict[str, list[Neighbour]]:
        return sonic_text.neighbours(self._run("show", "lldp", "table"))

    def _told(self, due: Sequence[Change]) -> list[str]:
        return told_by(due, lambda port: port, sonic_text.word)

    def _others(self, due: Sequence[Change]) -> list[UnderWay]:
        _ = due
        sentences = [
            self._scheduled(unit, what)
            for unit, what in self._timers().items()
            if not unit.startswith(PREFIX) and sonic_text.changes_configuration(what)
        ]
        if lock := self._lock():
            sentences.append(
                f"switch {self._connection.name} has its configuration locked by {lock}: answer or "
                "end that command there, then run 'up' again"
            )
        return [UnderWay(sentence=sentence, blocks=True) for sentence in sentences]

    def _scheduled(self, unit: str, what: str) -> str:
        asked = ("show", "--property=ActiveEnterTimestamp", "--value", f"{unit}.timer")
        since = self._run("systemctl", *asked).strip()
        return (
            f"switch {self._connection.name} is waiting to run '{what}', which somebody else "
            f"scheduled as {unit}.timer{f' on {since}' if since else ''}: stop it there with "
            f"'sudo systemctl stop {unit}.timer', or wait until it has run"
        )

    def _timers(self) -> dict[str, str]:
        units = ("--type=timer", "--all", "--full", "--plain", "--no-legend")
        return sonic_text.timers(self._run("systemctl", "list-units", *units))

    def _lock(self) -> str:
        """Return who holds the lock of `config reload`, which it takes before it asks back."""
        try:
            pid = sonic_text.lock_owner(self._run("sudo", "cat", _LOCK))
            shown = self._run("ps", "-o", "tty=,lstart=,args=", "-p", pid) if pid else ""
            return sonic_text.process(shown)
        except Unreachable:
            raise
        except RackformError:  # it was never taken, or its holder is gone
            return ""

    def _undo_leftovers(self) -> bool:
        ours = [unit for unit in self._timers() if unit.startswith(PREFIX)]
        for unit in ours:
            self._go_back(unit)
        for name in self._checkpoints():
            if name.startswith(PREFIX):
                self._run("sudo", "config", "delete-checkpoint", name)
        return bool(ours)

    def _checkpoints(self) -> list[str]:
        text = self._run("sudo", "config", "list-checkpoints")
        try:
            return _NAMES.validate_json(text or "[]")
        except ValidationError as error:
            raise RackformError(
                f"switch {self._connection.name} lists its checkpoints as {text.strip()[:60]!r}, "
                "which this version can't read: SONiC 202111 or later is needed"
            ) from error

    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        config, trial = self._config(), PREFIX + secrets.token_hex(4)
        self._expect_map(config, due)
        file = f"/tmp/{trial}.json"  # noqa: S108 - a name that nobody can guess, on the switch
        self._run("tee", file, stdin=json.dumps(sonic_text.patch(config, due)))
        try:
            self._run("sudo", "config", "apply-patch", "--dry-run", file)
            self._run("sudo", "config", "checkpoint", trial)
            self._arm(trial, confirm_timeout_s)
            self._commit(trial, file)
        finally:
            with contextlib.suppress(RackformError):
                self._run("rm", "-f", file)
        return trial

    def _commit(self, trial: str, file: str) -> None:
        try:
            self._run("sudo", "config", "apply-patch", file)
        except Unreachable:
            return  # a new connection, if there can be one, finds out how it went
        except RackformError:
            self._undo(trial)
            raise

    def _arm(self, trial: str, confirm_timeout_s: int) -> None:
        at = [f"--on-active={confirm_timeout_s}", "--timer-property=AccuracySec=1s"]
        rollback = ["config", "rollback", trial]
        self._run("sudo", "systemd-run", f"--unit={trial}", *at, *rollback)

    def _expect_map(self, config: dict[str, object], due: Sequence[Change]) -> None:
        trusting = any(change.setting is Setting.TRUST for change in due)
        if trusting and sonic_text.QOS_MAP not in branch(config, "DSCP_TO_TC_MAP"):
            raise RackformError(
                f"switch {self._connection.name} has no DSCP map {sonic_text.QOS_MAP}, which "
                "puts RoCE into its traffic class: run 'sudo config qos reload' there once"
            )

    def _undo(self, trial: str) -> None:
        with contextlib.suppress(RackformError):
            self._go_back(trial)
            self._run("sudo", "config", "delete-checkpoint", trial)

    def _go_back(self, trial: str) -> None:
        self._run("sudo", "config", "rollback", trial)
        self._run("sudo", "systemctl", "stop", f"{trial}.timer")

    def _keep(self, trial: str) -> None:
        self._run("sudo", "systemctl", "stop", f"{trial}.timer")
        self._run("sudo", "config", "delete-checkpoint", trial)

    def _save(self) -> None:
        self._run("sudo", "config", "save", "-y")
