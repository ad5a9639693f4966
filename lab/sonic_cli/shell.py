"""A login to SONiC: the few commands that a client and an operator use, each exactly.

Outputs: doc/Command-Reference.md, config/main.py and utilities_common/flock.py (the lock of `config
reload`, taken before it asks back) in sonic-net/sonic-utilities.
"""

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.sonic_cli import config as configdb
from lab.sonic_cli.engine import VERSION, Switch
from lab.switch_cli.core import CliError
from lab.switch_cli.linux import LinuxTerminal
from lab.switch_cli.lldp import Table
from lab.switch_cli.server import Done

LOCK = "/etc/sonic/reload.lock"
_QUESTION = (
    "Clear current config and reload config in config_db format from the default config file(s) ? "
    "[y/N]: "
)
_USAGE = "Usage: {0} [OPTIONS] COMMAND [ARGS]...\nTry '{0} -h' for help.\n\nError: No such command"
_CHANGING = ("config", "systemctl", "systemd-run")
_TIMERS = ["systemctl", "list-units", "--type=timer", "--all", "--full", "--plain", "--no-legend"]
_UNIT = re.compile(r"--unit=([A-Za-z0-9_.-]+)")
_AFTER = re.compile(r"--on-active=(\d+)")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as SONiC prints them: the first is the heading, numbers aren't aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]]) + "\n"


@dataclass
class Shell(LinuxTerminal):
    """One login. Without sudo nothing is changed."""

    switch: Switch
    table: Table
    line: str
    asking: bool = field(default=False, init=False)
    """`config reload` waits for its answer here, and holds the lock meanwhile."""

    @property
    def host(self) -> str:
        return self.switch.system_name

    @property
    def prompt(self) -> str:
        return _QUESTION if self.asking else super().prompt

    def run(self, line: str) -> list[str]:
        if self.asking:
            return self._answered(yes=line.strip().lower() in {"y", "yes"})
        if line.split() == ["sudo", "config", "reload"]:
            self.asking = self.switch.take_lock(self.line)
            return [f"{'Acquired' if self.asking else 'Failed to acquire'} lock on {LOCK}"]
        return super().run(line)

    def hang_up(self) -> None:
        super().hang_up()
        if self.asking:
            self._answered(yes=False)

    def _answered(self, *, yes: bool) -> list[str]:
        self.asking, self.switch.lock = False, None
        if yes:
            self.switch.reload()
        return [*([] if yes else ["Aborted!"]), f"Released lock on {LOCK}"]

    def answer(self, words: list[str], *, root: bool) -> Done:
        reading = words == _TIMERS or words[:2] == ["systemctl", "show"]
        if words[0] in _CHANGING and not reading and not root:
            raise CliError("Root privileges are required for this operation")
        match words:
            case ["show", *rest]:
                return self._show(rest, words)
            case ["cat" | "ps", *_]:
                return self._looked(words, root=root)
            case ["systemctl", *rest]:
                return self._systemctl(rest, words)
            case ["systemd-run", *rest]:
                return self._timer(rest)
            case ["config", *rest]:
                return self._config(rest)
            case _:
                return self.unknown(words)

    def _looked(self, words: list[str], *, root: bool) -> Done:
        match words:
            case ["cat", "/etc/sonic/config_db.json"]:
                return Done(0, self.switch.store.startup() or "{}\n")
            case ["cat", path] if path == LOCK and root:
                return self._lock()
            case ["ps", "-o", "tty=,lstart=,args=", "-p", pid]:
                return self._process(pid)
            case _:
                return self.unknown(words)

    def _lock(self) -> Done:
        if not self.switch.locked_ever:
            return Done(1, "", f"cat: {LOCK}: No such file or directory\n")
        holder = self.switch.lock
        return Done(0, f"reload, pid {holder.pid}\n" if holder else "")

    def _process(self, pid: str) -> Done:
        holder = self.switch.lock
        if holder is None or str(holder.pid) != pid:
            return Done(1)
        since = dt.datetime.fromtimestamp(holder.since, tz=dt.UTC)
        what = "/usr/bin/python3 /usr/local/bin/config reload"
        return Done(0, f"{holder.terminal:<8} {since:%a %b %e %H:%M:%S %Y} {what}\n")

    def _systemctl(self, rest: list[str], words: list[str]) -> Done:
        if words == _TIMERS:
            waiting = self.switch.waiting().items()
            rows = (f"{unit}.timer loaded active waiting {what}\n" for unit, what in waiting)
            return Done(0, "".join(rows))
        match rest:
            case ["show", "--property=ActiveEnterTimestamp", "--value", unit]:
                started = dt.datetime.fromtimestamp(self.switch.started, tz=dt.UTC)
                there = unit.removesuffix(".timer") in self.switch.waiting()
                return Done(0, f"{started:%a %Y-%m-%d %H:%M:%S} UTC\n" if there else "\n")
            case ["stop", unit]:
                self.switch.stop_timer(unit.removesuffix(".timer"))
                return Done(0)
            case _:
                return Done(1, "", f"Unknown command verb '{' '.join(rest)}'.\n")

    def _show(self, rest: list[str], words: list[str]) -> Done:
        match rest:
            case ["runningconfiguration", "all"]:
                return Done(0, self.switch.render(self.switch.running()))
            case ["interfaces", "status"]:
                return Done(0, self._status())
            case ["lldp", "table"]:
                return Done(0, self._lldp())
            case ["version"]:
                return Done(0, f"\nSONiC Software Version: {VERSION}\n")
            case _:
                return Done(2, "", f'{_USAGE.format("show")} "{" ".join(words[1:])}".\n')

    def _status(self) -> str:
        links, rows = self.switch.ports.read(), []
        for port, row in self.switch.running()["PORT"].items():
            link = links.get(port)
            oper = "up" if link and link.carrier and link.enabled else "down"
            cells = (row["speed"].removesuffix("000") + "G", row["mtu"], "rs", row["alias"])
            rows.append([port, *cells, "access", oper, row["admin_status"]])
        heading = ["Interface", "Speed", "MTU", "FEC", "Alias", "Vlan", "Oper", "Admin"]
        return table([heading, *rows])

    def _lldp(self) -> str:
        heading = ["LocalPort", "RemoteDevice", "RemotePortID", "Capability", "RemotePortDescr"]
        rows = [
            [port, n.announcement.system_name, n.announcement.port_id, "BR", "fabric"]
            for port in self.switch.context.ports
            for n in self.table.neighbours(port)
        ]
        return f"Capability codes: (R) Router, (B) Bridge, (O) Other\n{table([heading, *rows])}"

    def _timer(self, rest: list[str]) -> Done:
        options = [word for word in rest if word.startswith("--")]
        unit = next((m[1] for word in options if (m := _UNIT.fullmatch(word))), None)
        after = next((m[1] for word in options if (m := _AFTER.fullmatch(word))), None)
        known = [w for w in options if _UNIT.fullmatch(w) or _AFTER.fullmatch(w)]
        known += [w for w in options if w == "--timer-property=AccuracySec=1s"]
        match [word for word in rest if not word.startswith("--")]:
            case ["config", "rollback", name] if unit and after and len(known) == len(options):
                self.switch.start_timer(unit, int(after), name)
                return Done(0, "", f"Running timer as unit: {unit}.timer\n")
            case _:
                return Done(1, "", f"systemd-run: unrecognized option in '{' '.join(rest)}'\n")

    def _config(self, rest: list[str]) -> Done:
        switch, said = self.switch, ""
        match rest:
            case ["checkpoint", name]:
                switch.checkpoint(name)
                said = "Checkpoint created successfully.\n"
            case ["list-checkpoints"]:
                said = json.dumps(switch.checkpoints(), indent=4) + "\n"
            case ["delete-checkpoint", name]:
                switch.delete_checkpoint(name)
                said = "Checkpoint deleted successfully.\n"
            case ["rollback", name]:
                switch.rollback(name)
                said = "Config rolled back successfully.\n"
            case ["apply-patch", "--dry-run", file]:
                self._patched(file)
                said = "** DRY RUN EXECUTION **\nPatch applied successfully.\n"
            case ["apply-patch", file]:
                switch.replace(self._patched(file))
                said = "Patch applied successfully.\n"
            case ["save", "-y"]:
                switch.save()
                said = "Running command: /usr/local/bin/sonic-cfggen -d --print-data\n"
            case _:
                return self._by_hand(rest)
        return Done(0, said)

    def _by_hand(self, rest: list[str]) -> Done:
        """Do what an operator types: ports, priorities, VLANs, addresses."""
        running = self.switch.running()
        patch: list[dict[str, object]]
        match rest:
            case ["interface", "mtu", port, value]:
                patch = [{"op": "add", "path": f"/PORT/{port}/mtu", "value": value}]
            case ["interface", "startup" | "shutdown" as verb, port]:
                value = "up" if verb == "startup" else "down"
                patch = [{"op": "add", "path": f"/PORT/{port}/admin_status", "value": value}]
            case ["interface", "pfc", "priority", port, priority, "on" | "off" as state]:
                row = running["PORT_QOS_MAP"].get(port, {})
                others = {p for p in row.get("pfc_enable", "").split(",") if p} - {priority}
                wanted = ",".join(sorted(others | ({priority} if state == "on" else set())))
                patch = [{"op": "add", "path": f"/PORT_QOS_MAP/{port}/pfc_enable", "value": wanted}]
            case _ if (made := configdb.by_hand(running, rest)) is not None:
                patch = made
            case _:
                return Done(2, "", f'{_USAGE.format("config")} "{" ".join(rest)}".\n')
        changed = configdb.patched(running, json.dumps(patch), self.switch.context)
        self.switch.replace(changed)
        return Done(0)

    def _patched(self, file: str) -> configdb.ConfigDb:
        text = self.files.get(file)
        if text is None:
            raise CliError(f"Error: [Errno 2] No such file or directory: '{file}'")
        return configdb.patched(self.switch.running(), text, self.switch.context)
