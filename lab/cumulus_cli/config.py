"""NVUE's settings as a tree: set, unset, compared, put onto ports. Every path is known or refused.

Paths and their values: the NVUE command reference of Cumulus Linux 5 (docs.nvidia.com).
"""

import copy
import json
import re
import shlex
from collections.abc import Iterator, Mapping

from lab.switch_cli.core import CliError, Context, Landing
from lab.switch_cli.ports import FIRST_VLAN, Link

DEFAULT_MTU_BYTES = 9216
MIN_MTU_BYTES = 552
BRIDGE = "br_default"
LAST_VLAN = 4094
_DESCRIPTION_MAX = 255
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+/\d+")
Tree = dict[str, object]


def factory(hostname: str) -> Tree:
    return {"system": {"hostname": hostname}}


def parse(text: str) -> Tree:
    tree = json.loads(text)
    if not isinstance(tree, dict):
        raise CliError("Error: the configuration is no mapping")
    return tree


def render(tree: Tree) -> str:
    return json.dumps(tree, indent=2, sort_keys=True) + "\n"


def branch(tree: object, *keys: str) -> Tree:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def landings(tree: Tree, context: Context) -> dict[str, Landing]:
    found = {}
    for port in context.ports:
        interface = branch(tree, "interface", port)
        link = branch(interface, "link")
        mtu = int(str(link.get("mtu", DEFAULT_MTU_BYTES)))
        enabled = "down" not in branch(link, "state")
        vlan = _vlan(branch(interface, "bridge", "domain"))
        found[port] = Landing(mtu, str(interface.get("description", "")), enabled, vlan)
    return found


def _vlan(domain: Tree) -> int | None:
    access = branch(domain, BRIDGE).get("access")
    return int(str(access)) if access else FIRST_VLAN if BRIDGE in domain else None


def overlaid(tree: Tree, links: Mapping[str, Link], context: Context) -> Tree:
    found, declared = tree, landings(tree, context)
    for port, link in links.items():
        if declared[port].mtu_bytes != link.mtu_bytes:
            found = _with(found, ("interface", port, "link", "mtu"), link.mtu_bytes)
        if declared[port].enabled != link.enabled:
            state: Tree = {"up" if link.enabled else "down": {}}
            found = _with(found, ("interface", port, "link", "state"), state)
    return found


def _with(tree: Tree, path: tuple[str, ...], value: object) -> Tree:
    found = copy.deepcopy(tree)
    at = found
    for key in path[:-1]:
        below = at.setdefault(key, {})
        if not isinstance(below, dict):
            raise CliError(f"Error: '{key}' has a value, so nothing is below it")
        at = below
    if value != {} or path[-1] not in at:
        at[path[-1]] = value
    return found


def set_path(tree: Tree, words: list[str], context: Context) -> Tree:
    """Return the tree after `nv set`.

    Raises:
        CliError: NVUE knows no such path, or refuses the value.

    """
    at, value = _checked(words, context)
    if at[:1] == ("interface",) and at[1] in context.ports:
        tree = _with(tree, ("interface", at[1], "type"), "swp")
    return _with(tree, at, value)


def _checked(words: list[str], context: Context) -> tuple[tuple[str, ...], object]:
    match words:
        case ["interface", port, *_] if port not in context.ports:
            raise CliError(f"Error: '{port}' is not an interface of this switch.")
        case ["interface", port, *rest]:
            below, value = _port(port, rest, context)
            return ("interface", port, *below), value
        case ["qos", "roce", *rest]:
            return _roce(rest)
        case ["bridge", "domain", name, "vlan", vlan] if vlan.isdecimal():
            return ("bridge", "domain", name, "vlan", vlan), {}
        case ["system", "hostname", name]:
            return ("system", "hostname"), name
        case _:
            raise CliError(f"Error: Invalid parameter: '{' '.join(words)}' is not a setting.")


def _port(port: str, rest: list[str], context: Context) -> tuple[tuple[str, ...], object]:
    match rest:
        case ["link", "mtu", mtu]:
            return ("link", "mtu"), _number(mtu, MIN_MTU_BYTES, context.max_mtu_bytes)
        case ["link", "state", "up" | "down" as state]:
            return ("link", "state"), {state: {}}
        case ["description", text] if len(text) <= _DESCRIPTION_MAX:
            return ("description",), text
        case ["bridge", "domain", "br_default"]:
            return tuple(rest), {}
        case ["bridge", "domain", "br_default", "access", vlan]:
            return tuple(rest[:-1]), _number(vlan, FIRST_VLAN, LAST_VLAN)
        case ["ip", "address", address] if _ADDRESS.fullmatch(address):
            return tuple(rest), {}
        case _:
            said = f"interface {port} {' '.join(rest)}"
            raise CliError(f"Error: Invalid parameter: '{said}' is not a setting.")


def _number(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise CliError(f"Error: '{text}' is not in range {low} - {high}.")
    return int(text)


def _roce(rest: list[str]) -> tuple[tuple[str, ...], object]:
    match rest:
        case []:
            return ("qos", "roce"), {"mode": "lossless"}
        case ["mode", "lossless" | "lossy" as mode]:
            return ("qos", "roce", "mode"), mode
        case ["enable", "on" | "off" as state]:
            return ("qos", "roce", "enable"), state
        case _:
            raise CliError(f"Error: Invalid parameter: 'qos roce {' '.join(rest)}'.")


def unset_path(tree: Tree, words: list[str]) -> Tree:
    """Return the tree after `nv unset`, without what is below the path and what held only that."""
    found = copy.deepcopy(tree)
    above: list[Tree] = []
    at: object = found
    for key in words:
        if not isinstance(at, dict) or key not in at:
            raise CliError(f"Error: '{' '.join(words)}' is not set.")
        above.append(at)
        at = at[key]
    for holder, key in zip(reversed(above), reversed(words), strict=True):
        del holder[key]
        if holder:
            break
    return found


def leaves(tree: Tree, *above: str) -> Iterator[tuple[str, ...]]:
    for key, value in sorted(tree.items()):
        if isinstance(value, dict) and value:
            yield from leaves(value, *above, key)
        else:
            yield (*above, key) if isinstance(value, dict) else (*above, key, str(value))


def commands(before: Tree, after: Tree) -> list[str]:
    """Return the commands that lead from one tree to the other, as `nv config diff` lists them."""
    old, new = set(leaves(before)), set(leaves(after))
    kept = {path[:-1] for path in new}
    gone = [path for path in sorted(old - new) if path[:-1] not in kept]
    unset = [f"nv unset {shlex.join(path[:-1])}" for path in gone if path[-2:-1] != ("type",)]
    fresh = [path for path in sorted(new - old) if path[-2:-1] != ("type",)]
    return unset + [f"nv set {shlex.join(path)}" for path in fresh]
