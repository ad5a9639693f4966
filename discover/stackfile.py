"""The stack file for machines that were found: every choice with its reason beside it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import yaml

from discover.choices import fabric_nic, further_nics, gpu_link, gpu_model, heard_port, node_names
from discover.comments import comment
from discover.gpus import nearest_rdma
from discover.model import Machine, Nic
from discover.proposal import proposed
from discover.switches import vlan_lines
from discover.wishes import ASSUMED_GBIT_S, EXAMPLE_REVISION, SwitchWish, Wishes
from stack.errors import InputError

_FIRST_HOST = 11
_FABRIC = IPv4Network("10.78.0.0/24")


@dataclass(frozen=True)
class _Node:
    name: str
    machine: Machine
    nic: Nic
    fabric_address: str
    head: bool
    why_head: str


def stack_file(machines: Sequence[Machine], wishes: Wishes) -> str:
    """Return the text of `stack/Pulumi.NAME.yaml`.

    Raises:
        InputError: a machine has no card for the fabric, no head can be chosen, a switch has no
            port that is known, or a cable or a circuit names no node.

    """
    nodes = _nodes(machines, wishes)
    lines = [
        "# yaml-language-server: $schema=site.schema.json",
        "#",
        "# Written by './rackform discover' from what the machines told; yours to change. What",
        "# they could not tell is marked ASSUMED: look at these lines first. docs/site.md explains",
        "# every setting, and those that are not here; 'pulumi config set' keeps these comments.",
        "config:",
        "  rackform:site:",
        f"    name: {wishes.name}",
        "    twin: false # set to true, and the same site comes up on one machine without GPUs",
        *_management(nodes, wishes),
        *_fabric(nodes, wishes),
        *_ssh(wishes),
        *_switches(nodes, wishes),
        "    # A host_key is the one that was accepted: a machine that shows another is refused.",
        "    nodes:",
        *(line for node in nodes for line in _node_lines(node, nodes, wishes)),
        *_power(nodes, wishes),
    ]
    raw = yaml.safe_load("\n".join(lines))["config"]["rackform:site"]
    return "\n".join([*lines, *_models(raw, wishes), *_nvidia(nodes), *_left_out(nodes)]) + "\n"


def _nodes(machines: Sequence[Machine], wishes: Wishes) -> list[_Node]:
    names = node_names(machines)
    chosen, why = _head(machines, wishes)
    if chosen not in names and chosen not in names.values():
        known = ", ".join(names.values())
        raise InputError(f"--head {chosen} is none of the machines: name one of {known}")
    taking: list[tuple[Machine, Nic, bool]] = []
    for machine in machines:
        nic, name = fabric_nic(machine), names[machine.address]
        if nic is None:
            raise InputError(
                f"{name} ({machine.address}) has no network card for the fabric beside the "
                "management one: add a card, or leave the machine out"
            )
        if (head := chosen in {machine.address, name}) or machine.gpus:
            taking.append((machine, nic, head))
    if not any(machine.gpus for machine, _, _ in taking):
        raise InputError(
            "no machine has an NVIDIA GPU, by nvidia-smi or on its PCI bus: see that the card is "
            "seated and that the firmware shows it"
        )
    subnet = _subnet([nic for _, nic, _ in taking], wishes)[0]
    addresses = _fabric_addresses([nic for _, nic, _ in taking], subnet)
    return [
        _Node(names[machine.address], machine, nic, address, head, why)
        for (machine, nic, head), address in zip(taking, addresses, strict=True)
    ]


def _head(machines: Sequence[Machine], wishes: Wishes) -> tuple[str, str]:
    if wishes.head:
        return wishes.head, "by --head"
    spare = next((machine.address for machine in machines if not machine.gpus), None)
    if spare:
        return spare, "since it has no GPU"
    return machines[0].address, "as the first; its services are small"


def _subnet(nics: Sequence[Nic], wishes: Wishes) -> tuple[IPv4Network, str]:
    """Return the fabric's subnet and why: asked for, the one that all cards are in, or assumed."""
    if wishes.fabric_subnet:
        return wishes.fabric_subnet, "by --fabric-subnet"
    found = [
        {at.network for each in nic.addresses if not (at := IPv4Interface(each)).ip.is_link_local}
        for nic in nics
    ]
    shared = sorted(set.intersection(*found))
    if shared:
        return shared[0], "all cards have an address in it already"
    return _FABRIC, "ASSUMED: see that nothing else uses it; another one by --fabric-subnet"


def _fabric_addresses(nics: Sequence[Nic], subnet: IPv4Network) -> list[str]:
    """Return each card's address: the one that it has, else the next free one."""
    there = [
        next((ip for each in nic.addresses if (ip := IPv4Interface(each).ip) in subnet), None)
        for nic in nics
    ]
    taken = {address for address in there if address}
    hosts = list(subnet.hosts())
    first = _FIRST_HOST - 1 if len(hosts) > _FIRST_HOST + len(nics) else 0
    free: Iterator[IPv4Address] = (each for each in hosts[first:] if each not in taken)
    given = [address or next(free, None) for address in there]
    if None in given:
        raise InputError(
            f"fabric subnet {subnet} has no room for {len(nics)} nodes: name a larger one by "
            "--fabric-subnet"
        )
    return [str(address) for address in given]


def _rdma(nodes: Sequence[_Node]) -> str:
    if all(node.nic.infiniband for node in nodes):
        return "infiniband"
    return "roce" if all(node.nic.rdma for node in nodes if node.machine.gpus) else "none"


def _management(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    first = nodes[0]
    nic, address = first.machine.management, first.machine.address
    there = (
        next((each for each in nic.addresses if each.split("/")[0] == address), "") if nic else ""
    )
    subnet = IPv4Interface(there or f"{address}/24").network
    told = f"{nic.name} of {first.name} is in it" if nic and there else "ASSUMED: a /24"
    yield "    management: # the network over which the machines are managed, by SSH"
    yield f"      subnet: {subnet} # {told}"
    if wishes.controller:
        yield f"      controller: {wishes.controller} # the machine that runs Rackform"


def _fabric(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    subnet, why = _subnet([node.nic for node in nodes], wishes)
    yield "    fabric: # between the nodes, and for nothing else: what it carries is not encrypted"
    yield f"      subnet: {subnet} # {why}"
    found = ", ".join(f"{node.name} {node.nic.mtu_bytes}" for node in nodes)
    yield "      # The same on every card and switch port: 'up' sets it. A mismatch is what hurts."
    yield f"      mtu_bytes: {wishes.mtu_bytes} # now: {found}"
    yield "      link:"
    yield from _link(nodes, wishes)


def _link(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    rdma, speeds = _rdma(nodes), {node.nic.speed_mbit_s for node in nodes if node.nic.speed_mbit_s}
    yield f"        kind: {'infiniband' if rdma == 'infiniband' else 'ethernet'}"
    if wishes.gbit_s:
        yield f"        gbit_s: {wishes.gbit_s:g} # by --gbit-s"
    elif speeds:
        yield f"        gbit_s: {min(speeds) / 1000:g} # the slowest of the cards' links"
    else:
        yield f"        gbit_s: {ASSUMED_GBIT_S} # ASSUMED, as no card has a link; or --gbit-s"
    without = [n.name for n in nodes if n.machine.gpus and not n.nic.rdma]
    reason = (
        f"no RDMA device at the card of {', '.join(without)}" if without else "every worker has it"
    )
    yield f"        rdma: {rdma} # {reason}"


def _ssh(wishes: Wishes) -> Iterator[str]:
    yield "    ssh:"
    yield f"      user: {wishes.user}"
    if wishes.port != 22:  # noqa: PLR2004 - SSH's own
        yield f"      port: {wishes.port}"
    if wishes.private_key_file:
        yield f"      private_key_file: {wishes.private_key_file}"
    else:
        yield "      # With the stack's own key, which is not in this file."


def _switches(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    heard = [f"{node.name}: {node.nic.neighbour}" for node in nodes if node.nic.neighbour]
    if not wishes.switches:
        text = "No switch is managed: 'discover --switch NAME=OS@ADDRESS' has its ports set, too."
        if heard:
            text += f" LLDP hears, as switch and port, {'; '.join(heard)}."
        yield from comment(4, text)
        return
    _expect_switches(wishes)
    yield "    switches:"
    for switch in wishes.switches:
        yield f"      {switch.name}:"
        yield f"        os: {switch.os}"
        yield f"        address: {switch.address}"
        yield f"        user: {switch.user}"
        yield f"        host_key: {switch.host_key}"
        plugged = dict(_ports(switch, nodes, wishes, heard))
        yield from vlan_lines(switch, list(plugged))
        yield "        ports: # front-panel port: what is plugged into it"
        yield from (f"          {port}: {what}" for port, what in plugged.items())


def _expect_switches(wishes: Wishes) -> None:
    named = {switch.name for switch in wishes.switches}
    for cable in wishes.cables:
        if cable.switch not in named:
            raise InputError(
                f"--cable {cable.switch}.{cable.port}={cable.node}: no --switch is named "
                f"{cable.switch}: add --switch {cable.switch}=OS@ADDRESS"
            )


def _ports(
    switch: SwitchWish, nodes: Sequence[_Node], wishes: Wishes, heard: Sequence[str]
) -> Iterator[tuple[str, str]]:
    told = {
        _named(cable.node, nodes, f"--cable {cable.switch}.{cable.port}"): cable.port
        for cable in wishes.cables
        if cable.switch == switch.name
    }
    found = 0
    for node in nodes:
        port, why = told.get(node.name), "by --cable"
        if not port:
            port, why = heard_port(node.nic, switch.name), "heard by LLDP"
        if port:
            found += 1
            yield port, f"{node.name}.{node.nic.name} # {why}"
    if not found:
        what = f"it hears {'; '.join(heard)}" if heard else "it hears nothing (is lldpd there?)"
        raise InputError(
            f"LLDP on the nodes names no port of switch {switch.name}, {what}: tell what is "
            f"plugged in by --cable {switch.name}.PORT={nodes[0].name}, once for each node"
        )


def _named(node: str, nodes: Sequence[_Node], where: str) -> str:
    for each in nodes:
        if node in {each.name, each.machine.address}:
            return each.name
    known = ", ".join(each.name for each in nodes)
    raise InputError(f"{where} names {node}, which is none of the nodes: name one of {known}")


def _node_lines(node: _Node, nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    machine, nic = node.machine, node.nic
    yield f"      {node.name}: # {_about(node)}"
    yield f"        address: {machine.address}"
    has = any(each.split("/")[0] == node.fabric_address for each in nic.addresses)
    why = "as it is now" if has else "new: 'up' sets it"
    yield f"        fabric_address: {node.fabric_address} # {why}"
    yield f"        interface: {nic.name} # {_card(machine, nic)}"
    if nic.rdma and _rdma(nodes) != "none":
        yield f"        rdma_devices: [{nic.rdma}] # of this interface"
        for other in further_nics(machine, nic):
            card = f"{other.name} ({other.pci}, {other.rdma})"
            yield f"        # {card} may be a rail: see fabric.rails"
    roles = [*(["head"] if node.head else []), *(["worker"] if machine.gpus else [])]
    why = f" # head {node.why_head}" if node.head else ""
    yield f"        roles: [{', '.join(roles)}]{why}"
    yield from _gpus(machine)
    if circuit := _circuit(node, nodes, wishes):
        yield f"        circuit: {circuit}"
    if key := wishes.host_keys.get(machine.address):
        yield f"        host_key: {key}"


def _about(node: _Node) -> str:
    machine = node.machine
    host = "" if machine.hostname == node.name else f"host name {machine.hostname}, "
    return f"{host}{machine.os_name or 'unknown system'}, {machine.memory_gib:g} GiB of memory"


def _card(machine: Machine, nic: Nic) -> str:
    speed = f"{nic.speed_mbit_s / 1000:g} Gbit/s" if nic.speed_mbit_s else "no link now"
    parts = [nic.pci or nic.mac, speed]
    if nic.rdma in nearest_rdma(machine.topology):
        parts.append("nearest to the GPUs")
    free = [each.name for each in machine.nics if each not in (nic, machine.management)]
    if free:
        parts.append(f"rather than {', '.join(free)}")
    return ", ".join(parts)


def _gpus(machine: Machine) -> Iterator[str]:
    if not machine.gpus:
        return
    gpu = machine.gpus[0]
    about = f"model: {gpu_model(gpu)}, count: {len(machine.gpus)}, link: {gpu_link(machine)}"
    told = f"{gpu.memory_mib / 1024:.0f} GiB each" if gpu.memory_mib else "ASSUMED by its PCI name"
    yield f"        gpus: {{{about}}} # {gpu.name}, {told}"


def _circuit(node: _Node, nodes: Sequence[_Node], wishes: Wishes) -> str | None:
    found = []
    for circuit in wishes.circuits:
        feeds = [_named(each, nodes, f"--circuit {circuit.name}") for each in circuit.nodes]
        found += [circuit.name] if not feeds or node.name in feeds else []
    if len(found) > 1:
        raise InputError(
            f"{node.name} is fed by {' and '.join(found)}, but a node has one circuit: name the "
            "nodes of each, as in --circuit a=240x20:gpu1,gpu2"
        )
    return found[0] if found else None


def _power(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    if not wishes.circuits:
        text = (
            "Machines don't tell what feeds them. With 'discover --circuit a=240x20' (volts and "
            f"amperes; a=240x20:{nodes[0].name} for some nodes) the plan keeps circuits to their "
            "limits."
        )
        yield from comment(4, text)
        return
    yield "    power:"
    yield "      circuits: # by --circuit"
    for circuit in wishes.circuits:
        yield f"        {circuit.name}: {{volts: {circuit.volts}, amps: {circuit.amps:g}}}"


def _models(raw: dict[str, object], wishes: Wishes) -> Iterator[str]:
    found = proposed(raw, wishes.model, wishes.revision)
    yield "    models:"
    yield from (f"      # {line}" for line in found.lines)
    yield "      chat:"
    yield f"        source: {found.source}"
    if wishes.revision == EXAMPLE_REVISION:
        yield "        # ASSUMED: write the commit that you have looked at, from its repository."
    yield f'        revision: "{wishes.revision}"'


def _nvidia(nodes: Sequence[_Node]) -> Iterator[str]:
    bare = [node.name for node in nodes if node.machine.gpus and not node.machine.driver]
    if not bare:
        return
    yield from comment(
        4,
        f"ASSUMED: {', '.join(bare)} without NVIDIA's driver. Take away the marks below, write the"
        " versions and NVIDIA's repository (docs/guide-real-hardware.md), and 'up' installs it.",
    )
    yield "    # nvidia:"
    yield "    #   driver_version: 580.159.04"
    yield "    #   packages: {nvidia-open: 580.159.04-1, nvidia-container-toolkit: 1.18.0-1}"
    yield '    #   repository: {uri: "https://…/{system}/x86_64", key_file: ~/nvidia.asc}'
    run = sorted({node.machine.os_name for node in nodes if node.machine.gpus})
    if len(run) > 1:
        text = f"{' and '.join(run)}: where versions differ, nvidia.systems has them by system."
        yield from comment(4, text)


def _left_out(nodes: Sequence[_Node]) -> Iterator[str]:
    drivers = sorted({node.machine.driver for node in nodes if node.machine.driver})
    kept = f" (NVIDIA's driver {', '.join(drivers)} stays)" if drivers else ""
    yield from comment(
        4,
        f"Left out, and so at what docs/site.md has as their defaults: nvidia{kept}, edge (host "
        "names and API keys), frontends, monitoring.",
    )
