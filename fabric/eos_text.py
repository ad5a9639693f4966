"""Arista EOS's words, both ways: what it prints is read, what it shall do is worded. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fabric import switchport
from fabric.changes import Change, Running, Setting, Value, changes, worded
from fabric.changes import told as told_by
from fabric.protocol import DesiredSwitch, Ecn, Neighbour, PortState, RoceState, SwitchState

DEFAULT_MTU_BYTES = 1500
_FLAGS = {"priority-flow-control on": "pfc_on"}
_OWN = ("end", "no lldp run", "hostname ")
_MTU = re.compile(r"mtu (\d+)")
_PFC = re.compile(r"priority-flow-control priority (\d) no-drop")
_QUEUE = re.compile(r"uc-tx-queue (\d)")
_ECN = re.compile(
    r"random-detect ecn minimum-threshold (?P<min>\d+) kbytes maximum-threshold (?P<max>\d+) kbytes"
)
_STATUS = re.compile(
    r"^(?P<port>\S+)\s.*\s(?P<status>connected|notconnect|inactive|errdisabled|disabled)"
    r"\s+(?:in\s+)?\S+\s+\S+\s+\S+\s+\S"
)
_LLDP_ROW = re.compile(r"^(?P<port>\S+)\s+(?P<name>\S.*?)\s+(?P<id>\S+)\s+\d+$")
_TIMED_SESSION = re.compile(r"^Session with pending commit timer: (?P<name>\S+)", re.MULTILINE)
_TIME_LEFT = re.compile(
    r"^Time left until commit timer expiry: (?:in )?(?P<left>\S.*)$", re.MULTILINE
)
_MOST_SESSIONS = re.compile(r"^Maximum number of pending sessions: (?P<most>\d+)", re.MULTILINE)
_RULE = re.compile(r"^[\s-]*-{2,}[\s-]*$")


@dataclass
class _Port:
    mtu_bytes: int = DEFAULT_MTU_BYTES
    description: str = ""
    enabled: bool = True
    trust_dscp: bool | None = None
    routed: bool = False
    pfc_on: bool = False
    pfc: set[int] = field(default_factory=set)
    ecn: dict[int, Ecn] = field(default_factory=dict)
    queue: int | None = None
    rest: list[str] = field(default_factory=list)

    def take(self, line: str, words: str) -> None:
        """Take one line of the port's section; a deeper one belongs to its queue."""
        if self.queue is not None and line.startswith("      "):
            if marking := _ECN.match(words):
                ecn = Ecn(min_kb=int(marking["min"]), max_kb=int(marking["max"]))
                self.ecn[self.queue] = ecn
            elif words != "!":
                self.rest.append(f"uc-tx-queue {self.queue} {words}")
            return
        self.queue = None
        if queue := _QUEUE.fullmatch(words):
            self.queue = int(queue[1])
        elif words == "no switchport":
            self.routed = True
            self.rest.append(words)
        elif not self._set(words) and words and words != "!":
            self.rest.append(words)

    def _set(self, words: str) -> bool:
        """Set what a line says, and return whether it is one of those that are managed."""
        if mtu := _MTU.fullmatch(words):
            self.mtu_bytes = int(mtu[1])
        elif words.startswith("description "):
            self.description = words.removeprefix("description ")
        elif lossless := _PFC.fullmatch(words):
            self.pfc.add(int(lossless[1]))
        elif words == "shutdown":
            self.enabled = False
        elif words.startswith("qos trust "):
            self.trust_dscp = words == "qos trust dscp"
        elif words in _FLAGS:
            setattr(self, _FLAGS[words], True)
        else:
            return False
        return True

    def state(self) -> PortState:
        return PortState(
            mtu_bytes=self.mtu_bytes,
            description=self.description,
            enabled=self.enabled,
            connected=False,
        )

    def roce(self) -> RoceState:
        pfc = frozenset(self.pfc) if self.pfc_on else frozenset[int]()
        # A routed port trusts DSCP unless it is told otherwise, and doesn't show that.
        trusts = self.routed if self.trust_dscp is None else self.trust_dscp
        return RoceState(trust_dscp=trusts, pfc=pfc, ecn=self.ecn)


def long_name(port: str) -> str:
    """Return Et1 as Ethernet1; other names as they are."""
    return re.sub(r"^Et(?=\d)", "Ethernet", port)


def running(text: str) -> Running:
    """Read `show running-config` or `show startup-config`. What isn't there has its default."""
    ports: dict[str, _Port] = {}
    rest: list[tuple[str, str]] = []
    lldp, current, section = True, None, ""
    for line in text.splitlines():
        words = line.strip()
        if not line.startswith(" "):
            name = re.fullmatch(r"interface (Ethernet\S+)", words)
            current = ports.setdefault(name[1], _Port()) if name else None
            lldp = lldp and words != "no lldp run"
            section = words
            if current is None and words and not words.startswith(("!", *_OWN)):
                rest.append(("", words))
        elif current is not None:
            current.take(line, words)
        elif words != "!":
            rest.append((section, words))
    rest = switchport.one_by_one(rest)
    rest += [(name, line) for name, port in ports.items() for line in port.rest]
    routed = ("", switchport.ROUTED_BY_DEFAULT) in rest
    return Running(
        ports={name: port.state() for name, port in ports.items()},
        lldp=lldp,
        roce={name: port.roce() for name, port in ports.items()},
        rest=rest,
        membership={
            name: switchport.membership(port.rest, f"interface {name}; {{}}", routed=routed)
            for name, port in ports.items()
        },
        vlans=switchport.vlans(rest),
        claims=switchport.claims(rest),
    )


def connected(text: str) -> set[str]:
    """Return the ports with a carrier in `show interfaces status`."""
    rows = (_STATUS.match(line) for line in text.splitlines())
    return {long_name(row["port"]) for row in rows if row and row["status"] == "connected"}


def neighbours(text: str) -> dict[str, list[Neighbour]]:
    """Read `show lldp neighbors`."""
    found: dict[str, list[Neighbour]] = {}
    for line in text.splitlines():
        row = _LLDP_ROW.match(line.rstrip())
        if row and row["port"][-1].isdigit():
            heard = Neighbour(system_name=row["name"], port_id=row["id"])
            found.setdefault(long_name(row["port"]), []).append(heard)
    return found


@dataclass(frozen=True)
class Session:
    """A configuration session that isn't finished. `user` is empty while nobody is in it."""

    name: str
    timed: bool
    """Its commit timer runs."""
    user: str = ""
    terminal: str = ""
    left: str = ""
    """How long the timer runs, where it does."""


def sessions(text: str) -> list[Session]:
    """Read `show configuration sessions detail`: those that aren't finished, by name.

    A running commit timer stands in a line of its own, in older EOS in the session's row.
    """
    timed, left = _TIMED_SESSION.search(text), _TIME_LEFT.search(text)
    name = timed["name"] if timed else None
    found: dict[str, Session] = {}
    for row in _session_rows(text):
        old = row["State"] == "pendingCommitTimer"
        if old or row["State"] == "pending" or row["Name"] == name:
            remaining = row.get("Commit Time Left", "") if old else left["left"] if left else ""
            here = old or row["Name"] == name
            found[row["Name"]] = Session(
                row["Name"], here, row["User"], row["Terminal"], remaining if here else ""
            )
    if name and name not in found:
        found[name] = Session(name, timed=True, left=left["left"] if left else "")
    return [found[key] for key in sorted(found)]


def most_sessions(text: str) -> int | None:
    """Return how many sessions may be open at a time."""
    told = _MOST_SESSIONS.search(text)
    return int(told["most"]) if told else None


def _session_rows(text: str) -> Iterator[dict[str, str]]:
    """Yield the table's rows by its headings: the dashes below them say where a column begins."""
    lines = text.splitlines()
    at = next((n for n, line in enumerate(lines) if _RULE.match(line)), None)
    if not at:
        return
    starts = [m.start() for m in re.finditer(r"-{2,}", lines[at])]
    cuts = list(zip(starts, [*starts[1:], None], strict=True))
    heads = [lines[at - 1][begin:end].strip() for begin, end in cuts]
    for line in lines[at + 1 :]:
        cells = [line[begin:end].strip() for begin, end in cuts]
        row = dict(zip(heads, cells, strict=True))
        if row.get("Name"):
            yield {"State": "", "User": "", "Terminal": ""} | row


def _word(change: Change, value: Value) -> str | None:
    if isinstance(value, Ecn):
        return f"uc-tx-queue {change.priority} {_marking(value)}"
    return worded(change, value, _SWITCHED)


_SWITCHED: dict[Setting, tuple[str, str | None]] = {
    Setting.ENABLED: ("no shutdown", "shutdown"),
    Setting.TRUST: ("qos trust dscp", None),
    Setting.PFC: ("priority-flow-control priority {} no-drop", None),
    Setting.LLDP: ("lldp run", "no lldp run"),
    Setting.VLAN: ("vlan {}", None),
    Setting.MEMBER: ("switchport access vlan {}", None),
}


def _marking(ecn: Ecn) -> str:
    return (
        f"random-detect ecn minimum-threshold {ecn.min_kb} kbytes "
        f"maximum-threshold {ecn.max_kb} kbytes max-mark-probability 100"
    )


def _commands(change: Change) -> list[str]:
    match change.setting, change.new:
        case Setting.DESCRIPTION, "":
            return ["no description"]
        case Setting.VLAN, vlan:
            return [f"vlan {vlan}", "exit"]
        case Setting.PFC, wanted:
            line = f"priority-flow-control priority {change.priority} no-drop"
            return ["priority-flow-control on", line] if wanted else [f"no {line}"]
        case Setting.ECN, Ecn() as ecn:
            return [f"uc-tx-queue {change.priority}", _marking(ecn), "exit"]
        case _, wanted:
            line_ = _word(change, wanted)
            return [line_] if line_ else []


def differences(state: Running | SwitchState, desired: DesiredSwitch) -> list[Change]:
    """Return what differs, in the order of `desired`; every port of it must be in `state`."""
    return changes(state, desired)


def told(found: Sequence[Change]) -> list[str]:
    return told_by(found, lambda port: f"interface {port}", _word)


def commands(found: Sequence[Change]) -> list[str]:
    """Return the configuration lines that make the difference go away."""
    lines: list[str] = []
    for port, group in groupby(found, key=lambda change: change.port):
        entered = [line for change in group for line in _commands(change)]
        lines += entered if port is None else [f"interface {port}", *entered, "exit"]
    return lines


def timer(seconds: int) -> str:
    """Return a time span as `commit timer` takes it: HH:MM:SS."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"
