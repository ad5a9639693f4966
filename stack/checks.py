"""The rules that look at more than one setting: machines, networks and cables.

Each rule is a generator of errors. Those about services are in `stack.service_checks`,
those about models in `stack.model_checks`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from fabric.limits import LAST_VLAN, LIMITS
from stack.draft import Draft
from stack.driver import Modules, SystemPackages, has_nvswitch, modules_for, modules_in
from stack.hints import SettingError, dotted, suggestion, told
from stack.model_checks import MODEL_RULES
from stack.rail_checks import RAIL_RULES, rail_setting, setting, unknown_end
from stack.schema import FABRIC, LinkKind, Rdma, Role, Variant
from stack.service_checks import SERVICE_RULES


def cross_errors(draft: Draft) -> Iterator[SettingError]:
    """Yield what is wrong with a site although each setting by itself is right."""
    for rule in (*_RULES, *RAIL_RULES, *SERVICE_RULES, *MODEL_RULES):
        yield from rule(draft)


def _roles(draft: Draft) -> Iterator[SettingError]:
    for name, node in draft.site.nodes.items():
        where = f"nodes.{name}"
        worker = Role.WORKER in node.roles
        if len(set(node.roles)) < len(node.roles):
            yield told(f"{where}.roles", node.roles, "but a role counts once: remove the second")
        if worker and not node.gpus and draft.has(f"{where}.gpus"):
            rest = f"but a worker serves with its GPUs: set {where}.gpus.count, or drop the role"
            yield told(f"{where}.roles", node.roles, rest)
        if node.gpus and not worker:
            rest = f"but only a worker's GPUs serve: add worker to {where}.roles"
            yield told(f"{where}.gpus.count", node.gpus.count, rest)


def _one_head(draft: Draft) -> Iterator[SettingError]:
    nodes = draft.site.nodes
    heads = [name for name, node in nodes.items() if Role.HEAD in node.roles]
    if not heads and draft.has("nodes"):
        rest = "but one of them must be the head: add head to the roles of one"
        yield told("nodes", list(nodes), rest)
    for extra in heads[1:]:
        rest = f"but {heads[0]} is the head already, and a site has one: remove head from one"
        yield told(f"nodes.{extra}.roles", nodes[extra].roles, rest)


def _names(draft: Draft) -> Iterator[SettingError]:
    for name in sorted(draft.names["nodes"] & draft.names["switches"]):
        yield SettingError(
            f"switches.{name}",
            f"switches.{name} has the name of a node, but a name means one machine: rename it",
        )


def _references(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    nodes = {"registry.node": site.registry.node, "edge.node": site.edge.node}
    for name, frontend in site.frontends:
        nodes[f"frontends.{name}.node"] = frontend.node if frontend else None
    nodes["monitoring.node"] = site.monitoring.node if site.monitoring else None
    for path, node in nodes.items():
        if node and draft.lacks("nodes", node):
            known = sorted(draft.names["nodes"])
            yield told(path, node, f"but there is no such node: {suggestion(node, known)}")
    for name, machine in site.nodes.items():
        if machine.circuit and draft.lacks("circuits", machine.circuit):
            known = sorted(draft.names["circuits"])
            near = suggestion(machine.circuit, known) if known else "declare it in power.circuits"
            rest = f"but there is no such circuit: {near}"
            yield told(f"nodes.{name}.circuit", machine.circuit, rest)


@dataclass(frozen=True)
class _Placed:
    """An address and the setting that gives it."""

    path: str
    address: IPv4Address


def _addresses(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    fabric = [
        (network, _Placed(f"{setting(name, network)}{key}", link.address))
        for name, node in site.nodes.items()
        for network, link in node.links.items()
        for key in ["fabric_address" if network == FABRIC else "address"]
    ]
    machines = [("nodes", name, node.address) for name, node in site.nodes.items()]
    machines += [("switches", name, switch.address) for name, switch in site.switches.items()]
    management = [_Placed(f"{kind}.{name}.address", address) for kind, name, address in machines]
    if draft.has("management"):
        management.append(_Placed("management.controller", site.controller))
    yield from _doubles([*(placed for _, placed in fabric), *management])
    subnets = _subnets(draft)
    for path, subnet in subnets.items():
        if path == "management.subnet":
            yield from _outsiders(management, path, subnet)
        else:
            there = [each for network, each in fabric if path == rail_setting(network)]
            yield from _outsiders(there, path, subnet)
    yield from _overlaps(subnets)


def _subnets(draft: Draft) -> dict[str, IPv4Network]:
    """Return the subnets that are right, by their settings: management's, the fabric's, rails'."""
    site = draft.site
    declared = {"management.subnet": site.management.subnet}
    declared |= {rail_setting(name): subnet for name, subnet in site.fabric.subnets.items()}
    return {path: subnet for path, subnet in declared.items() if draft.has(path)}


def _overlaps(subnets: dict[str, IPv4Network]) -> Iterator[SettingError]:
    for (first, one), (path, other) in combinations(subnets.items(), 2):
        if one.overlaps(other):
            rest = (
                f"but it overlaps {first} = {one}, and an address must"
                " tell its network: use two subnets that share nothing"
            )
            yield told(path, str(other), rest)


def _doubles(placed: list[_Placed]) -> Iterator[SettingError]:
    first: dict[IPv4Address, str] = {}
    for each in placed:
        if holder := first.get(each.address):
            rest = f"but {holder} is the same, and no two may be: give each its own address"
            yield told(each.path, str(each.address), rest)
        first.setdefault(each.address, each.path)


def _outsiders(placed: list[_Placed], path: str, subnet: IPv4Network) -> Iterator[SettingError]:
    usable = f"use one of {subnet[1]} to {subnet[-2]}"
    for each in placed:
        if each.address in (subnet[0], subnet[-1]):
            rest = f"but the first and the last address of {subnet} belong to no machine: {usable}"
            yield told(each.path, str(each.address), rest)
        elif each.address not in subnet:
            rest = f"but it is outside {path} = {subnet}: {usable}, or change the subnet"
            yield told(each.path, str(each.address), rest)


def _cables(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    first: dict[str, str] = {}
    for switch, port, name, interface in site.plugs():
        path = dotted(["switches", switch, "ports", port])
        end = f"{name}.{interface}"
        limits = LIMITS[site.switches[switch].os]
        if not re.fullmatch(limits.port, port):
            rest = (
                f"but {site.switches[switch].os} has no port of that name: write {limits.example}"
            )
            yield told(path, end, rest)
        if draft.lacks("nodes", name):
            near = suggestion(name, sorted(draft.names["nodes"]))
            yield told(path, end, f"but there is no node {name}: {near}")
        elif name in site.nodes and draft.has(f"nodes.{name}.rails"):
            yield from unknown_end(site.nodes[name], path, end)
        if holder := first.get(end):
            rest = f"but {holder} has that end already, and a cable has one: remove one of the two"
            yield told(path, end, rest)
        first.setdefault(end, path)


def _uncabled(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    if not draft.has("switches"):
        return
    if site.twin and len(site.switches) != 1:
        given = list(site.switches)
        rest = "but a twin has one switch, which joins all its nodes: declare one with their ports"
        yield told("switches", given, rest)
    ends = {(name, interface) for _, _, name, interface in site.plugs()}
    for name, node in site.nodes.items():
        links = {network: link.interface for network, link in node.links.items()}
        strays = {end for end in ends if end[0] == name and end[1] not in links.values()}
        known = site.switches and not strays and draft.has(f"nodes.{name}.rails")
        for network, interface in links.items() if known else ():
            if (name, interface) in ends:
                continue
            rest = (
                "but no switch port has it: add a line 'PORT:"
                f" {name}.{interface}' to the ports of a switch"
            )
            yield told(f"{setting(name, network)}interface", interface, rest)


def _mtus(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    for name, switch in site.switches.items():
        limit, least = LIMITS[switch.os].max_mtu_bytes, LIMITS[switch.os].min_mtu_bytes
        if draft.has("fabric.mtu_bytes") and site.fabric.mtu_bytes < least:
            rest = f"but {switch.os} on switch {name} takes no less than {least}: raise it"
            yield told("fabric.mtu_bytes", site.fabric.mtu_bytes, rest)
        if switch.mtu_limit_bytes > limit:
            rest = f"but {switch.os} takes at most {limit}: lower it, or leave it out"
            yield told(f"switches.{name}.max_mtu_bytes", switch.max_mtu_bytes, rest)
        allowed = min(switch.mtu_limit_bytes, limit)
        if draft.has("fabric.mtu_bytes") and site.fabric.mtu_bytes > allowed:
            rest = f"but switch {name} allows at most {allowed}: lower it to {allowed} or less" + (
                f", or raise switches.{name}.max_mtu_bytes" if allowed < limit else ""
            )
            yield told("fabric.mtu_bytes", site.fabric.mtu_bytes, rest)


def _vlans(draft: Draft) -> Iterator[SettingError]:
    for name, switch in draft.site.switches.items():
        first = LIMITS[switch.os].first_vlan
        if switch.vlan is not None and switch.vlan < first:
            rest = f"but {switch.os} has no VLAN {switch.vlan}: write {first} to {LAST_VLAN}"
            yield told(f"switches.{name}.vlan", switch.vlan, rest)


def _links(draft: Draft) -> Iterator[SettingError]:
    link = draft.site.fabric.link
    wanted = LinkKind.INFINIBAND if link.rdma is Rdma.INFINIBAND else LinkKind.ETHERNET
    if not draft.has("fabric.link"):
        return
    for name, node in draft.site.nodes.items():
        path = f"nodes.{name}.rdma_devices"
        if node.rdma_devices and link.rdma is Rdma.NONE:
            rest = "but fabric.link.rdma is none: set that to roce or infiniband, or remove these"
            yield told(path, node.rdma_devices, rest)
        missing = not node.rdma_devices and Role.WORKER in node.roles and draft.has(path)
        if missing and link.rdma is not Rdma.NONE and not draft.site.twin:
            rest = (
                f"but with fabric.link.rdma = {link.rdma} NCCL must be told its devices, else it"
                " may take a slow path: list the one that 'rdma link' shows for its interface"
            )
            yield told(path, node.rdma_devices, rest)
    if link.rdma is not Rdma.NONE and link.kind is not wanted:
        rest = f"but that is RDMA over {wanted}, and fabric.link.kind is {link.kind}: change one"
        yield told("fabric.link.rdma", link.rdma, rest)
    if link.kind is LinkKind.INFINIBAND:
        for name, switch in draft.site.switches.items():
            rest = (
                "but the fabric is InfiniBand, which "
                f"{switch.os} does not switch: remove the switch"
            )
            yield told(f"switches.{name}.os", switch.os, rest)


def _cards(draft: Draft) -> Iterator[SettingError]:
    site, link = draft.site, draft.site.fabric.link
    for name, node in site.nodes.items():
        for network, card in node.links.items():
            if card.pci and card.mac:
                where = setting(name, network)
                rest = f"but {where}mac names the card, too: remove one of the two"
                yield told(f"{where}pci", card.pci, rest)
        if "nearest" in node.rdma_devices and len(node.rdma_devices) > 1:
            rest = "but nearest stands for all of them: write [nearest], or only names"
            yield told(f"nodes.{name}.rdma_devices", node.rdma_devices, rest)
    manager = link.subnet_manager
    if manager and draft.lacks("nodes", manager):
        near = suggestion(manager, sorted(draft.names["nodes"]))
        rest = f"but there is no such node: {near}"
        yield told("fabric.link.subnet_manager", manager, rest)
    if manager and link.kind is not LinkKind.INFINIBAND:
        rest = f"but fabric.link.kind is {link.kind}, which has no subnet manager: remove it"
        yield told("fabric.link.subnet_manager", manager, rest)


def _drivers(draft: Draft) -> Iterator[SettingError]:
    nvidia = draft.site.nvidia
    if nvidia is None:
        return
    if nvidia.systems and nvidia.packages:
        rest = (
            "but nvidia.packages is there, too, and a package has one version on a node: keep one"
        )
        yield told("nvidia.systems", [name.value for name in nvidia.systems], rest)
    if not nvidia.systems and not nvidia.packages and draft.has("nvidia.systems"):
        yield SettingError(
            "nvidia.packages",
            "nvidia.packages is missing, and so is nvidia.systems, but a driver comes as packages:"
            " write each package with its exact version, or that by system",
        )
        return
    for path, offered in nvidia.offers():
        yield from _offered(draft, nvidia.driver_version, path, offered)


def _offered(
    draft: Draft, driver: str, path: list[str], offered: SystemPackages
) -> Iterator[SettingError]:
    version, where = offered.fabric_manager, dotted([*path])
    if version and not version.startswith(driver):
        rest = f"but nvidia.driver_version is {driver}, and NVSwitch needs both equal"
        yield told(f"{where}.fabric_manager", version, rest + ": write the driver's")
    brought = {kind for name in offered.packages if (kind := modules_in(name))}
    for name, node in draft.site.nodes.items():
        needed = modules_for(node.gpus.model) if node.gpus else brought
        if node.gpus and brought and not brought & needed:
            other = "cuda-drivers" if Modules.CLOSED in needed else "nvidia-open"
            rest = (
                f"but {where}.packages has the {min(brought)} kernel modules alone, which don't"
                f" drive it: declare {other} there, too, and each node gets what its GPUs need"
            )
            yield told(f"nodes.{name}.gpus.model", node.gpus.model, rest)
    switched = [n for n, node in draft.site.nodes.items() if node.gpus and has_nvswitch(node.gpus)]
    if switched and not version:
        yield SettingError(
            f"{where}.fabric_manager",
            f"{where}.fabric_manager is missing, but the GPUs of {', '.join(switched)} are joined "
            "by NVSwitch, and CUDA doesn't start there without: write the version of Fabric "
            f"Manager's package, {driver}-1 or as the repository has it",
        )


def _host_keys(draft: Draft) -> Iterator[SettingError]:
    if draft.site.twin or not draft.has("twin"):
        return
    machines = [("nodes", name, node.host_key) for name, node in draft.site.nodes.items()]
    machines += [
        ("switches", name, switch.host_key) for name, switch in draft.site.switches.items()
    ]
    for kind, name, key in machines:
        path = f"{kind}.{name}.host_key"
        if key is None and draft.has(path):
            yield SettingError(
                path,
                f"{path} is missing, but a real machine's key is pinned, never trusted at first"
                " sight: set it to what 'ssh-keyscan -t ed25519' shows, once compared on its"
                " console",
            )


def _one_machine(draft: Draft) -> Iterator[SettingError]:
    """Yield the nodes that show one host key: whoever does so is one machine, or its copy."""
    if draft.site.twin or not draft.has("twin"):
        return
    first: dict[str, str] = {}
    for name, node in draft.site.nodes.items():
        if node.host_key and (other := first.get(node.host_key)):
            yield SettingError(
                f"nodes.{name}.host_key",
                f"nodes.{name}.host_key is that of nodes.{other} too, so"
                f" {other} ({draft.site.nodes[other].address}) and {name} ({node.address}) are one"
                " machine, or one is a copy of the other: give each the address of a machine of"
                " its own, or the copy keys of its own ('rm /etc/ssh/ssh_host_*; ssh-keygen -A')",
            )
        first.setdefault(node.host_key or "", name)


def _variant(draft: Draft) -> Iterator[SettingError]:
    if draft.site.twin and draft.site.images.vllm is Variant.CUDA:
        rest = "but the nodes of a twin have no GPU: write cpu, or leave it out"
        yield told("images.vllm", draft.site.images.vllm, rest)
    elif draft.site.vllm_variant is Variant.CUDA and draft.has("twin"):
        for name, node in draft.site.nodes.items():
            if node.gpus and not node.gpus.model:
                path = f"nodes.{name}.gpus.model"
                yield SettingError(
                    path,
                    f"{path} is missing, but the cuda image runs on a real GPU: set it to what"
                    " 'nvidia-smi -L' shows, such as rtx-4090 or h200",
                )


_RULES: tuple[Callable[[Draft], Iterator[SettingError]], ...] = (
    _roles,
    _one_head,
    _names,
    _references,
    _addresses,
    _cables,
    _uncabled,
    _mtus,
    _vlans,
    _links,
    _cards,
    _drivers,
    _host_keys,
    _one_machine,
    _variant,
)
