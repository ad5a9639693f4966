"""Ports of a bridge in NVUE's words: read from its tree of settings. Pure.

NVUE's user guide, "VLAN-aware Bridge Mode": the bridge br_default is there from the beginning with
no port in it; a port in it without `access` has its VLANs tagged and its `untagged` VLAN, 1 if
nothing else is set; an access VLAN has to be one of the bridge's `vlan`.
"""

from collections.abc import Mapping, Sequence

from fabric.linux import branch, leaf
from fabric.membership import numbered
from fabric.protocol import Membership

BRIDGE = "br_default"
_UNTAGGED = 1
Path = tuple[str, ...]


def expanded(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the tree with each interface and VLAN by itself: NVUE writes swp1-4, and 10,20."""
    found = dict(tree)
    if "interface" in tree:
        found["interface"] = _one_by_one(branch(tree, "interface"))
    domains = branch(tree, "bridge", "domain")
    if domains:
        bridges = {
            name: {**branch(domain), "vlan": _one_by_one(branch(domain, "vlan"))}
            if "vlan" in branch(domain)
            else domain
            for name, domain in domains.items()
        }
        found["bridge"] = {**branch(tree, "bridge"), "domain": bridges}
    return found


def _one_by_one(named: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in named.items():
        for name in numbered(key):
            found[name] = _merged(found.get(name), value)
    return found


def _merged(one: object, other: object) -> object:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}


def vlans(tree: Mapping[str, object]) -> frozenset[int]:
    """Return the VLANs of the bridge; the untagged one is among them without being named."""
    named = branch(tree, "bridge", "domain", BRIDGE, "vlan")
    return frozenset({_untagged(tree), *(int(vlan) for vlan in named if vlan.isdecimal())})


def _untagged(tree: Mapping[str, object]) -> int:
    told = leaf(tree, "bridge", "domain", BRIDGE, "untagged") or ""
    return int(told) if told.isdecimal() else _UNTAGGED


def membership(tree: Mapping[str, object], paths: Sequence[Path], port: str) -> Membership:
    """Read one port of an expanded tree; `paths` are its settings, those that are nobody's."""
    carried = next(((path, kept) for path in paths if (kept := _carries(path, port))), None)
    domain = branch(tree, "interface", port, "bridge", "domain")
    access = leaf(domain, BRIDGE, "access") or ""
    if carried:
        path, what = carried
        return Membership(carries=" ".join(path), remedy=f"nv unset {' '.join(what)}")
    if access.isdecimal():
        return Membership(vlan=int(access))
    if BRIDGE not in domain:
        return Membership()
    remedy = f"nv set interface {port} bridge domain {BRIDGE} access {_untagged(tree)}"
    return Membership(vlan=_untagged(tree), tagged=vlans(tree) - {_untagged(tree)}, remedy=remedy)


def _carries(path: Path, port: str) -> Path | None:
    """Return what of a setting gives the port an address, a bond, a router or another bridge."""
    match path:
        case ("interface", name, "ip", "address", _, *_) if name == port:
            return path[:5]
        case ("interface", name, "ip", "vrf", vrf) if name == port and vrf != "default":
            return path[:4]
        case ("interface", name, "bridge", "domain", bridge, *_) if name == port:
            own = bridge == BRIDGE and path[5:6] not in {("vlan",), ("untagged",)}
            return None if own else path[: 6 if bridge == BRIDGE else 5]
        case ("interface", _, "bond", "member", name) if name == port:
            return path
        case ("vrf", _, "router", _, "neighbor", name, *_) if name == port:
            return path[:6]
        case _:
            return None


def claims(paths: Sequence[Path]) -> dict[Path, str | int]:
    """Return which settings say that a port is in a VLAN, or that the bridge has one."""
    found: dict[Path, str | int] = {}
    for path in paths:
        match path:
            case ("interface", port, "bridge", "domain", bridge) if bridge == BRIDGE:
                found[path] = port
            case ("interface", port, "bridge", "domain", bridge, "access", _) if bridge == BRIDGE:
                found[path] = port
            case ("bridge", "domain", bridge, "vlan", vlan) if (
                bridge == BRIDGE and vlan.isdecimal()
            ):
                found[path] = int(vlan)
            case _:
                continue
    return found
