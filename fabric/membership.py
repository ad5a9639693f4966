"""Ports that forward to each other: what keeps a port from the VLAN that is declared. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from fabric.changes import Change, Running, Setting
from fabric.protocol import DesiredSwitch, Membership, UnderWay

_VLAN_INTERFACE = re.compile(r"interface\W*vlan\s?(?P<vlan>\d+)\b", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<prefix>[a-z]+(?:\d+s)?)?(?P<first>\d+)(?:-(?P<last>\d+))?")


def in_the_way(
    name: str, address: str, state: Running, desired: DesiredSwitch, due: Sequence[Change]
) -> list[UnderWay]:
    """Return what keeps ports from the declared VLAN, and what their way into it may cut."""
    moved = {c.port: c.old for c in due if c.setting is Setting.MEMBER and c.port is not None}
    if desired.vlan is None or not moved:
        return []
    found = [
        UnderWay(sentence=_occupied(name, port, what, remedy, desired.vlan), blocks=True)
        for port in moved
        for what, remedy in _others(state.membership.get(port, Membership()), desired.vlan)
    ]
    managed = managed_vlan(state.rest, address)
    leaving = [port for port, old in moved.items() if old == managed]
    if managed is not None and leaving:
        sentence = (
            f"switch {name} is reached at {address} in VLAN {managed}, which {', '.join(leaving)} "
            f"shall leave for VLAN {desired.vlan}: where the way to the switch goes over one of "
            f"these, the change goes back by itself; take that port out of switches.{name}.ports"
        )
        found.append(UnderWay(sentence=sentence, blocks=False))
    return found


def _others(membership: Membership, wanted: int) -> Iterator[tuple[str, str]]:
    tagged = sorted(membership.tagged - {wanted})
    if membership.carries:
        yield f"'{membership.carries}'", membership.remedy
    elif tagged:
        yield f"VLAN {', '.join(map(str, tagged))} tagged", membership.remedy


def _occupied(name: str, port: str, what: str, remedy: str, vlan: int) -> str:
    return (
        f"switches.{name}.vlan = {vlan}, but {port} has {what}, and a port is put into that VLAN "
        f"only if it carries nothing else: enter '{remedy}' on {name} if nobody needs it, take the "
        f"port out of switches.{name}.ports, or leave out switches.{name}.vlan"
    )


def managed_vlan(rest: Sequence[tuple[str, str]], address: str) -> int | None:
    """Return the VLAN whose interface has the switch's management address, if it is one's."""
    whole = re.compile(rf"(?<![\d.]){re.escape(address)}(?![\d.])")
    lines = (f"{section} {text}" for section, text in rest)
    found = (_VLAN_INTERFACE.search(line) for line in lines if whole.search(line))
    return next((int(match["vlan"]) for match in found if match), None)


def apart(
    state: Mapping[str, Membership], vlans: frozenset[int], ports: Sequence[str]
) -> list[str]:
    """Return those of these ports that don't forward to the first of them that forwards at all."""
    ways = {port: state.get(port, Membership()).vlan for port in ports}
    common = next((vlan for vlan in ways.values() if vlan in vlans), None)
    return [port for port, vlan in ways.items() if vlan is None or vlan != common]


def numbered(text: str) -> list[str]:
    """Return the names of a list with ranges: 10-12,20, or swp1-4,7; what is none as it is."""
    names: list[str] = []
    prefix = ""
    for part in text.split(","):
        token = _TOKEN.fullmatch(part)
        if token is None:
            return [text]
        prefix = token["prefix"] or prefix
        first, last = int(token["first"]), int(token["last"] or token["first"])
        names += [f"{prefix}{number}" for number in range(first, last + 1)]
    return names


def vlans_in(text: str) -> frozenset[int]:
    return frozenset(int(name) for name in numbered(text) if name.isdecimal())
