"""What is predicted: one replica of a model on given GPUs and links, and the load on it."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from planner.architecture import Architecture, Precision
from planner.catalog import Gpu, Link
from planner.memory import EngineSettings, Layout

MOST_CLIENTS = 65536
MOST_TOKENS = 2**24


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


class Lengths(StrEnum):
    """How the lengths of prompts and answers vary."""

    EVEN = "even"
    """Evenly in (1 - spread .. 1) x the length: a benchmark."""
    EXPONENTIAL = "exponential"
    """Exponentially, with the length as the mean: chats such as ShareGPT's, a few very long."""


class Load(_Entry):
    """`concurrency` clients, each sending its next request as soon as the last is answered."""

    concurrency: int = Field(ge=1, le=MOST_CLIENTS)
    input_tokens: int = Field(ge=1, le=MOST_TOKENS)
    output_tokens: int = Field(ge=1, le=MOST_TOKENS)
    lengths: Lengths = Lengths.EVEN
    spread: float = Field(default=0.2, ge=0, lt=1, description="of lengths that vary evenly")
    waves: int = Field(default=10, ge=1, description="requests of each client")
