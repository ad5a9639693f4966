"""The twin's wires: the management bridge, one namespace a machine, and veth pairs as cables.

Everything is read first (`ip -json`), the missing part is a list of `ip` commands made by pure
functions, and these run as one batch. A switch's port is one end of a veth pair whose other end,
while nothing is plugged in, lies in the switch's namespace as `end-PORT`; plugging in moves that
end into the host's namespace as its interface, so that the port and its settings stay.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from ipaddress import IPv4Interface, ip_interface
from pathlib import Path
from typing import TypedDict

from lab.layout import check_name
from lab.shell import run
from remote.errors import RackformError

BRIDGE = "rf-mgmt"
MANAGEMENT = "mgmt0"
SWITCH_BRIDGE = "br0"
FRESH_MTU_BYTES = 1500
IFNAME_MAX = 15  # IFNAMSIZ - 1, include/uapi/linux/if.h
LONGEST_PREFIX = 30  # room for the controller and one machine
_PORT = re.compile(
    r"Ethernet(?P<ethernet>\d{1,3}(?:/\d{1,2})?)|Eth(?P<eth>\d{1,2}(?:/\d{1,3}){1,2})"
    r"|(?P<swp>swp\d{1,3}(?:s\d)?)"
)
NETNS = Path("/run/netns")


class Link(TypedDict, total=False):
    """What `ip -json link show` prints of a device, as far as it is used."""

    ifname: str
    ifindex: int
    link_index: int
    link: str
    mtu: int
    flags: list[str]
    master: str


class _Address(TypedDict, total=False):
    local: str
    prefixlen: int
    family: str


class _Addressed(TypedDict, total=False):
    ifname: str
    addr_info: list[_Address]


Links = dict[str, Link]


def namespace(name: str) -> str:
    """Return the network namespace of a node or switch."""
    return f"rf-{check_name(name)}"


def host_link(name: str) -> str:
    """Return the controller's end of a machine's management link, at most 15 characters."""
    link = f"rf-{check_name(name)}"
    if len(link) <= IFNAME_MAX and link != BRIDGE:
        return link
    return f"rf-{name[:5].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def mac(name: str, interface: str) -> str:
    """Return the hardware address of a machine's interface: the same each time it is made.

    Neighbours remember it: with another one, a machine made anew can't be reached for half a
    minute.
    """
    digest = hashlib.sha256(f"{name} {interface}".encode()).hexdigest()
    return ":".join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])


def port_device(port: str) -> str:
    """Return the device behind a front-panel port, as its network OS names it.

    Ethernet3 → swp3, Ethernet49/1 → swp49-1, Eth1/3 → swp1-3, swp1s0 → swp1s0.
    """
    match = _PORT.fullmatch(port)
    if not match:
        raise RackformError(
            f"switch port '{port}' is unknown to the twin: name it Ethernet1, Ethernet2, … or "
            "Ethernet49/1, on Onyx Eth1/1, on Cumulus swp1"
        )
    return match["swp"] or f"swp{(match['ethernet'] or match['eth']).replace('/', '-')}"


def free_end(device: str) -> str:
    """Return what a port's other end is called while no cable is in it."""
    return f"end-{device}"


def check_interface(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", name) or name in {".", "..", "lo", MANAGEMENT}:
        raise RackformError(
            f"'{name}' can't be a fabric interface: a Linux interface name has at most "
            f"{IFNAME_MAX} letters, digits, '_', '.' or '-', and lo and {MANAGEMENT} are taken"
        )
    return name


def controller_address(address: str) -> IPv4Interface:
    """Return the controller's address on the machines' management network: the first one."""
    interface = ip_interface(address)
    if not isinstance(interface, IPv4Interface) or interface.network.prefixlen > LONGEST_PREFIX:
        raise RackformError(
            f"management address {address}: the twin needs an IPv4 address with the prefix of its "
            "network, at most /30 (10.77.0.11/24)"
        )
    first = next(interface.network.hosts())
    if interface.ip == first:
        raise RackformError(
            f"management address {address} is the controller's own in the twin: take another one "
            f"of {interface.network}"
        )
    return IPv4Interface(f"{first}/{interface.network.prefixlen}")


def bridge_plan(host: Links, address: IPv4Interface) -> list[str]:
    """Return the commands that make the management bridge on the controller."""
    made = f"link add {BRIDGE} address {mac('', BRIDGE)} type bridge"
    plan = [] if BRIDGE in host else [made]
    return [*plan, f"addr replace {address} dev {BRIDGE}", f"link set {BRIDGE} up"]


def management_plan(name: str, host: Links, inside: Links) -> list[str]:
    """Return the commands, run on the controller, that wire a machine to the management bridge."""
    link = host_link(name)
    if link in host and MANAGEMENT in inside:
        if host[link].get("master") == BRIDGE:
            return []
        return [f"link set {link} master {BRIDGE} up"]
    stale = [f"link del {link}"] if link in host else []
    return [
        *stale,
        f"link add {link} type veth peer name {MANAGEMENT} netns {namespace(name)}",
        f"link set {link} master {BRIDGE} up",
    ]


def switch_plan(devices: Iterable[str], inside: Links) -> list[str]:
    """Return the commands, run in the switch's namespace, that make its bridge and its ports.

    A port starts at an MTU of 1500 and up, as on a switch that nobody has configured.
    """
    plan, mtu = [], f"mtu {FRESH_MTU_BYTES}"
    if SWITCH_BRIDGE not in inside:
        plan += [f"link add {SWITCH_BRIDGE} type bridge", f"link set {SWITCH_BRIDGE} up"]
    for device in devices:
        if device not in inside:
            plan += [
                f"link add {device} {mtu} type veth peer name {free_end(device)} {mtu}",
                f"link set {device} master {SWITCH_BRIDGE} up",
            ]
    return plan


def removed_ports_plan(devices: Iterable[str], inside: Links) -> list[str]:
    keep = set(devices)
    return [f"link del {d}" for d in sorted(inside) if d.startswith("swp") and d not in keep]


def is_plugged(interface: str, node: Links, device: str, switch: Links) -> bool:
    """Say whether the node's interface is the other end of the switch's port."""
    ours, port = node.get(interface), switch.get(device)
    if ours is None or port is None or free_end(device) in switch:
        return False
    return ours.get("link_index") == port["ifindex"] and port.get("link_index") == ours["ifindex"]


def links(name: str | None) -> Links:
    """Return the devices of a machine's namespace, if there is one (None: of the controller)."""
    where = [] if name is None else ["-n", namespace(name)]
    if name is not None and not exists(name):
        return {}
    text = run(["ip", *where, "-json", "link", "show"], purpose="read the network links")
    found: list[Link] = json.loads(text or "[]")
    return {link["ifname"]: link for link in found}


def exists(name: str) -> bool:
    return (NETNS / namespace(name)).exists()


def batch(commands: list[str], *, name: str | None = None, purpose: str) -> None:
    """Run `ip` commands in one go, on the controller or in a machine's namespace."""
    if commands:
        where = [] if name is None else ["-n", namespace(name)]
        run(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n", purpose=purpose)


def refuse_overlap(address: IPv4Interface) -> None:
    """Refuse a management network that this machine already reaches another way."""
    text = run(["ip", "-json", "-4", "addr", "show"], purpose="read this machine's addresses")
    found: list[_Addressed] = json.loads(text or "[]")
    for device in found:
        for entry in device.get("addr_info", []):
            there = IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")
            if device["ifname"] != BRIDGE and there.network.overlaps(address.network):
                raise RackformError(
                    f"the twin's management network {address.network} overlaps {there} of this "
                    f"machine's {device['ifname']}: give the twin's nodes and switches other "
                    "management addresses in the site"
                )


def connect(name: str, address: str) -> None:
    """Make a machine's namespace with its management link. The caller holds the network's lock."""
    controller = controller_address(address)
    refuse_overlap(controller)
    if not exists(name):
        run(["ip", "netns", "add", namespace(name)], purpose=f"make the namespace of {name}")
    host, inside = links(None), links(name)
    plan = [*bridge_plan(host, controller), *management_plan(name, host, inside)]
    batch(plan, purpose=f"wire {name} to the management bridge")
    wanted = str(ip_interface(address))
    batch(
        [
            "link set lo up",
            *stale_addresses(name, wanted),
            f"addr replace {wanted} dev {MANAGEMENT}",
            f"link set {MANAGEMENT} address {mac(name, MANAGEMENT)} up",
        ],
        name=name,
        purpose=f"give {name} its management address",
    )


def stale_addresses(name: str, wanted: str) -> list[str]:
    """Return the commands that take away management addresses from before the site changed."""
    show = ["ip", "-n", namespace(name), "-json", "-4", "addr", "show", "dev", MANAGEMENT]
    found: list[_Addressed] = json.loads(run(show, purpose=f"read the addresses of {name}") or "[]")
    there = [f"{a['local']}/{a['prefixlen']}" for d in found for a in d.get("addr_info", [])]
    return [f"addr del {a} dev {MANAGEMENT}" for a in there if a != wanted]


def plug(node: str, interface: str, switch: str, port: str) -> None:
    """Put the cable into both ends, where both machines exist; nothing to do if it is in."""
    device = port_device(port)
    inside, ports = links(node), links(switch)
    if not inside or not ports or is_plugged(check_interface(interface), inside, device, ports):
        return
    if interface in inside:
        # A cable to somewhere else: its other end goes with it, and the switch that had it
        # makes a free port again when it is next made.
        batch([f"link del {interface}"], name=node, purpose=f"unplug {interface} of {node}")
        ports = links(switch)
    if device in ports and free_end(device) not in ports:
        batch([f"link del {device}"], name=switch, purpose=f"free {port} of {switch}")
        ports.pop(device)
    batch(switch_plan([device], ports), name=switch, purpose=f"make {port} of {switch}")
    move = f"link set {free_end(device)} netns {namespace(node)} name {interface}"
    purpose = f"plug {interface} of {node} into {switch}.{port}"
    batch([move], name=switch, purpose=purpose)
    batch([f"link set {interface} address {mac(node, interface)}"], name=node, purpose=purpose)


def unplug(node: str, interface: str, switch: str, port: str) -> None:
    """Take the cable out; the switch's port stays, with its settings and without a carrier."""
    device = port_device(port)
    if not is_plugged(interface, links(node), device, links(switch)):
        return
    batch(
        [
            f"link set {interface} down mtu {FRESH_MTU_BYTES}",
            f"link set {interface} netns {namespace(switch)} name {free_end(device)}",
        ],
        name=node,
        purpose=f"unplug {interface} of {node}",
    )


def disconnect(name: str) -> None:
    """Remove a machine's namespace and its management link."""
    link = host_link(name)
    if link in links(None):
        batch([f"link del {link}"], purpose=f"unplug {name} from the management bridge")
    if exists(name):
        run(["ip", "netns", "del", namespace(name)], purpose=f"remove the namespace of {name}")
