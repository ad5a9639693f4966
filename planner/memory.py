"""What each rank's memory holds, and how many tokens of KV cache that leaves."""

from pydantic import BaseModel, ConfigDict, Field

from planner.architecture import Architecture, Precision
from planner.catalog import Gpu


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
    """Return every rank's memory, stage by stage."""
    raise NotImplementedError


def kv_cache_tokens(memory: tuple[RankMemory, ...]) -> int:
    """Return the tokens that the whole replica's KV cache holds: its fullest stage decides."""
    return min(rank.kv_cache_tokens for rank in memory)
