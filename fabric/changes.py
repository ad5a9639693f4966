"""What differs between a switch as it runs and as it is declared, before any vendor's words. Pure.

A network OS gives the words: how it names a port's section, and which line says what a setting has.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from fabric.protocol import (
    DesiredPort,
    DesiredSwitch,
    Ecn,
    Membership,
    PortState,
    Roce,
    RoceState,
    SwitchState,
)

# `username admin secret sha512 …`, `snmp-server community …`, `SNMP_COMMUNITY|…`, `passkey …`
_SECRET = re.compile(
    r"(?P<word>\b(?:[\w-]*password|passphrase|pass-?key|secret|psk|[\w-]*key|token"
    r"|(?:snmp_)?community))\b[ |:].*",
    re.IGNORECASE,
)
Value = int | str | bool | Ecn | None


class Setting(StrEnum):
    """What can differ, in the order in which it is told."""

    MTU = "mtu"
    DESCRIPTION = "description"
    ENABLED = "enabled"
    TRUST = "trust"
    PFC = "pfc"
    ECN = "ecn"
    ROCE = "roce"
    LLDP = "lldp"
    VLAN = "vlan"
    """There is that VLAN on the switch."""
    MEMBER = "member"
    """The port is in that VLAN, untagged."""


@dataclass(frozen=True)
class Running:
    """The part of a switch's configuration that this package manages.

    `roce` is per port where the system sets it there, `roce_mode` where it has one for the whole
    switch (None: off); `rest` is every other line, as its section and its text. `claims` tells of
    some of these that they are the VLAN of a port, by its name, or the VLAN of that number: they
    are ours where the site declares a VLAN.
    """

    ports: Mapping[str, PortState]
    lldp: bool
    roce: Mapping[str, RoceState] = field(default_factory=dict)
    roce_mode: str | None = None
    rest: Sequence[tuple[str, str]] = ()
    membership: Mapping[str, Membership] = field(default_factory=dict)
    vlans: frozenset[int] = frozenset()
    claims: Mapping[tuple[str, str], str | int] = field(default_factory=dict)

    def undeclared(self, desired: DesiredSwitch) -> list[tuple[str, str]]:
        """Return the lines of `rest` that nothing in `desired` is about."""
        ours = set[str | int]() if desired.vlan is None else {desired.vlan, *desired.ports}
        return [line for line in self.rest if self.claims.get(line) not in ours]


@dataclass(frozen=True)
class Change:
    """One setting of one port (or of the switch, without one). None is a setting that isn't there.

    `priority` is RoCE's, for the settings that belong to it.
    """

    port: str | None
    setting: Setting
    old: Value
    new: Value
    priority: int = 0

    def reversed(self) -> "Change":
        return Change(self.port, self.setting, self.new, self.old, self.priority)


Words = Callable[[Change, Value], str | None]
"""The line that says that a setting has a value; None where the absence of a line says it."""


def _port_changes(name: str, state: PortState, desired: DesiredPort) -> list[Change]:
    pairs: list[tuple[Setting, Value, Value]] = [
        (Setting.MTU, state.mtu_bytes, desired.mtu_bytes),
        (Setting.DESCRIPTION, state.description, desired.description),
        (Setting.ENABLED, state.enabled, desired.enabled),
    ]
    return [
        Change(name, setting, old, new) for setting, old, new in pairs if new not in (None, old)
    ]


def _roce_changes(name: str, state: RoceState, desired: Roce) -> list[Change]:
    priority = desired.priority
    pairs: list[tuple[Setting, Value, Value]] = [
        (Setting.TRUST, state.trust_dscp, True),
        (Setting.PFC, priority in state.pfc, desired.lossless),
        (Setting.ECN, state.ecn.get(priority), desired.ecn),
    ]
    return [Change(name, setting, old, new, priority) for setting, old, new in pairs if old != new]


def changes(
    state: Running | SwitchState, desired: DesiredSwitch, *, roce_per_port: bool = True
) -> list[Change]:
    """Return what differs, in the order of `desired`; every port of it must be in `state`."""
    found: list[Change] = []
    if desired.vlan is not None and desired.vlan not in state.vlans:
        found.append(Change(None, Setting.VLAN, None, desired.vlan))
    for name, port in desired.ports.items():
        found += _port_changes(name, state.ports[name], port)
        old = state.membership.get(name, Membership()).vlan
        if desired.vlan not in {None, old}:
            found.append(Change(name, Setting.MEMBER, old, desired.vlan))
        if port.roce is not None and roce_per_port:
            found += _roce_changes(name, state.roce.get(name, RoceState()), port.roce)
    modes = [port.roce.mode for port in desired.ports.values() if port.roce is not None]
    if modes and not roce_per_port:
        wanted = "lossless" if "lossless" in modes else "lossy"
        if state.roce_mode != wanted:
            found.append(Change(None, Setting.ROCE, state.roce_mode, wanted))
    if desired.lldp not in {None, state.lldp}:
        found.append(Change(None, Setting.LLDP, state.lldp, desired.lldp))
    return found


def worded(
    change: Change, value: Value, switched: Mapping[Setting, tuple[str, str | None]]
) -> str | None:
    """Return the line of a value; `switched` has what is said of a setting that is on, or off."""
    if change.setting is Setting.MTU:
        return f"mtu {value}"
    if change.setting is Setting.DESCRIPTION:
        return f"description {value}" if value else None
    on, off = switched.get(change.setting, ("", None))
    number = value if change.setting in {Setting.VLAN, Setting.MEMBER} else change.priority
    return on.format(number) if value and on else off


def told(found: Sequence[Change], heading: Callable[[str], str], words: Words) -> list[str]:
    """Return the lines of a preview: a heading a port, and what goes and comes below it."""
    lines: list[str] = []
    for port, group in groupby(found, key=lambda change: change.port):
        each = list(group)
        removed = [line for c in each if (line := words(c, c.old)) is not None]
        added = [line for c in each if (line := words(c, c.new)) is not None]
        body = [f"- {line}" for line in removed] + [f"+ {line}" for line in added]
        if port is not None:
            lines.append(heading(port))
        lines += body if port is None else [f"  {line}" for line in body]
    return lines


def left_alone(state: Running, desired: DesiredSwitch) -> list[str]:
    """Return what is configured on the switch and declared nowhere: `section: line`."""
    undeclared = [
        (name, _port_line(port))
        for name, port in state.ports.items()
        if name not in desired.ports and (port.description or not port.enabled)
    ]
    lossless = [
        (name, f"PFC on priority {priority}")
        for name, port in desired.ports.items()
        if port.roce is not None and name in state.roce
        for priority in sorted(state.roce[name].pfc - {port.roce.priority})
    ]
    others = [*undeclared, *lossless, *state.undeclared(desired)]
    return [without_secrets(line) for line in _lines(others)]


def unsaved(state: Running, startup: Running, desired: DesiredSwitch) -> list[str]:
    """Return what isn't declared and differs after a restart: `+` would go, `-` would come back."""
    kept, runs = (_lines(_undeclared(each, desired)) for each in (startup, state))
    gone = [f"- {without_secrets(line)}" for line in kept if line not in runs]
    return gone + [f"+ {without_secrets(line)}" for line in runs if line not in kept]


def without_secrets(line: str) -> str:
    """Return a line of a switch without what a log shan't have: hashes, keys, communities."""
    return _SECRET.sub(r"\g<word> (hidden)", line)


def _undeclared(state: Running, desired: DesiredSwitch) -> list[tuple[str, str]]:
    others = [name for name in state.ports if name not in desired.ports]
    lines = [(name, _port_line(state.ports[name])) for name in others]
    for name, roce in state.roce.items():
        port = desired.ports.get(name, DesiredPort())
        ours = {port.roce.priority} if port.roce else set[int]()
        lines += [(name, f"PFC on priority {each}") for each in sorted(roce.pfc - ours)]
        lines += [
            (name, f"ECN in queue {queue} from {ecn.min_kb} to {ecn.max_kb} kB")
            for queue, ecn in sorted(roce.ecn.items())
            if queue not in ours
        ]
    return [*lines, *state.undeclared(desired)]


def _port_line(port: PortState) -> str:
    return f"mtu {port.mtu_bytes}, {'enabled' if port.enabled else 'shut down'}"


def _lines(found: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{section}: {line}" if section else line for section, line in found]
