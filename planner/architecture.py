"""Models by their architecture: what they weigh, and what one token of context costs.

An architecture is read from a checkpoint's `config.json` (`from_config`) or taken from
`catalog/models.toml` (`architecture`).
"""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Precision(StrEnum):
    """How the weights of the linear layers are stored."""

    FLOAT32 = "float32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    """AWQ or GPTQ, groups of 128."""
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"


class Experts(_Entry):
    """A mixture of experts in place of the feed-forward network."""

    count: int = Field(gt=0, description="routed experts of one layer")
    active: int = Field(gt=0, description="routed experts that one token goes through")
    intermediate: int = Field(gt=0, description="width of one routed expert")
    shared_intermediate: int = Field(default=0, ge=0, description="width of all shared experts")
    dense_layers: int = Field(default=0, ge=0, description="layers with a dense FFN instead")


class LatentAttention(_Entry):
    """Multi-head latent attention (MLA): one compressed vector a token instead of keys, values."""

    kv_rank: int = Field(gt=0)
    rope_dim: int = Field(gt=0)
    nope_dim: int = Field(gt=0)
    value_dim: int = Field(gt=0)
    query_rank: int = Field(default=0, ge=0, description="0: queries aren't compressed")


class Architecture(_Entry):
    """The numbers of a decoder-only transformer."""

    name: str
    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    intermediate: int = Field(ge=0, description="width of the dense feed-forward network")
    vocabulary: int = Field(gt=0)
    tied_embeddings: bool = False
    experts: Experts | None = None
    latent: LatentAttention | None = None
    window: int = Field(default=0, ge=0, description="tokens that a sliding-window layer sees")
    windowed_layers: int = Field(default=0, ge=0, description="layers with a sliding window")
    max_positions: int = Field(default=0, ge=0, description="longest context; 0: not known")
    checkpoint: Precision = Field(default=Precision.BF16, description="as it was published")

    @property
    def parameters(self) -> int:
        """Number of weights, embedding and head included."""
        raise NotImplementedError

    def divides(self, tensor: int) -> bool:
        """Whether `tensor` ranks can each have the same number of attention heads."""
        return self.heads % tensor == 0

    def weight_bytes(self, precision: Precision) -> int:
        """Return the bytes of all weights."""
        raise NotImplementedError

    def layer_bytes(self, precision: Precision, layer: int) -> int:
        """Return the bytes of one layer's weights (0 is the first)."""
        raise NotImplementedError

    def kv_bytes_per_token(self, kv_bytes: float = 2) -> float:
        """Return the bytes of KV cache of one token over all layers, before any split."""
        raise NotImplementedError


def architecture(name: str) -> tuple[Architecture, Precision]:
    """Return a model and the precision that its name tells, such as hf:ORG/NAME-FP8 or NAME-AWQ.

    Raises `InputError` with the nearest known names where it is unknown.
    """
    raise NotImplementedError


def from_config(config: Mapping[str, object], name: str = "config.json") -> Architecture:
    """Return the architecture that a checkpoint's `config.json` describes.

    Raises `InputError` naming the key that is missing or isn't what it should be.
    """
    raise NotImplementedError
