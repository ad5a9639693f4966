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
from fabric.protocol import Neighbour
from fabric.trial import PREFIX
from remote.errors import RackformError, Unreachable

_NAMES = TypeAdapter(list[str])
_SAVED = "/etc/sonic/config_db.json"


class Sonic(LinuxSwitch):
    """One switch that runs SONiC. The user needs sudo that asks for no password."""

    unsaved = ("config_db.json", "  + config save")

    def _config(self) -> dict[str, object]:
        return self._json("sudo", "show", "runningconfiguration", "all")

    def _running(self) -> Running:
        return sonic_text.running(self._config())

    def _startup(self) -> Running | None:
        return sonic_text.running(self._json("sudo", "cat", _SAVED))

    def _connected(self) -> set[str]:
        return sonic_text.connected(self._run("show", "interfaces", "status"))

    def _neighbours(self) -> dict[str, list[Neighbour]]:
        return sonic_text.neighbours(self._run("show", "lldp", "table"))

    def _told(self, due: Sequence[Change]) -> list[str]:
        return told_by(due, lambda port: port, sonic_text.word)

    def _clear_the_way(self) -> None:
        units = ("--type=timer", "--all", "--full", "--plain", "--no-legend")
        waiting = sonic_text.timers(self._run("systemctl", "list-units", *units))
        for unit, what in waiting.items():
            if unit.startswith(PREFIX):
                self._go_back(unit)
            elif sonic_text.changes_configuration(what):
                raise RackformError(
                    f"switch {self._connection.name} is waiting to run '{what}', which somebody "
                    f"else scheduled as {unit}.timer: stop it there with 'sudo systemctl stop "
                    f"{unit}.timer', or wait until it has run"
                )
        for name in self._checkpoints():
            if name.startswith(PREFIX) and name not in waiting:
                self._run("sudo", "config", "delete-checkpoint", name)

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
