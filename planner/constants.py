"""The constants of the speed model: each is one property of the hardware or the engine.

`docs/planner.md` tells what they were calibrated on and what leaving models out costs.
"""

from pydantic import BaseModel, ConfigDict, Field


class Constants(BaseModel):
    """Efficiencies are shares of the data sheet's peak; times are what one thing costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: float = Field(default=0.86, description="of the HBM's rate, streaming weights")
    kv_memory: float = Field(default=0.745, description="of the HBM's rate, reading KV pages")
    expert_memory: float = Field(default=0.93, description="of the HBM's rate, reading experts")
    routing_spread: float = Field(
        default=0.66, description="variance of experts' popularity, in squares of its mean"
    )
    unpack_flop: float = Field(
        default=191.0, description="FLOPs that fit in the time of unpacking one 4-bit weight"
    )
    compute_16: float = Field(default=0.67, description="of the peak, 16-bit GEMMs, power-capped")
    compute_8: float = Field(default=0.595, description="of the peak, FP8 GEMMs, power-capped")
    compute_expert: float = Field(
        default=0.9, description="of a dense GEMM's rate, grouped GEMMs of experts"
    )
    short_sum: float = Field(
        default=345.0, description="inputs of an expert's GEMM that take as long again to start"
    )
    compute_unpacked: float = Field(
        default=0.29, description="of the 16-bit peak, experts of 4 bits (Marlin)"
    )
    compute_attention: float = Field(default=0.555, description="of the peak, prefill attention")
    vector_passes: float = Field(
        default=10.0, description="times a layer's element-wise kernels pass over a hidden vector"
    )
    gemm_us: float = Field(default=5.8, description="fixed time of a GEMM in a CUDA graph")
    expert_us: float = Field(default=7.0, description="fixed time of a grouped expert GEMM")
    kernel_us: float = Field(default=1.93, description="fixed time of any other kernel in a graph")
    launch_us: float = Field(
        default=5.0, description="launching one kernel of a compiled piece, as in prefill"
    )
    eager_us: float = Field(default=20.0, description="launching one kernel from Python")
    allreduce_us: float = Field(default=6.0, description="custom all-reduce of a few KiB, fixed")
    allreduce_rank_us: float = Field(default=1.15, description="more, for each further rank")
    link: float = Field(default=0.885, description="of a link's rate, in all-reduces of MiB")
    imbalance: float = Field(
        default=1.3, description="sequences of the fullest batch in a pipeline, of the mean's"
    )
    between_ms: float = Field(
        default=0.37, description="between two steps of the GPU: sampling, preparing inputs"
    )
    step_ms: float = Field(default=0.43, description="a step's work on the host: scheduling")
    sequence_us: float = Field(
        default=25.0, description="more, for each sequence of the step: its token, its text"
    )
    request_ms: float = Field(default=19.0, description="HTTP, tokeniser, first event")
    prompt_us: float = Field(default=1.7, description="more, for each token of the prompt")


CONSTANTS = Constants()
