"""`switchport` and what stands beside it in a port's section: the same words on EOS and Onyx. Pure.

EOS: user manual, "VLANs" ("VLAN 1 exists by default; all other VLANs only exist after they are
configured") and "Port Channels"; `switchport default mode routed`: configurations that
aristanetworks/avd makes. Onyx: ansible-collections/mellanox.onyx, plugins/modules:
onyx_l2_interface.py, onyx_linkagg.py, onyx_vlan.py.
"""

import re
from collections.abc import Mapping, Sequence

from fabric.membership import vlans_in
from fabric.protocol import Membership

FIRST_VLAN = 1
"""The VLAN that is always there, and that a port is in until it is told otherwise."""
ROUTED_BY_DEFAULT = "switchport default mode routed"
_ACCESS = re.compile(r"switchport access vlan (\d+)")
_NATIVE = re.compile(r"switchport trunk native vlan (\d+)")
_MODE = re.compile(r"switchport mode (\S+)")
_GROUP = re.compile(r"(mlag-)?channel-group \d+\b.*")
_ROUTED = re.compile(r"no switchport(?: force)?|ip address .*")
_VLAN = re.compile(r"vlan (\d+)")
_VLANS = re.compile(r"vlan (?P<vlans>\d[\d,-]*)")


def membership(lines: Sequence[str], entered: str, *, routed: bool = False) -> Membership:
    """Read the lines of one port.

    `entered` is how a line of it is typed: `interface Ethernet1; {}`. `routed` is what a port is
    where no line says.
    """
    vlan, mode = _told(_ACCESS, lines) or FIRST_VLAN, _told(_MODE, lines) or "access"
    if held := _held(lines, routed=routed):
        return Membership(carries=held[0], remedy=entered.format(held[1]))
    if mode == "access":
        return Membership(vlan=int(vlan))
    return Membership(
        vlan=int(_told(_NATIVE, lines) or FIRST_VLAN) if mode == "trunk" else int(vlan),
        carries=f"switchport mode {mode}",
        remedy=entered.format("switchport mode access"),
    )


def _told(what: re.Pattern[str], lines: Sequence[str]) -> str | None:
    return next((found[1] for line in lines if (found := what.fullmatch(line))), None)


def _held(lines: Sequence[str], *, routed: bool) -> tuple[str, str] | None:
    """Return the line that keeps a port from every VLAN, and the one that ends that."""
    group = next((line for line in lines if _GROUP.fullmatch(line)), None)
    if group:
        return group, f"no {group.split()[0]}"
    away = [line for line in lines if _ROUTED.fullmatch(line)]
    if away:
        return away[-1], "switchport"
    if routed and "switchport" not in lines:
        return ROUTED_BY_DEFAULT, "switchport"
    return None


def one_by_one(rest: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the lines with each VLAN in its own: `vlan 20,78` is one that was 20 and ours."""
    found: list[tuple[str, str]] = []
    for section, text in rest:
        several = None if section else _VLANS.fullmatch(text)
        each = sorted(vlans_in(several["vlans"])) if several else ()
        found += [("", f"vlan {vlan}") for vlan in each] or [(section, text)]
    return found


def claims(rest: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str | int]:
    """Return which lines say that a port is in a VLAN, or that there is one."""
    found: dict[tuple[str, str], str | int] = {}
    for section, text in rest:
        vlan = _VLAN.fullmatch(text)
        if section and (_ACCESS.fullmatch(text) or text == "switchport mode access"):
            found[section, text] = section
        elif vlan and not section:
            found[section, text] = int(vlan[1])
    return found


def vlans(rest: Sequence[tuple[str, str]]) -> frozenset[int]:
    """Return the VLANs that there are, of lines that are one by one."""
    told = (_VLAN.fullmatch(text) for section, text in rest if not section)
    return frozenset({FIRST_VLAN, *(int(line[1]) for line in told if line)})


def of(rest: Sequence[tuple[str, str]], port: str) -> list[str]:
    return [text for section, text in rest if section == port]
