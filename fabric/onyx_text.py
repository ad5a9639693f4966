"""Mellanox Onyx's words, both ways: its running configuration is read, lines are worded. Pure.

Onyx (MLNX-OS) writes a configuration one whole line a setting: `interface ethernet 1/1 mtu 9216
force`, for several ports at a time `interface ethernet 1/1-1/4 …`. Ports are called Eth1/1 in its
tables, and here.
"""

import datetime as dt
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fabric import switchport
from fabric.changes import Change, Running, Setting, Value, worded
from fabric.protocol import Ecn, Neighbour, PortState, RoceState

DEFAULT_MTU_BYTES = 1500
_PORT_LINE = re.compile(r"(?P<no>no )?interface ethernet (?P<ports>\S+)\s?(?P<rest>.*)")
_RANGE = re.compile(r"(?P<slot>\d+/(?:\d+/)?)(?P<first>\d+)(?:-(?P=slot)(?P<last>\d+))?")
_ECN = re.compile(
    r"traffic-class (?P<queue>\d) congestion-control ecn "
    r"minimum-absolute (?P<min>\d+) maximum-absolute (?P<max>\d+)"
)
_PFC_PRIORITY = re.compile(r"dcb priority-flow-control priority (\d) enable")
_PFC_ON = re.compile(r"dcb priority-flow-control enable(?: force)?")
_JOB = re.compile(r"^Job (?P<id>\d+):?\s*$")
_CLOCK = re.compile(r"Time:\s*(\d+:\d+:\d+)[\s\S]*?Date:\s*(\d+/\d+/\d+)")
_STATUS = re.compile(r"^Eth\S+$")
_LOGIN = re.compile(
    r"(?P<user>\S+)\s+(?:.*?\s)?(?P<line>(?:pts/|tty|con)\S*)\s+(?:(?P<host>\S+)\s+)?"
    r"(?P<idle>\d+d\s*\d+h\s*\d+m\s*\d+s)"
)


@dataclass
class _Port:
    mtu_bytes: int = DEFAULT_MTU_BYTES
    description: str = ""
    enabled: bool = True
    trust_dscp: bool = False
    pfc: bool = False
    ecn: dict[int, Ecn] = field(default_factory=dict)


def named(text: str) -> list[str]:
    """Return the ports of `1/1` or of a range `1/1-1/4`, as Eth1/1 …"""
    found = _RANGE.fullmatch(text)
    if not found:
        return [f"Eth{text}"]
    first = int(found["first"])
    return [f"Eth{found['slot']}{n}" for n in range(first, int(found["last"] or first) + 1)]


def running(text: str, ports: Sequence[str]) -> Running:
    """Read `show running-config` or `show configuration`, for the ports that the switch has."""
    found = {port: _Port() for port in ports}
    rest: list[tuple[str, str]] = []
    priorities: set[int] = set()
    lldp = pfc = False
    for line in (raw.strip() for raw in text.splitlines()):
        port_line = _PORT_LINE.fullmatch(line)
        if not line or line.startswith("#"):
            continue
        if port_line:
            for port in named(port_line["ports"]):
                words = (port_line["no"] or "") + port_line["rest"]
                if port in found and not _take(found[port], words):
                    rest.append((port, words))
        elif priority := _PFC_PRIORITY.fullmatch(line):
            priorities.add(int(priority[1]))
        elif _PFC_ON.fullmatch(line):
            pfc = True
        elif line == "lldp":
            lldp = True
        elif not line.startswith(("no cli ", "cli ", "hostname ")):
            rest.append(("", line))
    rest = switchport.one_by_one(rest)
    lossless = frozenset(priorities) if pfc else frozenset[int]()
    return Running(
        ports={name: _state(port) for name, port in found.items()},
        lldp=lldp,
        roce={
            name: RoceState(
                trust_dscp=port.trust_dscp,
                pfc=lossless if port.pfc else frozenset(),
                ecn=port.ecn,
            )
            for name, port in found.items()
        },
        rest=rest,
        membership={
            name: switchport.membership(
                switchport.of(rest, name), f"interface ethernet {name[3:]} {{}}"
            )
            for name in found
        },
        vlans=switchport.vlans(rest),
        claims=switchport.claims(rest),
    )


def _take(port: _Port, words: str) -> bool:
    """Set what a line says of a port, and return whether it is one of those that are managed."""
    verb, _, value = words.partition(" ")
    if verb == "mtu":
        port.mtu_bytes = int(value.split()[0])
    elif verb == "description":
        port.description = shlex.split(value)[0] if value.startswith('"') else value
    elif words in {"shutdown", "no shutdown"}:
        port.enabled = words == "no shutdown"
    elif words.startswith("qos trust "):
        port.trust_dscp = value.split()[-1] in {"L3", "both"}
    elif words.startswith("dcb priority-flow-control mode on"):
        port.pfc = True
    elif marking := _ECN.fullmatch(words):
        ecn = Ecn(min_kb=int(marking["min"]), max_kb=int(marking["max"]))
        port.ecn[int(marking["queue"])] = ecn
    else:
        return False
    return True


def _state(port: _Port) -> PortState:
    return PortState(
        mtu_bytes=port.mtu_bytes,
        description=port.description,
        enabled=port.enabled,
        connected=False,
    )


def status(text: str) -> dict[str, bool]:
    """Return the ports of `show interfaces ethernet status | json-print`, and which are up."""
    try:
        shown = json.loads(text or "{}")
    except ValueError:
        return {}
    return {
        name: any(row.get("Operational state") == "Up" for row in rows if isinstance(row, dict))
        for name, rows in (shown.items() if isinstance(shown, dict) else ())
        if _STATUS.fullmatch(name) and isinstance(rows, list)
    }


def neighbours(text: str) -> dict[str, list[Neighbour]]:
    """Read `show lldp interfaces ethernet remote`: a heading a port, and its lines below."""
    found: dict[str, list[Neighbour]] = {}
    port, name_of, id_of = "", "", ""
    for line in [*text.splitlines(), "Eth"]:
        key, _, value = (part.strip() for part in line.partition(":"))
        if line.startswith("Eth"):
            if port and id_of:
                heard = Neighbour(system_name=name_of, port_id=id_of)
                found.setdefault(port, []).append(heard)
            port, name_of, id_of = line.strip().rstrip(":"), "", ""
        elif key == "Remote port-id":
            id_of = value.partition(";")[0].strip()
        elif key == "Remote system name":
            name_of = value
    return found


@dataclass(frozen=True)
class Job:
    """A scheduled job, as far as it matters who made it and whether it is still to come."""

    id: int
    name: str
    waits: bool
    commands: tuple[str, ...]
    at: str = ""

    @property
    def changes(self) -> bool:
        """It is still to come, and enters what a port or the whole configuration has."""
        entered = ("interface", "no interface", "vlan", "no vlan", "configuration")
        return self.waits and any(line.startswith(entered) for line in self.commands)


def jobs(text: str) -> list[Job]:
    """Read `show jobs`."""
    found: list[Job] = []
    fields: dict[str, str] = {}
    commands: list[str] = []
    number: int | None = None
    for line in [*text.splitlines(), "Job 0"]:
        if heading := _JOB.match(line):
            if number is not None:
                once = fields.get("Schedule type") == "once" and fields.get("Enabled") == "yes"
                waits = once and fields.get("Status") != "completed"
                name, at = fields.get("Name", ""), fields.get("Time and date", "")
                found.append(Job(number, name, waits, tuple(commands), at))
            number, fields, commands = int(heading["id"]), {}, []
            continue
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.startswith("Command "):
            commands.append(value)
        elif key:
            fields[key] = value
    return found


@dataclass(frozen=True)
class Login:
    """Somebody who is logged in; `idle` as the switch words it."""

    user: str
    line: str
    host: str
    idle: str


def logins(text: str) -> list[Login]:
    """Read `show users`. A full name may have spaces; the host of a console is empty."""
    rows = (_LOGIN.match(line.strip()) for line in text.splitlines())
    return [Login(r["user"], r["line"], r["host"] or "", r["idle"]) for r in rows if r]


def mine(found: Sequence[Login], user: str, host: str) -> Login | None:
    """Return the login that asks: of all from there as that user the one that just typed."""
    same = [login for login in found if (login.user, login.host) == (user, host)]
    return min(same, key=_idle_s, default=None)


def _idle_s(login: Login) -> int:
    parts = [int(number) for number in re.findall(r"\d+", login.idle)]
    return sum(n * unit for n, unit in zip(parts, (86400, 3600, 60, 1), strict=False))


def clock(text: str) -> dt.datetime | None:
    """Read `show clock`, in the switch's own time zone."""
    shown = _CLOCK.search(text)
    return shown and dt.datetime.strptime(f"{shown[2]} {shown[1]}", "%Y/%m/%d %H:%M:%S")  # noqa: DTZ007 - the switch's own


def word(change: Change, value: Value) -> str | None:
    if isinstance(value, Ecn):
        return _marking(change.priority, value)
    return worded(change, value, _SWITCHED)


_SWITCHED: dict[Setting, tuple[str, str | None]] = {
    Setting.ENABLED: ("no shutdown", "shutdown"),
    Setting.TRUST: ("qos trust L3", None),
    Setting.PFC: ("dcb priority-flow-control mode on (priority {})", None),
    Setting.LLDP: ("lldp", "no lldp"),
    Setting.VLAN: ("vlan {}", None),
    Setting.MEMBER: ("switchport access vlan {}", None),
}


_VLANS = {Setting.VLAN, Setting.MEMBER}


def _marking(queue: int, ecn: Ecn) -> str:
    bounds = f"minimum-absolute {ecn.min_kb} maximum-absolute {ecn.max_kb}"
    return f"traffic-class {queue} congestion-control ecn {bounds}"


def _at(change: Change) -> str:
    return f"interface ethernet {(change.port or '').removeprefix('Eth')}"


def _vlan_commands(change: Change) -> list[str]:
    if change.setting is Setting.VLAN:
        return [f"vlan {change.new}" if change.new else f"no vlan {change.old}"]
    if change.new is None:
        return [f"no {_at(change)} switchport access vlan"]
    return [f"{_at(change)} switchport access vlan {change.new}"]


def _commands(change: Change) -> list[str]:
    port = _at(change)
    lines: list[str]
    match change.setting, change.new:
        case Setting.MTU, mtu:
            lines = [f"{port} mtu {mtu} force"]
        case Setting.DESCRIPTION, "":
            lines = [f"no {port} description"]
        case Setting.DESCRIPTION, text:
            quoted = f'"{text}"' if " " in str(text) else str(text)
            lines = [f"{port} description {quoted}"]
        case Setting.PFC, True:
            lines = [
                "dcb priority-flow-control enable force",
                f"dcb priority-flow-control priority {change.priority} enable",
                f"{port} dcb priority-flow-control mode on force",
            ]
        case Setting.PFC, _:
            lines = [f"no {port} dcb priority-flow-control mode force"]
        case Setting.ECN, Ecn() as ecn:
            lines = [f"{port} {_marking(change.priority, ecn)}"]
        case Setting.ECN, _:
            lines = [f"{port} no traffic-class {change.priority} congestion-control"]
        case Setting.TRUST, trusted:
            lines = [f"{port} qos trust {'L3' if trusted else 'L2'}"]
        case Setting.ENABLED, up:
            lines = [f"{'no ' if up else ''}{port} shutdown"]
        case _:
            lines = ["lldp" if change.new else "no lldp"]
    return lines


def commands(due: Sequence[Change]) -> list[str]:
    """Return the lines that make the difference go away, each once."""
    lines = (
        line
        for change in due
        for line in (_vlan_commands if change.setting in _VLANS else _commands)(change)
    )
    return [line for line, _ in groupby(lines)]
