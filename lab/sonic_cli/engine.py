"""The switch behind SONiC's commands: CONFIG_DB, checkpoints, and a timer that rolls back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.sonic_cli import config as configdb
from lab.sonic_cli.config import ConfigDb
from lab.switch_cli.core import CliError, Landing, SwitchCore
from lab.switch_cli.ports import Link

VERSION = "SONiC.202411"
_CHECKPOINT = "checkpoint-"
_RELOADER = 4242


@dataclass(frozen=True)
class Holder:
    """The command that holds the lock of `config reload`, from its question to its end."""

    pid: int
    terminal: str
    since: float


@dataclass
class Switch(SwitchCore[ConfigDb]):
    """The whole state of one switch that runs SONiC."""

    timers: dict[str, str] = field(default_factory=dict)
    """Unit → what it runs; the first of them is the rollback that is armed."""
    started: float = 0.0
    lock: Holder | None = None
    locked_ever: bool = False

    def factory(self) -> ConfigDb:
        return configdb.factory(self.hostname, self.context)

    def parse(self, text: str) -> ConfigDb:
        return configdb.parse(text)

    def render(self, config: ConfigDb) -> str:
        return configdb.render(config)

    def landings(self, config: ConfigDb) -> Mapping[str, Landing]:
        return configdb.landings(config)

    def overlaid(self, config: ConfigDb, links: Mapping[str, Link]) -> ConfigDb:
        return configdb.overlaid(config, links)

    @property
    def system_name(self) -> str:
        return self.declared["DEVICE_METADATA"]["localhost"]["hostname"]

    @property
    def lldp_runs(self) -> bool:
        return self.declared["FEATURE"]["lldp"]["state"] == "enabled"

    @property
    def about(self) -> str:
        return f"SONiC Software Version: {VERSION} - HwSku: twin"

    def checkpoint(self, name: str) -> None:
        self.store.save_flash(_CHECKPOINT + name, self.render(self.running()))

    def checkpoints(self) -> list[str]:
        return [name.removeprefix(_CHECKPOINT) for name in self.store.flash_names(_CHECKPOINT)]

    def delete_checkpoint(self, name: str) -> None:
        self._text_of(name)
        self.store.delete_flash(_CHECKPOINT + name)

    def rollback(self, name: str) -> None:
        self.replace(self.parse(self._text_of(name)))

    def take_lock(self, terminal: str) -> bool:
        """Take the lock of `config reload`; return whether it was free."""
        if self.lock:
            return False
        self.locked_ever = True
        self.lock = Holder(_RELOADER, terminal, self.clock())
        return True

    def reload(self) -> None:
        """Make what was saved the running configuration."""
        self.replace(self.parse(self.store.startup() or self.render(self.factory())))

    def start_timer(self, unit: str, seconds: int, checkpoint: str) -> None:
        """Run `config rollback` after a time: what `systemd-run --on-active` starts.

        Raises:
            CliError: one of that name waits already, or (the twin keeps one) another.

        """
        if self.pending:
            raise CliError(
                f"Failed to start transient timer unit: Unit {self.pending.session}.timer was "
                "already loaded or has a fragment file."
            )
        self.arm(unit, seconds, self._text_of(checkpoint))
        self.timers = {unit: f"/usr/local/bin/config rollback {checkpoint}"}
        self.started = self.clock()

    def stop_timer(self, unit: str) -> None:
        if self.pending is None or self.pending.session != unit:
            raise CliError(f"Failed to stop {unit}.timer: Unit {unit}.timer not loaded.")
        self.disarm()
        self.timers = {}

    def waiting(self) -> dict[str, str]:
        if self.pending is None:
            return {}
        unit = self.pending.session
        return {unit: self.timers.get(unit, f"/usr/local/bin/config rollback {unit}")}

    def _text_of(self, checkpoint: str) -> str:
        text = self.store.flash(_CHECKPOINT + checkpoint)
        if text is None:
            raise CliError(f"Checkpoint '{checkpoint}' does not exist")
        return text
