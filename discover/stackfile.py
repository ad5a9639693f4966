"""The stack file for machines that were found: every choice with its reason beside it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network

from discover.choices import fabric_nic, gpu_link, gpu_model, node_names
from discover.model import Machine, Nic
from stack.errors import InputError

EXAMPLE_REVISION = "0" * 39 + "1"
DEFAULT_MODEL = "hf:meta-llama/Llama-3.1-8B-Instruct"
_FIRST_HOST = 11
_FABRIC = IPv4Network("10.78.0.0/24")


@dataclass(frozen=True)
class SwitchWish:
    """A switch that the site shall manage."""

    name: str
    os: str
    address: str
    user: str = "admin"
    host_key: str = ""


@dataclass(frozen=True)
class Wishes:
    """What a person decides, and what nothing can tell."""

    name: str
    user: str = "root"
    port: int = 22
    private_key_file: str | None = None
    head: str | None = None
    controller: str | None = None
    fabric_subnet: IPv4Network = _FABRIC
    mtu_bytes: int = 9000
    model: str = DEFAULT_MODEL
    revision: str = EXAMPLE_REVISION
    host_keys: Mapping[str, str] = field(default_factory=dict)
    switches: Sequence[SwitchWish] = ()


@dataclass(frozen=True)
class _Node:
    name: str
    machine: Machine
    nic: Nic
    fabric_address: str
    head: bool


def stack_file(machines: Sequence[Machine], wishes: Wishes) -> str:
    """Return the text of `stack/Pulumi.NAME.yaml`.

    Raises:
        InputError: a machine has no card for the fabric, or no head can be chosen.

    """
    nodes = _nodes(machines, wishes)
    lines = [
        "# yaml-language-server: $schema=site.schema.json",
        "#",
        "# Written by './rackform discover' from what the machines told; yours to change.",
        "# docs/site.md explains every setting; 'pulumi config set' keeps these comments.",
        "config:",
        "  rackform:site:",
        f"    name: {wishes.name}",
        "    twin: false # set to true, and the same site comes up on one machine without GPUs",
        *_networks(nodes, wishes),
        *_switches(nodes, wishes),
        "    nodes:",
        *(line for node in nodes for line in _node_lines(node, wishes, _rdma(nodes))),
        *_model(nodes, wishes),
    ]
    return "\n".join(lines) + "\n"


def _nodes(machines: Sequence[Machine], wishes: Wishes) -> list[_Node]:
    names = node_names(machines)
    chosen = wishes.head or next((m.address for m in machines if not m.gpus), machines[0].address)
    if chosen not in names and chosen not in names.values():
        raise InputError(f"--head {chosen} is none of the machines: name one of {', '.join(names)}")
    nodes = []
    for number, machine in enumerate(machines):
        nic = fabric_nic(machine)
        name = names[machine.address]
        head = chosen in {machine.address, name}
        if nic is None:
            raise InputError(
                f"{name} ({machine.address}) has no network card for the fabric beside the "
                "management one: add a card, or leave the machine out"
            )
        if head or machine.gpus:
            address = _fabric_address(nic, wishes.fabric_subnet, number)
            nodes.append(_Node(name, machine, nic, address, head))
    if not any(node.machine.gpus for node in nodes):
        raise InputError(
            "no machine has a GPU that nvidia-smi shows: install the driver on one, or see why "
            "nvidia-smi fails there"
        )
    return nodes


def _fabric_address(nic: Nic, subnet: IPv4Network, number: int) -> str:
    there = (str(IPv4Interface(each).ip) for each in nic.addresses)
    found = next((a for a in there if IPv4Interface(a).ip in subnet), None)
    return found or str(subnet[_FIRST_HOST + number])


def _rdma(nodes: Sequence[_Node]) -> str:
    if all(node.nic.infiniband for node in nodes):
        return "infiniband"
    return "roce" if all(node.nic.rdma for node in nodes if node.machine.gpus) else "none"


def _networks(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    first = nodes[0].machine
    management = first.management
    address = first.address
    subnet = IPv4Interface(f"{address}/24").network
    for each in management.addresses if management else ():
        if each.split("/")[0] == address:
            subnet = IPv4Interface(each).network
    yield "    management:"
    yield f"      subnet: {subnet} # of {management.name if management else address}, by SSH"
    if wishes.controller:
        yield f"      controller: {wishes.controller} # the machine that asked"
    rdma, speeds = _rdma(nodes), {node.nic.speed_mbit_s for node in nodes if node.nic.speed_mbit_s}
    yield "    fabric:"
    yield "      # A subnet of its own, and no gateway in it: it carries what is not encrypted."
    yield f"      subnet: {wishes.fabric_subnet}"
    mtus = ", ".join(f"{node.name} {node.nic.mtu_bytes}" for node in nodes)
    yield f"      # The same on every card and port; a mismatch is what hurts. Found: {mtus}."
    yield f"      mtu_bytes: {wishes.mtu_bytes}"
    yield "      link:"
    yield f"        kind: {'infiniband' if rdma == 'infiniband' else 'ethernet'}"
    if speeds:
        yield f"        gbit_s: {min(speeds) / 1000:g} # the slowest of the cards' links"
    reason = "every worker's card has it" if rdma != "none" else "not every worker's card has it"
    yield f"        rdma: {rdma} # {reason}"
    yield "    ssh:"
    yield f"      user: {wishes.user}"
    if wishes.port != 22:  # noqa: PLR2004 - SSH's own
        yield f"      port: {wishes.port}"
    if wishes.private_key_file:
        yield f"      private_key_file: {wishes.private_key_file}"


def _switches(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    if not wishes.switches:
        heard = [f"{node.name}: {node.nic.neighbour}" for node in nodes if node.nic.neighbour]
        yield "    # No switch is managed; name one with 'discover --switch NAME=OS@ADDRESS'."
        if heard:
            yield f"    # By LLDP: {'; '.join(heard)}."
        return
    yield "    switches:"
    for switch in wishes.switches:
        yield f"      {switch.name}:"
        yield f"        os: {switch.os}"
        yield f"        address: {switch.address}"
        yield f"        user: {switch.user}"
        yield f"        host_key: {switch.host_key}"
        yield "        ports: # as LLDP hears the switch on each node's card"
        for node in nodes:
            system, _, port = (node.nic.neighbour or "").partition(" ")
            if system.partition(".")[0] == switch.name and port:
                yield f"          {port}: {node.name}.{node.nic.name}"


def _node_lines(node: _Node, wishes: Wishes, rdma: str) -> Iterator[str]:
    machine, nic = node.machine, node.nic
    yield f"      {node.name}: # {machine.hostname}, {machine.os_name}, {machine.memory_gib:g} GiB"
    yield f"        address: {machine.address}"
    yield f"        fabric_address: {node.fabric_address}"
    speed = f"{nic.speed_mbit_s / 1000:g} Gbit/s" if nic.speed_mbit_s else "speed unknown"
    yield f"        interface: {nic.name} # {nic.pci or nic.mac}, {speed}, MTU {nic.mtu_bytes} now"
    if nic.rdma and rdma != "none":
        yield f"        rdma_devices: [{nic.rdma}]"
    roles = [*(["head"] if node.head else []), *(["worker"] if machine.gpus else [])]
    yield f"        roles: [{', '.join(roles)}]"
    if machine.gpus:
        gpu = machine.gpus[0]
        about = f"model: {gpu_model(gpu)}, count: {len(machine.gpus)}, link: {gpu_link(machine)}"
        yield f"        gpus: {{{about}}} # {gpu.name}, {gpu.memory_mib / 1024:.0f} GiB each"
    if key := wishes.host_keys.get(machine.address):
        yield f"        host_key: {key}"


def _model(nodes: Sequence[_Node], wishes: Wishes) -> Iterator[str]:
    gib = sum(gpu.memory_mib for node in nodes for gpu in node.machine.gpus) / 1024
    yield "    models:"
    yield f"      # All GPUs together have {gib:.0f} GiB: weights at 2 bytes a parameter must leave"
    yield "      # about a third of that for the KV cache."
    yield "      chat:"
    yield f"        source: {wishes.model}"
    if wishes.revision == EXAMPLE_REVISION:
        yield "        # An example: write the commit that you have looked at."
    yield f'        revision: "{wishes.revision}"'
