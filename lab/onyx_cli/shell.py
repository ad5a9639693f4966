"""One terminal of Onyx's CLI: modes, prompts, and what each command does.

Outputs: recorded ones in ansible-collections/mellanox.onyx (tests/unit/modules/fixtures); LLDP's
and the jobs' as the Onyx user manual shows them.
"""

import datetime as dt
import json
from dataclasses import dataclass

from lab.onyx_cli.engine import Login, Switch
from lab.onyx_cli.grammar import CONFIG, ENABLE, EXEC, SHOW, match
from lab.onyx_cli.model import FORMS, VERSION, edit
from lab.switch_cli.core import CliError
from lab.switch_cli.lldp import Table
from lab.switch_cli.matching import Command
from lab.switch_cli.ports import PortError
from lab.switch_cli.server import Done

_EVER = "1970/01/01 00:00:00"


@dataclass
class Shell:
    """The state of one terminal. `run` takes a line and returns what it prints."""

    switch: Switch
    table: Table
    user: str
    line: str
    host: str
    enabled: bool = False
    configuring: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        self.line = self.line.replace("vty", "pts/")
        self.switch.logins[self.line] = Login(self.user, self.host, self.switch.clock())

    def hang_up(self) -> None:
        self.switch.logins.pop(self.line, None)

    @property
    def prompt(self) -> str:
        mode = "(config) " if self.configuring else ""
        return (
            f"{self.switch.system_name} [standalone: master] {mode}{'#' if self.enabled else '>'} "
        )

    def run(self, line: str) -> list[str]:
        """Return what a line prints; an error is a line that starts with '%'."""
        text = line.strip()
        if not text or text.startswith("#"):
            return []
        self.switch.logins[self.line] = Login(self.user, self.host, self.switch.clock())
        forms = CONFIG if self.configuring else ENABLE if self.enabled else EXEC
        try:
            return self._do(match(text, forms, self.switch.context))
        except CliError as error:
            return [str(error), 'Type "?" for help.']
        except PortError as error:
            return [f"% Internal error: {error}"]

    def execute(self, command: str, stdin: str) -> Done:
        _ = stdin
        self.enabled = self.configuring = True
        lines = [printed for line in command.splitlines() for printed in self.run(line)]
        failed = any(line.startswith("%") for line in lines)
        return Done(int(failed), "".join(f"{line}\n" for line in lines))

    def _do(self, command: Command) -> list[str]:
        if command.form in FORMS:
            self.switch.replace(edit(self.switch.running(), command))
        elif command.form in SHOW:
            return self._show(command.form)
        elif "job <id>" in command.form:
            self._job(command)
        elif command.form == "configuration write":
            self.switch.save()
        else:
            self._mode(command.form)
        return []

    def _mode(self, form: str) -> None:
        match form:
            case "enable":
                self.enabled = True
            case "disable":
                self.enabled = self.configuring = False
            case "configure terminal":
                self.configuring = True
            case "exit" if self.configuring:
                self.configuring = False
            case "exit":
                self.closed = True
            case _:  # paging: there is none
                return

    def _job(self, command: Command) -> None:
        given, switch = command.arguments, self.switch
        number = int(given["id"])
        match command.form.split()[2:]:
            case ["<id>"]:
                switch.remove_job(number)
                return
            case ["execute"]:
                switch.execute(number)
                return
            case ["name", _]:
                switch.job(number).name = given["name"]
            case ["command", *_]:
                job = switch.job(number)
                job.lines = {**job.lines, int(given["number"]): given["line"]}
            case ["schedule", "once", *_]:
                switch.job(number).time, switch.job(number).date = given["time"], given["date"]
            case ["enable"]:
                switch.job(number).enabled = True
            case _:  # a type that is the only one here, and going on after a failure
                switch.job(number)
        switch.keep_jobs()

    def _show(self, form: str) -> list[str]:
        switch = self.switch
        now = dt.datetime.fromtimestamp(switch.clock(), tz=dt.UTC)
        shown = {
            "show running-config": self._running,
            "show configuration": (switch.store.startup() or "").splitlines,
            "show jobs": self._jobs,
            "show users": self._users,
            "show clock": lambda: [f"Time: {now:%H:%M:%S}", f"Date: {now:%Y/%m/%d}"],
            "show version": lambda: ["Product name:      Onyx", f"Product release:   {VERSION}"],
            "show lldp interfaces ethernet remote": self._lldp,
            "show interfaces ethernet status | json-print": self._status,
        }
        return shown[form]()

    def _running(self) -> list[str]:
        return self.switch.render(self.switch.running()).splitlines()

    def _status(self) -> list[str]:
        links, shown = self.switch.ports.read(), {}
        for port in self.switch.context.ports:
            link = links.get(port)
            up = bool(link and link.carrier and link.enabled)
            row = {"Operational state": "Up" if up else "Down", "Speed": "100 Gbps"}
            shown[port] = [{"Negotiation": "No-Negotiation", **row}]
        return json.dumps(shown, indent=4).splitlines()

    def _lldp(self) -> list[str]:
        if not self.switch.lldp_runs:
            raise CliError("% LLDP is not enabled")
        lines = []
        for port in self.switch.context.ports:
            for index, neighbour in enumerate(self.table.neighbours(port), start=1):
                told = neighbour.announcement
                lines += [
                    port,
                    f"Remote Index            : {index}",
                    f"Remote chassis id       : {told.chassis_id} ; chassis id subtype: mac",
                    f"Remote port-id          : {told.port_id} ; port id subtype: ifname",
                    "Remote port description : N/A",
                    f"Remote system name      : {told.system_name}",
                    "",
                ]
        return lines

    def _users(self) -> list[str]:
        lines = [f"{'USERNAME':<13}{'FULL NAME':<24}{'LINE':<8}{'HOST':<18}IDLE"]
        for line, login in self.switch.logins.items():
            idle = int(self.switch.clock() - login.typed)
            days, hours = divmod(idle // 3600, 24)
            told = f"{days}d{hours}h{idle // 60 % 60}m{idle % 60}s"
            name = "System Administrator"
            lines.append(f"{login.user:<13}{name:<24}{line:<8}{login.host:<18}{told}")
        return lines

    def _jobs(self) -> list[str]:
        lines = []
        for number, job in sorted(self.switch.jobs.items()):
            lines += [
                f"Job {number}:",
                f"  Name: {job.name}",
                f"  Status: {'completed' if job.done else 'pending'}",
                f"  Enabled: {'yes' if job.enabled else 'no'}",
                "  Continue on failure: yes",
                "  Schedule type: once",
                f"  Time and date: {f'{job.date} {job.time}' if job.date else _EVER} +0000",
                "  Commands:",
                *(f"    Command {n}: {line}" for n, line in sorted(job.lines.items())),
                "",
            ]
        return lines
