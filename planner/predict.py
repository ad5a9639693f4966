"""How fast a deployment answers: time to first token, time per output token, tokens a second."""

from pydantic import BaseModel, ConfigDict, Field

from planner.architecture import Architecture, Precision
from planner.catalog import Gpu, Link
from planner.memory import EngineSettings, Layout


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Deployment(_Entry):
    """One replica of a model on given GPUs and links."""

    arch: Architecture
    precision: Precision
    layout: Layout
    gpu_by_stage: tuple[Gpu, ...] = Field(description="the GPU of each pipeline stage")
    tp_link: Link = Field(description="what joins the ranks of a tensor group")
    pp_link: Link = Field(description="what joins the stages")
    settings: EngineSettings = EngineSettings()


class Load(_Entry):
    """`concurrency` clients, each sending its next request as soon as the last is answered."""

    concurrency: int = Field(ge=1)
    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class Interval(_Entry):
    """Bounds between which nine of ten measured points of this kind lie."""

    ttft_ms: tuple[float, float]
    tpot_ms: tuple[float, float]
    output_tok_s: tuple[float, float]


class Limit(_Entry):
    """What the time of a decode step is spent on."""

    what: str = Field(description="memory, compute, collectives, pipeline or overhead")
    share: float = Field(ge=0, le=1)


class Prediction(_Entry):
    """What a replica does under a load."""

    ttft_ms: float = Field(description="mean time to first token, waiting included")
    tpot_ms: float = Field(description="mean time per output token after the first")
    output_tok_s: float = Field(description="of all clients together")
    per_user_tok_s: float
    bubble_share: float = Field(ge=0, le=1, description="share of the time that a stage idles")
    pays_from_concurrency: int = Field(
        description="concurrency from which on the stages are busy (1 without a pipeline)"
    )
    max_concurrency: int = Field(description="requests of this length that the KV cache holds")
    limited_by: str
    limits: tuple[Limit, ...]
    interval: Interval
    validated: bool
    validated_on: str


def predict(deployment: Deployment, load: Load) -> Prediction:
    """Return what the deployment does under the load.

    Raises `InputError` where the weights do not fit (`planner.memory` tells by how much).
    """
    raise NotImplementedError
