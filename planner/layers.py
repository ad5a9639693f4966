"""How the layers of a model are dealt out to pipeline stages."""

import math
from collections.abc import Sequence

from planner.architecture import Architecture, Precision
from planner.catalog import Gpu
from planner.memory import GIB, EngineSettings, Layout, RankMemory, memory_by_rank

_GRAPH_GIB = 0.01  # CUDA graphs of one layer, with some to spare


def even(layers: int, stages: int) -> tuple[int, ...]:
    """Return vLLM's own partition: the rest goes to the stages before the last, one each.

    As `get_pp_indices` in vllm/distributed/utils.py: the last stage has the output head already.
    """
    each, rest = divmod(layers, stages)
    return tuple(each + (0 < stages - 1 - stage <= rest) for stage in range(stages))


def partition(
    arch: Architecture,
    precision: Precision,
    tensor: int,
    gpu_by_stage: Sequence[Gpu],
    settings: EngineSettings,
) -> tuple[int, ...]:
    """Return the layers of each stage.

    Like GPUs get vLLM's own partition where it fits. Otherwise each stage gets layers for an equal
    time of reading its weights, as far as its memory allows.
    """
    stages = len(gpu_by_stage)
    plain = even(arch.layers, stages)
    layout = Layout(tensor=tensor, layers_by_stage=plain)
    memory = memory_by_rank(arch, precision, layout, tuple(gpu_by_stage), settings)[::tensor]
    alike = len({(gpu.memory_gib, gpu.memory_bandwidth_gb_s) for gpu in gpu_by_stage}) == 1
    if alike and (stages == 1 or all(rank.fits for rank in memory)):
        return plain
    heaviest = arch.layer_bytes(precision, arch.layers - 1) / tensor / GIB
    length = settings.max_model_len
    rooms = [
        _room(rank, layers, heaviest, length) for rank, layers in zip(memory, plain, strict=True)
    ]
    speeds = [gpu.memory_bandwidth_gb_s for gpu in gpu_by_stage]
    layer = arch.layer_bytes(precision, arch.layers - 1)
    head = max(arch.head_bytes(precision), arch.embedding_bytes(precision)) / layer
    extra = [head if stage == stages - 1 else 0.0 for stage in range(stages)]
    whole = (arch.layers + sum(extra)) / sum(speeds)
    wanted = [max(0.0, speed * whole - more) for speed, more in zip(speeds, extra, strict=True)]
    return _dealt(arch.layers, wanted, rooms)


def _room(rank: RankMemory, layers: int, layer_gib: float, length: int) -> int:
    """Return how many layers a rank holds, with the cache of one request of full length."""
    request = rank.kv_bytes_per_token * length / GIB
    slack = rank.kv_gib - request if rank.fits else -rank.shortfall_gib
    return max(0, layers + math.floor(slack / (layer_gib + request / layers + _GRAPH_GIB)))


def _dealt(layers: int, wanted: list[float], rooms: list[int]) -> tuple[int, ...]:
    """Deal whole layers, at least one a stage, by the wish and within the rooms where possible."""
    dealt = [1] * len(wanted)
    for _ in range(layers - len(wanted)):
        open_stages = [s for s in range(len(dealt)) if dealt[s] < rooms[s]] or range(len(dealt))
        neediest = max(open_stages, key=lambda s: (wanted[s] - dealt[s], -s))
        dealt[neediest] += 1
    return tuple(dealt)
