"""What would make a model fit that does not: each remedy is tried, none is guessed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from planner import catalog
from planner.architecture import Precision
from planner.catalog import Gpu
from planner.fleet import Fleet, Host
from planner.memory import GIB
from planner.splits import Fitted, fitted
from planner.workload import Known, Workload

_LOWER = (Precision.FP8, Precision.INT4)
_NAMES = {Precision.FP8: "FP8", Precision.INT4: "int4 (AWQ or GPTQ)"}
_UTILIZATION = 0.95
_SHORTEST = 1024
_MORE_NODES = (1, 2, 3, 4, 6, 8, 12, 16)
_VENDORS = ("nvidia",)  # what the images run on
_MEMORY_CLASS_GIB = 8  # cards are sold by 24, 32, 48 … GB: what a program can use is a bit less


def first_fit(
    workload: Workload,
    known: Known,
    fleet: Fleet,
    free: Mapping[str, int],
    least_ranks: int = 1,
) -> Fitted | None:
    """Return the first split of so many ranks that fits into memory, None where none does.

    Its tensor groups stay inside their nodes: whether they may span some is no matter of memory.
    """
    largest = max((host.gpu.memory_gib for host in fleet.hosts if host.gpu), default=1.0)
    usable = largest * GIB * workload.settings.gpu_memory_utilization
    least = max(least_ranks, int(known.arch.weight_bytes(known.precision) / usable))
    for each in fitted(workload, known, fleet, free, least):
        if isinstance(each, Fitted) and not each.shortfall_gib and each.candidate.group_nodes == 1:
            return each
    return None


def remedies(
    workload: Workload, known: Known, fleet: Fleet, free: Mapping[str, int]
) -> Iterator[str]:
    """Yield a sentence for each single change after which the model fits."""
    yield from _quantised(workload, known, fleet, free)
    yield from _settings(workload, known, fleet, free)
    open_split = replace(workload, declared=None)
    if workload.declared and (found := first_fit(open_split, known, fleet, free)):
        yield f"with parallelism: auto it fits, as {found.candidate.label}"
    yield from _more_nodes(open_split, known, fleet)
    yield from _larger_cards(open_split, known, fleet)


def _quantised(
    workload: Workload, known: Known, fleet: Fleet, free: Mapping[str, int]
) -> Iterator[str]:
    for lower in _LOWER:
        if lower.bytes_per_weight < known.precision.bytes_per_weight:
            found = first_fit(workload, replace(known, precision=lower), fleet, free)
            if found:
                yield f"a checkpoint in {_NAMES[lower]} fits, as {found.candidate.label}"
                return


def _settings(
    workload: Workload, known: Known, fleet: Fleet, free: Mapping[str, int]
) -> Iterator[str]:
    settings = workload.settings
    if more := more_utilization(workload, known, fleet, free):
        yield more
    length = settings.max_model_len // 2
    while length >= _SHORTEST:
        shorter = settings.model_copy(update={"max_model_len": length})
        if first_fit(replace(workload, settings=shorter), known, fleet, free):
            yield f"max_model_len: {length} would make it fit"
            return
        length //= 2


def more_utilization(
    workload: Workload, known: Known, fleet: Fleet, free: Mapping[str, int]
) -> str:
    """Return that a larger share of the GPUs' memory would do, or nothing."""
    settings = workload.settings
    more = settings.model_copy(update={"gpu_memory_utilization": _UTILIZATION})
    enough = settings.gpu_memory_utilization < _UTILIZATION and first_fit(
        replace(workload, settings=more), known, fleet, free
    )
    return f"gpu_memory_utilization: {_UTILIZATION:g} would make it fit" if enough else ""


def _more_nodes(workload: Workload, known: Known, fleet: Fleet) -> Iterator[str]:
    """Yield how many more nodes like the largest would do."""
    model = max(fleet.hosts, key=lambda host: host.gpus)
    if model.gpu is None:
        return
    alike = tuple(host for host in fleet.hosts if host.gpu == model.gpu)
    for more in _MORE_NODES:
        added = tuple(
            Host(f"new{i}", model.gpus, model.gpu, model.link, owned=False) for i in range(more)
        )
        grown = replace(fleet, hosts=(*alike, *added))
        if first_fit(workload, known, grown, all_free(grown), sum(h.gpus for h in alike) + 1):
            nodes = "one more node" if more == 1 else f"{more} more nodes"
            yield f"{nodes} of {model.gpus} x {model.gpu.title} would make it fit"
            return


def _larger_cards(workload: Workload, known: Known, fleet: Fleet) -> Iterator[str]:
    """Yield the smallest cards that would do in the places of those there are."""
    smallest = min((host.gpu.memory_gib for host in fleet.hosts if host.gpu), default=0.0)
    forms = {host.gpu.form for host in fleet.hosts if host.gpu}
    sizes = sorted((gpu for gpu in buyable() if gpu.form in forms), key=lambda gpu: gpu.memory_gib)
    enough = [
        gpu
        for gpu in sizes
        if gpu.memory_gib > smallest + 1 and first_fit(workload, known, *_swapped(fleet, gpu))
    ]
    if enough:
        least = enough[0].memory_gib + _MEMORY_CLASS_GIB / 2
        names = ", ".join(gpu.title for gpu in enough if gpu.memory_gib <= least)
        cards = "a card" if fleet.gpus == 1 else f"{fleet.gpus} cards"
        place = "its place" if fleet.gpus == 1 else "their places"
        yield f"{cards} with more memory in {place} would make it fit: {names}"


def _swapped(fleet: Fleet, gpu: Gpu) -> tuple[Fleet, Mapping[str, int]]:
    link = catalog.link(gpu.link)
    hosts = tuple(Host(host.name, host.gpus, gpu, link, owned=False) for host in fleet.hosts)
    swapped = replace(fleet, hosts=hosts)
    return swapped, all_free(swapped)


def all_free(fleet: Fleet) -> dict[str, int]:
    """Return node → GPUs, none of them taken."""
    return {host.name: host.gpus for host in fleet.hosts}


def buyable() -> tuple[Gpu, ...]:
    """Return the cards that one can buy one by one, with a price, for a machine with vLLM."""
    return tuple(
        gpu
        for gpu in catalog.gpus().values()
        if gpu.price_usd and gpu.vendor in _VENDORS and gpu.form is not catalog.Form.INTEGRATED
    )
