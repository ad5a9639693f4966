"""Every way in which a replica could be cut over the free GPUs of a fleet."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from planner.catalog import Gpu, Link
from planner.deployment import Deployment
from planner.fleet import Fleet, Host
from planner.layers import partition
from planner.memory import Layout
from planner.workload import Known, Workload

MOST_RANKS = 64  # of a tensor group, and stages of a pipeline: as the site's schema has it
_STAGES = (*range(1, 9), 10, 12, 16, 20, 24, 32, 40, 48, 64)


def split_name(tensor: int, pipeline: int) -> str:
    """Return the name of a split as people write it."""
    return f"TP{tensor} x PP{pipeline}"


@dataclass(frozen=True)
class Candidate:
    """A split, and where each stage of each replica would be."""

    tensor: int
    replicas: tuple[tuple[tuple[Host, ...], ...], ...]
    """By replica, by stage: the nodes of its tensor group, one unless it spans nodes."""
    network: Link

    @property
    def stages(self) -> tuple[tuple[Host, ...], ...]:
        """The stages of the first replica, on which the others are modelled."""
        return self.replicas[0]

    @property
    def pipeline(self) -> int:
        return len(self.stages)

    @property
    def ranks(self) -> int:
        return self.tensor * self.pipeline

    @property
    def name(self) -> str:
        return split_name(self.tensor, self.pipeline)

    @property
    def label(self) -> str:
        """The name, with the GPUs where the fleet has several kinds."""
        kinds = dict.fromkeys(gpu.name for gpu in self.gpu_by_stage)
        return f"{self.name} on {' + '.join(kinds)}" if len(kinds) > 1 else self.name

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The nodes of the first replica, each once."""
        return tuple(dict.fromkeys(host for stage in self.stages for host in stage))

    @property
    def group_nodes(self) -> int:
        """Nodes of one tensor group."""
        return len(self.stages[0])

    @property
    def crosses(self) -> bool:
        """Whether activations of the pipeline cross nodes."""
        return self.pipeline > 1 and len(self.hosts) > self.group_nodes

    @property
    def gpu_by_stage(self) -> tuple[Gpu, ...]:
        return tuple(known_gpu(stage[0]) for stage in self.stages)

    @property
    def inside(self) -> Link:
        """What joins the GPUs of a node; the slowest where nodes differ."""
        links = (known_link(host) for host in self.hosts)
        return min(links, key=lambda link: link.bandwidth_gb_s)

    def links(self) -> tuple[Link, Link]:
        """Return what joins the ranks of a tensor group, and what joins the stages.

        A group over nodes has the network's rate. A tree over it takes log2(nodes) steps of the
        network and log2(cards of a node) inside: its latency is theirs, weighed so.
        """
        between = self.network if self.crosses else self.inside
        if self.group_nodes == 1:
            return self.inside, between
        across, whole = math.log2(self.group_nodes), math.log2(self.tensor)
        inside = (whole - across) * self.inside.latency_us
        latency = (across * self.network.latency_us + inside) / whole
        return self.network.model_copy(update={"latency_us": latency}), between

    def deployment(self, known: Known, workload: Workload) -> Deployment:
        """Return what is predicted: one replica, with its layers dealt to the stages."""
        gpus = self.gpu_by_stage
        arch, precision = known.arch, known.precision
        layers = partition(arch, precision, self.tensor, gpus, workload.settings)
        tensor, pipeline = self.links()
        return Deployment(
            arch=arch,
            precision=precision,
            layout=Layout(tensor=self.tensor, layers_by_stage=layers),
            gpu_by_stage=gpus,
            tp_link=tensor,
            pp_link=pipeline,
            settings=workload.settings,
        )

    def taken(self) -> Mapping[str, int]:
        """Return node → GPUs that all replicas take there."""
        taken: dict[str, int] = {}
        for stage in (stage for replica in self.replicas for stage in replica):
            for host in stage:
                taken[host.name] = taken.get(host.name, 0) + self.tensor // len(stage)
        return taken


def known_gpu(host: Host) -> Gpu:
    """Return a host's GPU; only fleets that are known have candidates."""
    if host.gpu is None:
        raise ValueError(f"{host.name} has no GPU that the catalogue knows")
    return host.gpu


def known_link(host: Host) -> Link:
    """Return what joins a host's GPUs; only fleets that are known have candidates."""
    if host.link is None:
        raise ValueError(f"{host.name} has no link that the catalogue knows")
    return host.link


def tensor_sizes(fleet: Fleet, free: Mapping[str, int]) -> tuple[int, ...]:
    """Return every size of a tensor group that fits into one node, and into several whole ones."""
    inside = range(1, max(free.values(), default=0) + 1)
    across = {
        count * nodes
        for hosts in _pools(fleet, free)
        for count in {host.gpus for host in hosts}
        for nodes in _powers(sum(host.gpus == count for host in hosts))
        if count * nodes <= MOST_RANKS
    }
    return tuple(sorted({*inside, *across}))


def candidates(
    fleet: Fleet, free: Mapping[str, int], tensor: int, replicas: int, layers: int
) -> Iterator[Candidate]:
    """Yield every candidate of a tensor size for which all replicas find room at once."""
    seen: set[tuple[tuple[tuple[Host, ...], ...], ...]] = set()
    for hosts in _pools(fleet, free):
        for groups in (_inside(hosts, free, tensor), *_across(hosts, free, tensor)):
            for stages in _stage_counts(len(groups) // replicas, layers):
                placed = tuple(
                    tuple(groups[stages * each : stages * (each + 1)]) for each in range(replicas)
                )
                if placed not in seen:
                    seen.add(placed)
                    yield Candidate(tensor, placed, fleet.network)


def _stage_counts(most: int, layers: int) -> Iterable[int]:
    limit = min(most, layers, MOST_RANKS)
    counts = {stages for stages in _STAGES if stages <= limit}
    return sorted(counts | ({limit} if limit > 0 else set()))


def _pools(fleet: Fleet, free: Mapping[str, int]) -> list[tuple[Host, ...]]:
    """Return the nodes of each GPU model, and all of them together, the roomiest first."""
    there = [host for host in fleet.hosts if free.get(host.name, 0) > 0 and host.gpu]
    kinds: dict[tuple[str, float], list[Host]] = {}
    for host in there:
        kinds.setdefault(_kind(host), []).append(host)
    pools = [tuple(hosts) for hosts in kinds.values()]
    if len(kinds) > 1:
        pools.append(tuple(sorted(there, key=lambda host: -known_gpu(host).memory_gib)))
    return pools


def _kind(host: Host) -> tuple[str, float]:
    """Return what makes GPUs alike: the model and its power limit."""
    gpu = known_gpu(host)
    return gpu.name, gpu.board_power_w


def _inside(
    hosts: tuple[Host, ...], free: Mapping[str, int], tensor: int
) -> list[tuple[Host, ...]]:
    """Return the tensor groups within nodes, node after node, as Ray packs them."""
    return [(host,) for host in hosts for _ in range(free[host.name] // tensor)]


def _across(
    hosts: tuple[Host, ...], free: Mapping[str, int], tensor: int
) -> Iterator[list[tuple[Host, ...]]]:
    """Yield the tensor groups over several whole nodes of one kind and size."""
    for nodes in _powers(len(hosts)):
        count, rest = divmod(tensor, nodes)
        alike: dict[tuple[str, float], list[Host]] = {}
        for host in hosts:
            if rest == 0 and host.gpus == count == free[host.name]:
                alike.setdefault(_kind(host), []).append(host)
        groups = [
            tuple(same[start : start + nodes])
            for same in alike.values()
            for start in range(0, len(same) - nodes + 1, nodes)
        ]
        if groups:
            yield groups


def _powers(most: int) -> tuple[int, ...]:
    """Return the powers of two from 2 up to `most`."""
    return tuple(2**power for power in range(1, most.bit_length()) if 2**power <= most)
