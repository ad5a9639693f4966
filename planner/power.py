"""What nodes draw from the wall, and what circuits carry.

Draw at the wall = (host + GPUs) / efficiency of the power supply. Three states: idle; serving, as
GPUs draw under the planned load; full, every GPU at its board power or power limit.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from planner import catalog
from planner.catalog import Form, Gpu
from planner.limits import STREAMING_SHARE, declared_limit_w
from stack.economy import CONTINUOUS_SHARE, Circuit
from stack.errors import InputError
from stack.schema import Node, Site

_UPS_SPARE = 1.25  # a UPS is sized a quarter above its load: inrush, ageing batteries
_UPS_EFFICIENCY = 0.9  # of the inverter, from the batteries
_LOWEST_LIMIT = 0.5  # of the board power: nvidia-smi takes no less on most cards


class _Host(NamedTuple):
    """A machine without its GPUs, in W, and its power supply."""

    idle_w: float
    full_w: float
    per_gpu_w: float
    """More for each GPU: fans, NICs, NVSwitch, the cores that feed it."""
    efficiency: float


_HOSTS: Mapping[str, _Host] = {
    # A desktop or workstation: 16 cores, 64 GB, SSD; gold power supply. Typical; unverified.
    "desktop": _Host(idle_w=60, full_w=140, per_gpu_w=15, efficiency=0.90),
    # A server for SXM or OAM boards. NVIDIA's DGX H100 is told with 10.2 kW at most, of which
    # 8 x 700 W are GPUs: 4.6 kW of two processors, NVSwitch, NICs, fans and losses.
    "server": _Host(idle_w=900, full_w=1200, per_gpu_w=330, efficiency=0.94),
    # A computer on one board, with the GPU in its chip.
    "integrated": _Host(idle_w=10, full_w=25, per_gpu_w=0, efficiency=0.90),
    # A node without GPUs.
    "plain": _Host(idle_w=60, full_w=200, per_gpu_w=0, efficiency=0.90),
}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CircuitState(StrEnum):
    OK = "ok"
    OVER_CONTINUOUS = "over its continuous limit"
    TRIPS = "trips"


class NodePower(_Entry):
    """One node at the wall, in W. `known`: False where its GPU is not in the catalogue."""

    node: str
    circuit: str | None
    idle_w: float
    serving_w: float
    full_w: float
    gpu_limit_w: float = Field(description="of each GPU: board power or power limit; 0: no GPU")
    known: bool = True


class CircuitPower(_Entry):
    """One circuit and what hangs on it, in W."""

    circuit: str
    nodes: tuple[str, ...]
    breaker_w: float
    continuous_w: float = Field(description="what it may carry for three hours and more")
    idle_w: float
    serving_w: float
    full_w: float
    share: float = Field(description="full load in parts of the continuous limit")
    state: CircuitState
    text: str
    ups_watts: float = Field(description="size of a UPS for it")
    ups_watt_hours: float = Field(description="its batteries, for power.ups_minutes at full load")
    ups_minutes: float | None = Field(
        default=None, description="what the declared UPS lasts at full load; 0: it is overloaded"
    )


class Activity(NamedTuple):
    """How busy a GPU is under the planned load."""

    busy: float = 1.0
    compute: float = 0.5
    """Share of the busy time that is bound by arithmetic, which draws most."""


def gpu_serving_w(gpu: Gpu, activity: Activity) -> float:
    """Return the draw of a GPU that streams weights part of the time and computes in another."""
    share = STREAMING_SHARE + (1 - STREAMING_SHARE) * activity.compute
    working = max(gpu.idle_power_w, share * gpu.board_power_w)
    return gpu.idle_power_w + (working - gpu.idle_power_w) * activity.busy


def nodes_power(site: Site, activity: Mapping[str, Activity]) -> tuple[NodePower, ...]:
    """Return every node's draw; `activity` has the nodes that serve under the planned load."""
    return tuple(_node(site, name, activity.get(name)) for name in site.nodes)


def _node(site: Site, name: str, activity: Activity | None) -> NodePower:
    node = site.nodes[name]
    gpu = _gpu(node)
    count = node.gpu_count
    host = _HOSTS[_kind(gpu)]
    full_host = _full_host_w(node, host)
    idle_host = min(full_host, host.idle_w)
    if gpu is None:
        return NodePower(
            node=name, circuit=node.circuit, idle_w=idle_host / host.efficiency,
            serving_w=full_host / host.efficiency, full_w=full_host / host.efficiency,
            gpu_limit_w=0, known=count == 0,
        )  # fmt: skip
    limit = min(gpu.board_power_w, _declared(site, node))
    idle = idle_host + count * min(gpu.idle_power_w, limit)
    serving = idle
    if activity:
        serving = full_host + count * min(limit, gpu_serving_w(gpu, activity))
    full = full_host + count * limit
    return NodePower(
        node=name, circuit=node.circuit, idle_w=idle / host.efficiency,
        serving_w=serving / host.efficiency, full_w=full / host.efficiency, gpu_limit_w=limit,
    )  # fmt: skip


def wall_w(node: Node, gpus_w: float) -> float:
    """Return what a node that works draws from the wall while its GPUs draw `gpus_w`."""
    host = _HOSTS[_kind(_gpu(node))]
    full = float(node.host_power_w or host.full_w + host.per_gpu_w * node.gpu_count)
    return (full + gpus_w) / host.efficiency


def _gpu(node: Node) -> Gpu | None:
    try:
        return catalog.gpu(node.gpus.model) if node.gpus and node.gpus.model else None
    except InputError:
        return None


def _kind(gpu: Gpu | None) -> str:
    if gpu is None:
        return "plain"
    if gpu.form is Form.INTEGRATED:
        return "integrated"
    return "desktop" if gpu.form is Form.PCIE else "server"


class Wall(NamedTuple):
    """A node's draw from the wall is `base_w`, and `per_w` times what its GPUs take."""

    base_w: float
    """At work, without its GPUs."""
    per_w: float
    """More than one: the losses of the power supply."""


def wall(node: Node) -> Wall:
    """Return how a node's draw follows from that of its GPUs, where it is measured."""
    host = _HOSTS[_kind(_gpu(node))]
    return Wall(_full_host_w(node, host) / host.efficiency, 1 / host.efficiency)


def _full_host_w(node: Node, host: _Host) -> float:
    return float(node.host_power_w or host.full_w + host.per_gpu_w * node.gpu_count)


def breaker_w(circuit: Circuit) -> float:
    """Return the power at a breaker's rating: volts x amps, by the root of three on three phases.

    Servers and PCs correct their power factor to nearly 1: W and VA are taken as the same.
    """
    return circuit.volts * circuit.amps * (math.sqrt(3) if circuit.three_phase else 1)


def continuous_w(site: Site, circuit: Circuit) -> float:
    """Return what a circuit may carry without a break."""
    return breaker_w(circuit) * (circuit.continuous_share or CONTINUOUS_SHARE[site.power.region])


def circuits_power(site: Site, nodes: tuple[NodePower, ...]) -> tuple[CircuitPower, ...]:
    """Return every circuit's load."""
    return tuple(
        _circuit(site, name, circuit, tuple(each for each in nodes if each.circuit == name))
        for name, circuit in site.power.circuits.items()
    )


def _circuit(site: Site, name: str, circuit: Circuit, nodes: tuple[NodePower, ...]) -> CircuitPower:
    breaker, continuous = breaker_w(circuit), continuous_w(site, circuit)
    full = sum(each.full_w for each in nodes)
    state = CircuitState.OK
    if full > continuous:
        state = CircuitState.TRIPS if full > breaker else CircuitState.OVER_CONTINUOUS
    minutes = site.power.ups_minutes
    return CircuitPower(
        circuit=name,
        nodes=tuple(each.node for each in nodes),
        breaker_w=breaker,
        continuous_w=continuous,
        idle_w=sum(each.idle_w for each in nodes),
        serving_w=sum(each.serving_w for each in nodes),
        full_w=full,
        share=full / continuous,
        state=state,
        text=_told(name, circuit, full, breaker, continuous),
        ups_watts=full * _UPS_SPARE,
        ups_watt_hours=full * minutes / 60 / _UPS_EFFICIENCY,
        ups_minutes=_lasts(circuit, full),
    )


def _lasts(circuit: Circuit, full: float) -> float | None:
    if not (circuit.ups and full):
        return None
    if full > circuit.ups.watts:
        return 0.0
    return circuit.ups.watt_hours * _UPS_EFFICIENCY / full * 60


def _told(name: str, circuit: Circuit, full: float, breaker: float, continuous: float) -> str:
    """Return what a circuit's load means.

    UL 489 has breakers of up to 50 A trip within an hour at 135 %, of up to 30 A within two
    minutes at 200 %; others take somewhat longer.
    """
    rating = f"{circuit.amps:g} A x {circuit.volts} V = {breaker:.0f} W"
    load = f"circuit {name} carries up to {full:.0f} W"
    if full <= continuous:
        return f"{load} of {continuous:.0f} W"
    over = f"{load}, {full / breaker:.0%} of its breaker ({rating})"
    if full <= breaker:
        return f"{over}, and a continuous load may take {continuous:.0f} W"
    if full > 2 * breaker:
        return f"{over}: it trips within minutes"
    return f"{over}: it trips within the hour" if full > 1.35 * breaker else f"{over}: it trips"


def overloads(site: Site) -> tuple[str, ...]:
    """Return a sentence for each circuit that its nodes overload, with the remedies."""
    nodes = nodes_power(site, {})
    circuits = circuits_power(site, nodes)
    return tuple(
        f"power.circuits.{each.circuit}: {each.text}: {'; or '.join(remedies(site, each, nodes))}"
        for each in circuits
        if each.state is not CircuitState.OK
    )


def remedies(site: Site, over: CircuitPower, nodes: tuple[NodePower, ...]) -> tuple[str, ...]:
    """Return what brings an overloaded circuit back under its continuous limit."""
    found = []
    if limit := fitting_limit(site, over):
        found.append(f"limit each of its GPUs to {limit} W (gpus.power_limit_w)")
    if move := _move(site, over, nodes):
        found.append(move)
    amps = over.full_w / over.continuous_w * site.power.circuits[over.circuit].amps
    found.append(f"feed it by a breaker of {math.ceil(amps)} A or more")
    return tuple(found)


def fitting_limit(site: Site, over: CircuitPower) -> int | None:
    """Return the power limit of every GPU on a circuit under which it carries them, in W.

    None where that would be under half of the board power, which cards do not take.
    """
    saved, boards = over.full_w - over.continuous_w, []
    for name in over.nodes:
        node = site.nodes[name]
        if gpu := _gpu(node):
            drawn = min(gpu.board_power_w, _declared(site, node))
            wall = node.gpu_count / _HOSTS[_kind(gpu)].efficiency
            boards.append((gpu.board_power_w, drawn, wall))
    if not boards:
        return None
    # One limit for all: lower it from the highest until enough is saved.
    limit = max(board for board, _, _ in boards)
    draws = sum(watts * wall for _, watts, wall in boards)
    while limit >= _LOWEST_LIMIT * max(board for board, _, _ in boards):
        if draws - sum(min(watts, limit) * wall for _, watts, wall in boards) >= saved:
            return int(limit)
        limit -= 5
    return None


def _declared(site: Site, node: Node) -> float:
    return float(declared_limit_w(site, node) or math.inf)


def _move(site: Site, over: CircuitPower, nodes: tuple[NodePower, ...]) -> str | None:
    """Return a node that another circuit could carry, so that this one is no longer overloaded."""
    spare = {
        each.circuit: each.continuous_w - each.full_w
        for each in circuits_power(site, nodes)
        if each.circuit != over.circuit
    }
    excess = over.full_w - over.continuous_w
    for node in sorted((n for n in nodes if n.circuit == over.circuit), key=lambda n: n.full_w):
        roomy = [name for name, watts in spare.items() if watts >= node.full_w]
        if node.full_w >= excess and roomy:
            return f"move {node.node} to circuit {roomy[0]}"
    return None


def card_power(gpu: Gpu) -> NodePower:
    """Return the draw of a machine with one such card and nothing else, at work and idle."""
    host = _HOSTS[_kind(gpu)]
    full = host.full_w + host.per_gpu_w
    return NodePower(
        node=gpu.name,
        circuit=None,
        idle_w=(host.idle_w + gpu.idle_power_w) / host.efficiency,
        serving_w=(full + gpu_serving_w(gpu, Activity())) / host.efficiency,
        full_w=(full + gpu.board_power_w) / host.efficiency,
        gpu_limit_w=gpu.board_power_w,
    )
