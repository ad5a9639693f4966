"""What a switch told of its ports, as lines of the stack file: whether they forward. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from discover.comments import comment
from discover.model import Finding, Severity
from discover.wishes import SwitchWish
from fabric.limits import LAST_VLAN
from fabric.membership import apart
from fabric.protocol import Membership, SwitchState

_OWN_VLAN = 78
"""The first that is proposed, if the switch has none of that number."""
_DELIVERED = 1
_INDENT = " " * 8
_comment = partial(comment, len(_INDENT))


def vlan_lines(switch: SwitchWish, ports: Sequence[str]) -> Iterator[str]:
    """Return the setting where the switch tells that its ports need it, and the reason."""
    seen = switch.seen
    if seen is None:
        yield from _comment(
            f"ASSUMED that these ports forward to each other: {switch.unseen or 'nobody asked'}. "
            f"'vlan: {_OWN_VLAN}' has 'up' put them into one VLAN."
        )
        return
    away = apart(seen.membership, seen.vlans, ports)
    if not away:
        vlan = seen.membership[ports[0]].vlan
        yield from _comment(f"vlan is left out: these ports forward to each other in VLAN {vlan}.")
        return
    vlan = proposed(seen, ports)
    yield f"{_INDENT}vlan: {vlan} # {', '.join(away)}: forwards to no other of these ports now"
    for port in ports:
        told = seen.membership.get(port, Membership())
        if told.carries or told.tagged - {vlan}:
            what = told.carries or f"VLAN {', '.join(map(str, sorted(told.tagged)))} tagged"
            yield from _comment(
                f"'up' refuses {port} while it has '{what}': '{told.remedy}' on the switch ends it."
            )
    yield from (line for each in cautions([switch]) for line in _comment(each.text))


def proposed(seen: SwitchState, ports: Sequence[str]) -> int:
    """Return the VLAN in which most of these ports are, but for VLAN 1; else one that is free."""
    ways = (seen.membership.get(port, Membership()).vlan for port in ports)
    there = Counter(vlan for vlan in ways if vlan and vlan in seen.vlans - {_DELIVERED})
    free = (vlan for vlan in range(_OWN_VLAN, LAST_VLAN + 1) if vlan not in seen.vlans)
    return there.most_common(1)[0][0] if there else next(free)


def cautions(switches: Sequence[SwitchWish]) -> list[Finding]:
    """Return a warning of each switch that is managed over its own ports."""
    return [
        Finding(
            severity=Severity.WARNING,
            machine=switch.name,
            text=f"it is managed in VLAN {switch.seen.managed_vlan}, over its own ports: leave the "
            "port over which you reach it out of its ports, or a VLAN cuts the way to it (a change "
            "that does goes back by itself)",
        )
        for switch in switches
        if switch.seen and switch.seen.managed_vlan is not None
    ]
