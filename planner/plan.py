"""From a site to its plan: pure, and refused with reasons where it cannot work.

A split that the site leaves open is decided by counting: tensor ranks fill a node, pipeline stages
cross nodes. Memory, speed and power do not enter here.
"""

from planner.models import ModelPlan, Plan, Worker
from stack.errors import InputError
from stack.schema import Model, Site, Split


class PlanError(InputError):
    """A site that is valid and yet cannot run: `reasons` has a sentence for each obstacle."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n  ".join(("this site has no plan", *reasons)))


def plan(site: Site) -> Plan:
    """Return what a site will run.

    Raises `PlanError` where the stages of all replicas do not find room on the workers.
    """
    workers = tuple(Worker(node=name, gpus=site.nodes[name].gpu_count) for name in site.workers)
    if not workers:
        raise PlanError(("no node is a worker: give one the role and its gpus.count",))
    splits = {name: _split_of(model, workers) for name, model in site.models.items()}
    rooms = _rooms(site, splits, workers)
    return Plan(
        head=site.head,
        workers=workers,
        models=tuple(
            ModelPlan(
                name=name,
                served_name=site.served_name(name),
                tensor=split.tensor,
                pipeline=split.pipeline,
                min_replicas=site.models[name].replicas.min,
                max_replicas=site.models[name].replicas.max,
                nodes=rooms[name],
            )
            for name, split in splits.items()
        ),
        expected_nodes=len({site.head, *site.workers}),
        expected_gpus=sum(worker.gpus for worker in workers),
    )


def _split_of(model: Model, workers: tuple[Worker, ...]) -> Split:
    return model.parallelism if isinstance(model.parallelism, Split) else _split(model, workers)


def _split(model: Model, workers: tuple[Worker, ...]) -> Split:
    """Return the split that gives each replica as many whole nodes as there are for it.

    A tensor group has the ranks that every worker has room for, fewer where they do not divide
    the padded heads; other heads are not known here.
    """
    room = min(worker.gpus for worker in workers)
    heads = model.pad_heads_to
    tensor = next(ranks for ranks in range(room, 0, -1) if not heads or heads % ranks == 0)
    stages = sum(worker.gpus // tensor for worker in workers)
    return Split(tensor=tensor, pipeline=max(1, min(len(workers), stages) // model.replicas.max))


def _rooms(
    site: Site, splits: dict[str, Split], workers: tuple[Worker, ...]
) -> dict[str, tuple[str, ...]]:
    """Return the workers that keep room for each model, or raise why some stages find none.

    Ray places the stages when they start; this shows that all of them can be placed at once.
    """
    free = {worker.node: worker.gpus for worker in workers}
    rooms: dict[str, tuple[str, ...]] = {}
    reasons = []
    for name, split in sorted(splits.items(), key=lambda each: -each[1].tensor):
        groups = split.pipeline * site.models[name].replicas.max
        taken: list[str] = []
        while len(taken) < groups:
            # The fullest node that still has room keeps the emptier ones for wider groups.
            fitting = [node for node, gpus in free.items() if gpus >= split.tensor]
            if not fitting:
                left = ", ".join(f"{node} {gpus}" for node, gpus in free.items())
                reasons.append(
                    f"models.{name} needs {groups} groups of {split.tensor} GPUs, each inside one"
                    f" node, but after {len(taken)} of them the GPUs left are {left}: lower its"
                    " split or replicas.max, or add GPUs"
                )
                break
            node = min(fitting, key=lambda node: free[node])
            free[node] -= split.tensor
            taken.append(node)
        rooms[name] = tuple(node for node in free if node in taken)
    if reasons:
        raise PlanError(tuple(reasons))
    return rooms
