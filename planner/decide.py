"""What each model of a site gets: its split, and the GPUs that keep room for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from planner.fleet import Fleet, fleet
from planner.memory import GIB
from planner.remedies import all_free, remedies
from planner.splits import Choice, Rejected, Scored, choose, memory_text
from planner.workload import Known, LoadChange, Workload, workload
from stack.model import Split
from stack.schema import Site


@dataclass(frozen=True)
class Decision:
    """One model: its split and nodes, or the reasons why it has none.

    `choice` is None where split and room were found by counting alone.
    """

    workload: Workload
    split: Split | None
    nodes: tuple[str, ...]
    choice: Choice | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def decide(
    site: Site, change: LoadChange | None = None, *, compare: bool = False
) -> tuple[Fleet, tuple[Decision, ...]]:
    """Return the fleet and a decision for each model, in the order of the site.

    Models whose split is declared take their GPUs first, then those whose split the plan decides,
    the heaviest first, at last those that it knows too little of. `compare` also looks for the best
    split where the site declares one.
    """
    machines = fleet(site)
    loads = {name: workload(site, name, change or LoadChange()) for name in site.models}
    free = all_free(machines)
    order = sorted(loads.values(), key=lambda each: _order(each, machines))
    made: dict[str, Decision] = {}
    for each in order:
        decision = _decide(each, machines, free, compare=compare)
        made[each.name] = decision
    return machines, tuple(made[name] for name in site.models)


def _order(each: Workload, machines: Fleet) -> tuple[int, float]:
    if each.declared:
        return 0, -each.declared.tensor
    if each.known and machines.is_known:
        return 1, -each.known.arch.weight_bytes(each.known.precision)
    return 2, -_counted(each, machines).tensor


def _decide(each: Workload, machines: Fleet, free: dict[str, int], *, compare: bool) -> Decision:
    if not (each.known and machines.is_known):
        return _by_counting(each, machines, free)
    choice = choose(each, each.known, machines, free)
    if choice.chosen:
        chosen = choice.chosen.candidate
        if compare and each.declared:
            choice = _compared(each, choice, machines, free)
        for node, gpus in chosen.taken().items():
            free[node] -= gpus
        split = Split(tensor=chosen.tensor, pipeline=chosen.pipeline)
        return Decision(each, split, tuple(chosen.taken()), choice)
    return Decision(
        each, each.declared, (), choice, _reasons(each, each.known, choice, machines, free)
    )


def _compared(each: Workload, declared: Choice, machines: Fleet, free: Mapping[str, int]) -> Choice:
    """Return the declared split's choice, with the others that the plan would have looked at."""
    best = declared.chosen
    if not (best and each.known):
        return declared
    freely = choose(replace(each, declared=None), each.known, machines, free)
    name = best.candidate.label
    there = [other for other in (freely.chosen, *freely.others) if other]
    others = tuple(
        replace(other, why=_beside(other, best)) for other in there if other.candidate.label != name
    )
    lost = tuple(Rejected(other.candidate.label, other.why) for other in others)
    left = {other.candidate.label for other in there}
    rest = tuple(each for each in freely.rejected if each.split not in left)
    return Choice(best, others, (*lost, *rest), declared.nearest)


def _beside(other: Scored, declared: Scored) -> str:
    share = other.prediction.output_tok_s / declared.prediction.output_tok_s
    speed = f"{share - 1:.0%} more" if share > 1 else f"{1 - share:.0%} fewer"
    return f"{speed} tokens/s, but the site fixes {declared.candidate.name}"


def _reasons(
    each: Workload, known: Known, choice: Choice, machines: Fleet, free: Mapping[str, int]
) -> tuple[str, ...]:
    """Return why no split works, with what would help."""
    path = f"models.{each.name}"
    if not choice.nearest:
        return tuple(f"{path}: {each.split}: {each.why}" for each in choice.rejected[:3])
    if choice.nearest.shortfall_gib == 0:
        return tuple(f"{path}: {line}" for line in _links_only(choice)[:3])
    weights = known.arch.weight_bytes(known.precision) / GIB
    usable = each.settings.gpu_memory_utilization
    kinds = ", ".join(
        f"{sum(host.gpus for host in machines.hosts if host.gpu and host.gpu.name == kind)} x"
        f" {kind}"
        for kind in machines.kinds
    )
    total = sum(host.gpus * host.gpu.memory_gib for host in machines.hosts if host.gpu) * usable
    found = list(remedies(each, known, machines, free))
    help_text = "; or ".join(found) or "no single change that the plan knows makes it fit"
    replicas = f" for each of {each.replicas} replicas" if each.replicas > 1 else ""
    arithmetic = (
        f"{path}: {known.arch.name} in {known.precision} has {weights:.0f} GiB of weights"
        f"{replicas}, and {kinds} may use {total:.0f} GiB (gpu_memory_utilization {usable:g}) for"
        " weights, activations and KV cache: it does not fit"
    )
    nearest = choice.nearest.candidate.label
    lacking = f"{path}: even as {nearest}, which lacks least, {memory_text(choice.nearest)}"
    return arithmetic, lacking, f"what would help: {help_text}"


def _links_only(choice: Choice) -> list[str]:
    """Return why links refuse what memory allows, the splits of each reason together."""
    by_reason: dict[str, list[str]] = {}
    for each in choice.rejected:
        if " short" not in each.why and " x PP" in each.split:
            by_reason.setdefault(each.why, []).append(each.split)
    return [f"{', '.join(splits[:4])}: {why}" for why, splits in by_reason.items()]


def _by_counting(each: Workload, machines: Fleet, free: dict[str, int]) -> Decision:
    """Decide by counting GPUs: tensor ranks fill a node, pipeline stages cross nodes."""
    split = each.declared or _counted(each, machines)
    groups = split.pipeline * each.replicas
    before = dict(free)
    taken: list[str] = []
    while len(taken) < groups:
        # The fullest node that still has room keeps the emptier ones for wider groups.
        fitting = [node for node, gpus in free.items() if gpus >= split.tensor]
        if not fitting:
            left = ", ".join(f"{node} {gpus}" for node, gpus in free.items())
            reason = (
                f"models.{each.name} needs {groups} groups of {split.tensor} GPUs, each inside one"
                f" node, but after {len(taken)} of them the GPUs left are {left}: lower its"
                " split or replicas.max, or add GPUs"
            )
            free.update(before)
            return Decision(each, split, (), reasons=(reason,))
        node = min(fitting, key=lambda node: free[node])
        free[node] -= split.tensor
        taken.append(node)
    nodes = tuple(node for node in free if node in taken)
    why = (*([each.why_unknown] if each.why_unknown else []), *machines.unknown)
    counted = f"models.{each.name}: its split is found by counting GPUs, not by memory and speed"
    return Decision(each, split, nodes, warnings=(*why, counted))


def _counted(each: Workload, machines: Fleet) -> Split:
    """Return the split that gives each replica as many whole nodes as there are for it.

    A tensor group has the ranks that every worker has room for, fewer where they do not divide
    the padded heads; other heads are not known here.
    """
    room = min(host.gpus for host in machines.hosts)
    heads = each.pad_heads_to
    tensor = next(ranks for ranks in range(room, 0, -1) if not heads or heads % ranks == 0)
    stages = sum(host.gpus // tensor for host in machines.hosts)
    pipeline = max(1, min(len(machines.hosts), stages) // each.replicas)
    return Split(tensor=tensor, pipeline=pipeline)
