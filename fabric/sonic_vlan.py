"""Which VLAN a port of SONiC is in, and what keeps it from one: read from CONFIG_DB. Pure.

sonic-buildimage, src/sonic-yang-models: sonic-vlan.yang refuses a member that is a router interface
or in a port channel, and a second VLAN without a tag; Vlan1 there is none.
"""

import re
from collections.abc import Mapping, Sequence

from fabric.linux import branch, leaf
from fabric.protocol import Membership

_MEMBER = re.compile(r"VLAN_MEMBER\|Vlan\d+\|(?P<port>.+)")
_VLAN = re.compile(r"VLAN\|Vlan(?P<vlan>\d+)")


def vlans(config: Mapping[str, object]) -> frozenset[int]:
    names = (name.removeprefix("Vlan") for name in branch(config, "VLAN"))
    return frozenset(int(name) for name in names if name.isdecimal())


def membership(config: Mapping[str, object], port: str) -> Membership:
    tagged: dict[int, bool] = {}
    for key in branch(config, "VLAN_MEMBER"):
        vlan, _, name = key.removeprefix("Vlan").partition("|")
        if name == port and vlan.isdecimal():
            tagged[int(vlan)] = leaf(config, "VLAN_MEMBER", key, "tagging_mode") == "tagged"
    carries, remedy = _carries(config, port)
    others = frozenset(vlan for vlan, tag in tagged.items() if tag)
    if others and not carries:
        remedy = f"sudo config vlan member del {min(others)} {port}"
    return Membership(
        vlan=next((vlan for vlan, tag in tagged.items() if not tag), None),
        tagged=others,
        carries=carries,
        remedy=remedy,
    )


def _carries(config: Mapping[str, object], port: str) -> tuple[str, str]:
    """Return the row that keeps a port from every VLAN, and the command that removes it."""
    rows = [key for key in branch(config, "INTERFACE") if key.partition("|")[0] == port]
    addressed = next((row for row in rows if "|" in row), None)
    if addressed:
        address = addressed.partition("|")[2]
        return f"INTERFACE|{addressed}", f"sudo config interface ip remove {port} {address}"
    if rows:
        vrf = leaf(config, "INTERFACE", port, "vrf_name")
        remedy = f"vrf unbind {port}" if vrf else f"ipv6 disable use-link-local-only {port}"
        return f"INTERFACE|{port}", f"sudo config interface {remedy}"
    for row in branch(config, "PORTCHANNEL_MEMBER"):
        channel, _, name = row.partition("|")
        if name == port:
            remedy = f"sudo config portchannel member del {channel} {port}"
            return f"PORTCHANNEL_MEMBER|{row}", remedy
    below = next((r for r in branch(config, "VLAN_SUB_INTERFACE") if r.startswith(f"{port}.")), "")
    name = below.partition("|")[0]
    return (
        (f"VLAN_SUB_INTERFACE|{below}", f"sudo config subinterface del {name}")
        if below
        else ("", "")
    )


def claims(rest: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str | int]:
    """Return which rows say that a port is in a VLAN untagged, or that there is one."""
    found: dict[tuple[str, str], str | int] = {}
    for section, text in rest:
        if (member := _MEMBER.fullmatch(section)) and text == "tagging_mode untagged":
            found[section, text] = member["port"]
        elif (vlan := _VLAN.fullmatch(section)) and text == f"vlanid {vlan['vlan']}":
            found[section, text] = int(vlan["vlan"])
    return found
