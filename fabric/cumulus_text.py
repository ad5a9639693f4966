"""NVUE's words, both ways: the tree of settings is read, what it shall be is `nv set`. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabric.changes import Change, Running, Setting, Value
from fabric.cumulus_bridge import BRIDGE, claims, expanded, membership, vlans
from fabric.linux import branch, leaf
from fabric.protocol import PortState

DEFAULT_MTU_BYTES = 9216
_CHANGESET = re.compile(r"changeset/(?P<user>[^/]+)/(?P<since>[\d-]+_[\d.]+)_\w+")


def running(tree: Mapping[str, object], ports: Sequence[str], *, lldp: bool) -> Running:
    """Read what `nv config show` has below `set`, for the ports that the switch has."""
    tree = expanded(tree)
    paths = [path for path in _leaves(tree) if not _managed(path)]
    return Running(
        ports={port: _port(branch(tree, "interface", port)) for port in ports},
        lldp=lldp,
        roce_mode=_roce_mode(tree),
        rest=[("", shlex.join(path)) for path in paths],
        membership={port: membership(tree, paths, port) for port in ports},
        vlans=vlans(tree),
        claims={("", shlex.join(path)): whose for path, whose in claims(paths).items()},
    )


def _port(interface: Mapping[str, object]) -> PortState:
    link = branch(interface, "link")
    down = leaf(link, "state") == "down" or "down" in branch(link, "state")
    return PortState(
        mtu_bytes=int(leaf(link, "mtu") or DEFAULT_MTU_BYTES),
        description=leaf(interface, "description") or "",
        enabled=not down,
        connected=False,
    )


def _roce_mode(tree: Mapping[str, object]) -> str | None:
    """Return lossless or lossy; from 5.9 on `state` says what `enable` said before."""
    if "roce" not in branch(tree, "qos"):
        return None
    roce = branch(tree, "qos", "roce")
    on = leaf(roce, "enable") or leaf(roce, "state") or "on"
    return (leaf(roce, "mode") or "lossless") if on in {"on", "enabled"} else None


def _leaves(tree: Mapping[str, object], *above: str) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, *above, key)
        elif isinstance(value, dict) or value is None:
            yield (*above, key)
        else:
            yield (*above, key, str(value))


def _managed(path: tuple[str, ...]) -> bool:
    match path:
        case ("interface", _, "type" | "description", *_):
            return True
        case ("interface", _, "link", "mtu" | "state", *_):
            return True
        case ("qos", "roce", *_):
            return True
        case _:
            return False


def ports(shown: Mapping[str, object]) -> dict[str, bool]:
    """Return the front-panel ports of `nv show interface -o json`, and which have a carrier."""
    return {
        name: leaf(shown, name, "link", "oper-status") == "up"
        for name in shown
        if leaf(shown, name, "type") == "swp"
    }


_FORMS = {
    Setting.MTU: "link mtu {}",
    Setting.DESCRIPTION: "description {}",
    Setting.ROCE: "qos roce mode {}",
    Setting.VLAN: f"bridge domain {BRIDGE} vlan {{}}",
    Setting.MEMBER: f"bridge domain {BRIDGE} access {{}}",
}


def word(change: Change, value: Value) -> str | None:
    if change.setting is Setting.ENABLED:
        return f"link state {'up' if value else 'down'}"
    form = _FORMS.get(change.setting)
    return form.format(value) if form and value else None


def commands(due: Sequence[Change]) -> list[list[str]]:
    """Return the `nv set` and `nv unset` that make the difference go away."""
    lines = []
    for change in due:
        at = ["interface", change.port or ""]
        match change.setting, change.new:
            case Setting.MTU, mtu:
                lines.append(["nv", "set", *at, "link", "mtu", str(mtu)])
            case Setting.DESCRIPTION, "":
                lines.append(["nv", "unset", *at, "description"])
            case Setting.DESCRIPTION, text:
                lines.append(["nv", "set", *at, "description", str(text)])
            case Setting.ENABLED, up:
                lines.append(["nv", "set", *at, "link", "state", "up" if up else "down"])
            case Setting.ROCE, mode:
                lines.append(["nv", "set", "qos", "roce", "mode", str(mode)])
            case Setting.VLAN, vlan:
                lines.append(["nv", "set", "bridge", "domain", BRIDGE, "vlan", str(vlan)])
            case Setting.MEMBER, vlan:
                lines.append(["nv", "set", *at, "bridge", "domain", BRIDGE, "access", str(vlan)])
    return lines


@dataclass(frozen=True)
class Revision:
    """A revision of NVUE: who made it and since when, as far as the switch tells."""

    name: str
    state: str
    """`pending`: entered and not applied; `confirm`: applied on trial; and others."""
    user: str
    message: str
    since: str

    @property
    def told(self) -> str:
        user, since = self.user and f"of {self.user}", self.since and f"since {self.since}"
        about = ", ".join(part for part in (user, since, self.message) if part)
        return f"{self.name} ({about or 'no message'})"


def revisions(shown: Mapping[str, object]) -> list[Revision]:
    """Read `nv config revision -o json`.

    Older versions call a revision changeset/USER/DATE_TIME_ID; in later ones it is a number, whose
    user and date stand in its data.
    """
    return [_revision(name, branch(shown, name)) for name in shown]


def _revision(name: str, told: Mapping[str, object]) -> Revision:
    def said(*keys: str) -> str:
        places = (told, branch(told, "last-apply"), branch(told, "additional-data"))
        found = (leaf(place, key) for place in places for key in keys)
        return next((text for text in found if text), "")

    old = _CHANGESET.fullmatch(name)
    user, since = (old["user"], old["since"]) if old else (said("user"), said("apply-date", "date"))
    return Revision(name, leaf(told, "state") or "", user, said("message"), since)
