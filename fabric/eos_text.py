"""Arista EOS's words, both ways: what it prints is read, what it shall do is worded. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric.protocol import DesiredPort, DesiredSwitch, Neighbour, PortState, SwitchState

DEFAULT_MTU_BYTES = 1500
_MTU = re.compile(r"mtu (\d+)")
_STATUS = re.compile(
    r"^(?P<port>\S+)\s.*\s(?P<status>connected|notconnect|inactive|errdisabled|disabled)"
    r"\s+(?:in\s+)?\S+\s+\S+\s+\S+\s+\S"
)
_LLDP_ROW = re.compile(r"^(?P<port>\S+)\s+(?P<name>\S.*?)\s+(?P<id>\S+)\s+\d+$")
_TIMED_SESSION = re.compile(r"^Session with pending commit timer: (?P<name>\S+)", re.MULTILINE)
_SESSION_ROW = re.compile(r"^[\s*]+(?P<name>\S+)\s+(?P<state>pending\w*)\b", re.MULTILINE)


@dataclass(frozen=True)
class Running:
    """The part of a configuration that this package manages."""

    ports: Mapping[str, PortState]
    lldp: bool


@dataclass
class _Port:
    mtu_bytes: int = DEFAULT_MTU_BYTES
    description: str = ""
    enabled: bool = True


def long_name(port: str) -> str:
    """Return Et1 as Ethernet1; other names as they are."""
    return re.sub(r"^Et(?=\d)", "Ethernet", port)


def running(text: str) -> Running:
    """Read `show running-config` or `show startup-config`. What isn't there has its default."""
    ports: dict[str, _Port] = {}
    lldp, current = True, None
    for line in text.splitlines():
        words = line.strip()
        if not line.startswith(" "):
            name = re.fullmatch(r"interface (Ethernet\S+)", words)
            current = ports.setdefault(name[1], _Port()) if name else None
            lldp = lldp and words != "no lldp run"
        elif current is None:
            continue
        elif mtu := _MTU.fullmatch(words):
            current.mtu_bytes = int(mtu[1])
        elif words.startswith("description "):
            current.description = words.removeprefix("description ")
        elif words == "shutdown":
            current.enabled = False
    return Running(
        ports={
            name: PortState(
                mtu_bytes=port.mtu_bytes,
                description=port.description,
                enabled=port.enabled,
                connected=False,
            )
            for name, port in ports.items()
        },
        lldp=lldp,
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


def open_sessions(text: str) -> set[str]:
    """Return the sessions of `show configuration sessions detail` that aren't finished."""
    return {row["name"] for row in _SESSION_ROW.finditer(text)} | timed_sessions(text)


def timed_sessions(text: str) -> set[str]:
    """Return those whose commit timer runs: in a line of its own, or as a state in older EOS."""
    rows = {r["name"] for r in _SESSION_ROW.finditer(text) if r["state"] == "pendingCommitTimer"}
    return rows | {row["name"] for row in _TIMED_SESSION.finditer(text)}


@dataclass(frozen=True)
class Difference:
    """What one interface (or the switch, with no name) has, shall have, and how it gets there."""

    interface: str | None
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.commands)

    def told(self) -> list[str]:
        lines = [f"- {line}" for line in self.removed] + [f"+ {line}" for line in self.added]
        if self.interface is None:
            return lines
        return [f"interface {self.interface}", *(f"  {line}" for line in lines)]


def _port_difference(name: str, state: PortState, desired: DesiredPort) -> Difference:
    found = Difference(name)
    if desired.mtu_bytes not in {None, state.mtu_bytes}:
        found.removed.append(f"mtu {state.mtu_bytes}")
        found.added.append(f"mtu {desired.mtu_bytes}")
        found.commands.append(f"mtu {desired.mtu_bytes}")
    if desired.description not in {None, state.description}:
        if state.description:
            found.removed.append(f"description {state.description}")
        if desired.description:
            found.added.append(f"description {desired.description}")
        found.commands.append(
            f"description {desired.description}" if desired.description else "no description"
        )
    if desired.enabled not in {None, state.enabled}:
        lines = ["shutdown", "no shutdown"]
        found.removed.append(lines[state.enabled])
        found.added.append(lines[not state.enabled])
        found.commands.append(lines[not state.enabled])
    return found


def differences(state: Running | SwitchState, desired: DesiredSwitch) -> list[Difference]:
    """Return what differs, in the order of `desired`; every port of it must be in `state`."""
    found = [
        _port_difference(name, state.ports[name], port) for name, port in desired.ports.items()
    ]
    if desired.lldp not in {None, state.lldp}:
        lines = ["no lldp run", "lldp run"]
        wanted = lines[not state.lldp]
        found.append(Difference(None, [lines[state.lldp]], [wanted], [wanted]))
    return [difference for difference in found if difference]


def told(found: list[Difference]) -> list[str]:
    return [line for difference in found for line in difference.told()]


def commands(found: list[Difference]) -> list[str]:
    """Return the configuration lines that make the difference go away."""
    lines = []
    for difference in found:
        if difference.interface is not None:
            lines.append(f"interface {difference.interface}")
        lines += difference.commands
        if difference.interface is not None:
            lines.append("exit")
    return lines


def timer(seconds: int) -> str:
    """Return a time span as `commit timer` takes it: HH:MM:SS."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"
