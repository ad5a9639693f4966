"""A login to Cumulus Linux: `nv`, and the little beside it that a client uses, each exactly.

Commands and outputs: the NVUE command reference of Cumulus Linux 5 (docs.nvidia.com); NAPALM's
community driver for Cumulus uses the same `nv config` commands.
"""

import json
import re
from dataclasses import dataclass

from lab.cumulus_cli import config as nvue
from lab.cumulus_cli.engine import VERSION, Switch
from lab.switch_cli.core import CliError
from lab.switch_cli.linux import LinuxTerminal
from lab.switch_cli.lldp import Table
from lab.switch_cli.server import Done

_SECONDS = re.compile(r"(\d+)([smh]?)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "": 60}
_ACTIVE = ["--type=service", "--state=active", "--plain", "--no-legend"]
_LLDPD = ["list-units", *_ACTIVE, "lldpd.service"]


def seconds(text: str) -> int:
    """Return a time span as `--confirm` takes it: 90s, 2m, 1h; a bare number is minutes."""
    found = _SECONDS.fullmatch(text)
    if not found:
        raise CliError(f"Error: '{text}' is not a time.")
    return int(found[1]) * _UNITS[found[2]]


@dataclass
class Shell(LinuxTerminal):
    """One login."""

    switch: Switch
    table: Table
    prompt_form = "{user}@{host}:mgmt:~$ "

    @property
    def host(self) -> str:
        return self.switch.system_name

    def answer(self, words: list[str], *, root: bool) -> Done:
        match words:
            case ["nv", "show", "interface", "-o", "json"]:
                return Done(0, json.dumps(self._interfaces()) + "\n")
            case ["nv", "set" | "unset" as verb, *path]:
                return self._set(verb, path)
            case ["nv", "config", *rest]:
                return Done(0, self._config(rest))
            case ["systemctl", *rest] if rest == _LLDPD:
                return Done(0, "lldpd.service loaded active running LLDP daemon\n")
            case ["lldpctl", "-f", "json0"] if root:
                return Done(0, json.dumps(self._neighbours()) + "\n")
            case _:
                return self.unknown(words)

    def _set(self, verb: str, path: list[str]) -> Done:
        candidate = self.switch.candidate(self.user)
        if verb == "set":
            changed = nvue.set_path(candidate, path, self.switch.context)
        else:
            changed = nvue.unset_path(candidate, path)
        begun = self.switch.enter(self.user, changed)
        return Done(0, "" if begun is None else f"created [rev_id: {begun}]\n")

    def _config(self, rest: list[str]) -> str:
        switch = self.switch
        match rest:
            case ["show", "-r", "applied" | "startup" as revision, "-o", "json"]:
                startup = switch.parse(switch.store.startup() or "{}")
                tree = switch.running() if revision == "applied" else startup
                return json.dumps([{"header": {"version": VERSION}}, {"set": tree}]) + "\n"
            case ["diff", "-o", "commands"]:
                lines = nvue.commands(switch.running(), switch.candidate(self.user))
                return "".join(f"{line}\n" for line in lines)
            case ["revision", "-o", "json"]:
                return json.dumps(switch.revisions()) + "\n"
            case ["detach"]:
                left = switch.detach(self.user)
                return "" if left is None else f"detached [rev_id: {left}]\n"
            case ["save"]:
                switch.save()
                return f"saved [rev_id: {switch.applied}]\n"
            case ["apply", *options]:
                return self._apply(options)
            case _:
                raise CliError(f"Error: Invalid Command: nv config {' '.join(rest)}")

    def _apply(self, options: list[str]) -> str:
        match options:
            case ["-y"]:
                return f"applied [rev_id: {self.switch.apply(self.user, None, '')}]\n"
            case ["-y", "--confirm", span]:
                revision = self.switch.apply(self.user, seconds(span), "")
            case ["-y", "--confirm", span, "-m", message]:
                revision = self.switch.apply(self.user, seconds(span), message)
            case [named, "--confirm-yes" | "--confirm-no" as answer]:
                self.switch.end_trial(named, keep=answer.endswith("yes"))
                return f"{'applied' if answer.endswith('yes') else 'aborted'} [rev_id: {named}]\n"
            case _:
                raise CliError(f"Error: Invalid Command: nv config apply {' '.join(options)}")
        return f"applied_and_not_confirmed [rev_id: {revision}]\n"

    def _interfaces(self) -> dict[str, object]:
        links, shown = self.switch.ports.read(), {}
        for port, landing in self.switch.landings(self.switch.running()).items():
            link = links.get(port)
            up = bool(link and link.carrier and link.enabled)
            status = {
                "admin-status": "up" if landing.enabled else "down",
                "mtu": landing.mtu_bytes,
                "oper-status": "up" if up else "down",
            }
            shown[port] = {"link": status, "type": "swp"}
        return {"lo": {"link": {"mtu": 65536, "oper-status": "up"}, "type": "loopback"}, **shown}

    def _neighbours(self) -> dict[str, object]:
        interfaces = [
            {
                "name": port,
                "chassis": [{"name": [{"value": n.announcement.system_name}]}],
                "port": [{"id": [{"type": "ifname", "value": n.announcement.port_id}]}],
            }
            for port in self.switch.context.ports
            for n in self.table.neighbours(port)
        ]
        return {"lldp": [{"interface": interfaces}]}
