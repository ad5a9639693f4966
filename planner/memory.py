"""What each rank's memory holds, and how many tokens of KV cache that leaves."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from planner.architecture import Architecture, Precision
from planner.catalog import Gpu
from stack.errors import InputError

GIB = 2**30
_CONTEXT_GIB = 0.23  # non-torch memory of one rank, measured on an H200: 0.22 to 0.24
_WHOLE_VECTORS = 8.0
_CUT_VECTORS = 2.6
_GRAPHS_GIB = 0.08
_GRAPH_LAYER_GIB = 0.0075
_WORKSPACE_GIB = 0.09
_PAIR = 2


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layout(_Entry):
    """How one replica is cut: stages of `tensor` ranks."""

    tensor: int = Field(ge=1, description="ranks of one tensor group")
    layers_by_stage: tuple[int, ...] = Field(min_length=1, description="layers of each stage")
    expert: int = Field(default=1, ge=1, description="expert-parallel ranks; 1: experts are cut")
    attention_data: int = Field(
        default=1, ge=1, description="data-parallel attention groups of `tensor` ranks each"
    )

    @property
    def pipeline(self) -> int:
        """Stages."""
        return len(self.layers_by_stage)

    @property
    def ranks(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.attention_data * self.pipeline


class EngineSettings(_Entry):
    """vLLM's settings that decide memory and batching."""

    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    max_model_len: int = Field(default=8192, gt=0)
    max_num_seqs: int = Field(default=256, gt=0)
    max_num_batched_tokens: int = Field(default=8192, gt=0)
    kv_bytes: float = Field(default=2, gt=0, description="bytes of one KV element: 2, or 1 for FP8")
    cuda_graphs: bool = True
    async_scheduling: bool = Field(
        default=True, description="schedule a step while the one before runs (default from 0.14)"
    )


class RankMemory(_Entry):
    """One rank's memory in GiB. `kv_gib` is what is left for the KV cache (never negative)."""

    stage: int
    rank: int = Field(description="the rank within its tensor group")
    gpu: str
    capacity_gib: float
    usable_gib: float = Field(description="capacity x gpu_memory_utilization")
    weights_gib: float
    activation_gib: float
    graphs_gib: float
    communication_gib: float = Field(description="CUDA context, NCCL and other non-torch memory")
    kv_gib: float
    kv_bytes_per_token: float = Field(description="bytes of one token on this rank")
    kv_cache_tokens: int = Field(description="tokens that this rank's cache could hold")
    shortfall_gib: float = Field(
        description="what is missing for the weights and one request of max_model_len; 0: it fits"
    )

    @property
    def fits(self) -> bool:
        return self.shortfall_gib == 0


def memory_by_rank(
    arch: Architecture,
    precision: Precision,
    layout: Layout,
    gpu_by_stage: tuple[Gpu, ...],
    settings: EngineSettings,
) -> tuple[RankMemory, ...]:
    """Return every rank's memory, stage by stage.

    Raises `InputError` where the stages do not have all the layers, or a GPU each.
    """
    _check(arch, layout, gpu_by_stage)
    stages = []
    for stage, gpu in enumerate(gpu_by_stage):
        memory = _stage(_Cut(arch, precision, layout, stage), gpu, settings)
        ranks = range(layout.tensor * layout.attention_data)
        stages += [memory.model_copy(update={"rank": rank}) for rank in ranks]
    return tuple(stages)


def _check(arch: Architecture, layout: Layout, gpu_by_stage: tuple[Gpu, ...]) -> None:
    if sum(layout.layers_by_stage) != arch.layers:
        raise InputError(
            f"layers_by_stage = {layout.layers_by_stage}, but {arch.name} has {arch.layers} layers:"
            " give the stages all of them"
        )
    if len(gpu_by_stage) != layout.pipeline:
        raise InputError(
            f"{len(gpu_by_stage)} GPU models for {layout.pipeline} stages: name one for each"
        )


class _Cut(NamedTuple):
    arch: Architecture
    precision: Precision
    layout: Layout
    stage: int


def _stage(cut: _Cut, gpu: Gpu, settings: EngineSettings) -> RankMemory:
    arch, precision, layout, stage = cut
    usable = gpu.memory_gib * settings.gpu_memory_utilization
    weights = stage_weight_bytes(arch, precision, layout, stage) / GIB
    activation = activation_bytes(arch, precision, layout, settings.max_num_batched_tokens) / GIB
    graphs = graphs_gib(arch, precision, layout, stage) if settings.cuda_graphs else 0.0
    communication = _CONTEXT_GIB + (_nccl_gib(layout) if layout.ranks > 1 else 0.0)
    # vLLM captures its graphs after it has sized the cache: they live in what utilization leaves.
    room = min(usable, gpu.memory_gib - graphs) - weights - activation - communication
    one = request_kv_bytes(arch, layout, stage, settings.max_model_len, settings.kv_bytes)
    per_token = one / settings.max_model_len
    return RankMemory(
        stage=stage,
        rank=0,
        gpu=gpu.name,
        capacity_gib=gpu.memory_gib,
        usable_gib=usable,
        weights_gib=weights,
        activation_gib=activation,
        graphs_gib=graphs,
        communication_gib=communication,
        kv_gib=max(0.0, room),
        kv_bytes_per_token=per_token,
        kv_cache_tokens=int(max(0.0, room) * GIB / per_token),
        shortfall_gib=max(0.0, one / GIB - room),
    )


def stage_weight_bytes(
    arch: Architecture, precision: Precision, layout: Layout, stage: int
) -> float:
    """Return the bytes of weights on one rank of a stage.

    The first stage has the embedding, the last one the head (and a copy of a tied embedding).
    Attention is cut over `tensor` ranks, KV projections never below one head; experts and FFN
    are cut over all ranks of the stage.
    """
    first = sum(layout.layers_by_stage[:stage])
    layers = range(first, first + layout.layers_by_stage[stage])
    by_kind: dict[bool, float] = {}
    total = 0.0
    for layer in layers:
        kind = arch.has_experts(layer)
        if kind not in by_kind:
            by_kind[kind] = _layer_bytes(arch, precision, layout, layer)
        total += by_kind[kind]
    if stage == 0:
        total += arch.embedding_bytes(precision) / layout.tensor
    if stage == layout.pipeline - 1:
        tied = arch.embedding_bytes(precision) if arch.tied_embeddings and stage > 0 else 0.0
        total += (arch.head_bytes(precision) + tied) / layout.tensor
    return total


def _layer_bytes(arch: Architecture, precision: Precision, layout: Layout, layer: int) -> float:
    """Return the bytes of a layer on one rank; all layers with experts have as many, or without."""
    linear = arch.linear_bytes(precision)
    attention = arch.attention_weights * linear
    repeated = arch.kv_heads_on(layout.tensor) * layout.tensor - arch.kv_heads
    attention += 0 if arch.latent else _kv_projection(arch) * max(0, repeated) * linear
    plain = arch.plain_weights(layer) * precision.plain_bytes
    rest = arch.layer_bytes(precision, layer) - arch.attention_weights * linear - plain
    wide = layout.tensor * layout.attention_data
    return attention / layout.tensor + rest / wide + plain


def _kv_projection(arch: Architecture) -> int:
    return 2 * arch.hidden * arch.head_dim


def request_kv_bytes(
    arch: Architecture, layout: Layout, stage: int, tokens: int, kv_bytes: float = 2
) -> float:
    """Return the bytes of KV cache that one request of so many tokens needs on one rank."""
    share = layout.layers_by_stage[stage] / arch.layers
    windowed = arch.windowed_layers * min(tokens, arch.window or tokens)
    full = (arch.layers - arch.windowed_layers) * tokens
    return share * (full + windowed) * arch.kv_elements(layout.tensor) * kv_bytes


def activation_bytes(
    arch: Architecture, precision: Precision, layout: Layout, tokens: int
) -> float:
    """Return the peak of activations of one step of `tokens` tokens, as vLLM profiles it.

    A token needs about 10.6 hidden vectors (residual, norms, projections; a quarter of that is
    cut over the ranks) and the FFN's gate and up; a token's experts keep gate, up, the product
    and the output of each. FP8 adds a quantised copy of the hidden vector. The factors are from
    five models on an H200 (`tests/unit/test_planner_memory.py`), within 4 %.
    """
    wide = layout.tensor * layout.attention_data
    hidden = arch.hidden * (_WHOLE_VECTORS + _CUT_VECTORS / layout.tensor)
    if precision is Precision.FP8:
        hidden += arch.hidden / 2
    ffn = 2 * arch.intermediate / wide
    if arch.experts:
        routed = arch.experts.active * (3 * arch.experts.intermediate / wide + arch.hidden)
        ffn = max(ffn if arch.experts.first_dense else 0.0, routed)
    return 2 * tokens * (hidden + ffn)


def graphs_gib(arch: Architecture, precision: Precision, layout: Layout, stage: int) -> float:
    """Return what CUDA graphs of batches up to 256 tokens take, in GiB.

    By layers, from the same five models; 16-bit dense layers add cuBLAS workspaces.
    """
    dense = arch.experts is None and precision.plain_bytes == precision.bytes_per_weight
    layers = layout.layers_by_stage[stage]
    return _GRAPHS_GIB + _GRAPH_LAYER_GIB * layers + (_WORKSPACE_GIB if dense else 0.0)


def _nccl_gib(layout: Layout) -> float:
    """NCCL's buffers: 342 MB for two ranks, 392 MB for more (AIConfigurator 0.12)."""
    return (0.342 if layout.tensor * layout.attention_data == _PAIR else 0.392) * 1e9 / GIB


def kv_cache_tokens(memory: tuple[RankMemory, ...]) -> int:
    """Return the tokens that the whole replica's KV cache holds: its fullest stage decides."""
    return min(rank.kv_cache_tokens for rank in memory)
