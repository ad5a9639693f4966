"""Models by their architecture: what they weigh, and what one token of context costs.

An architecture comes from `catalog/models.toml` (`architecture`) or from a checkpoint's
`config.json` (`planner.checkpoint.from_config`).
"""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from planner.catalog import FOLDER
from stack.errors import InputError


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Precision(StrEnum):
    """How quantised weights are stored; INT4 is AWQ or GPTQ in groups of 128."""

    FLOAT32 = "float32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"

    @property
    def bytes_per_weight(self) -> float:
        """Bytes of one weight, its share of the scales and zero points included."""
        return _BYTES[self]

    @property
    def plain_bytes(self) -> int:
        """Bytes of a weight that the quantisation leaves alone."""
        return 4 if self is Precision.FLOAT32 else 2


_BYTES: dict[str, float] = {
    Precision.FLOAT32: 4.0,
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    Precision.INT8: 1.0,
    Precision.INT4: 0.5 + 2 / 128 + 0.5 / 128,  # an FP16 scale and a 4-bit zero point a group
    Precision.MXFP4: 0.5 + 1 / 32,  # OCP MX: an 8-bit exponent a group of 32
    Precision.NVFP4: 0.5 + 1 / 16,  # an FP8 scale a group of 16
}


class Experts(_Entry):
    """A mixture of experts in place of the feed-forward network."""

    count: int = Field(gt=0, description="routed experts of one layer")
    active: int = Field(gt=0, description="routed experts that one token goes through")
    intermediate: int = Field(gt=0, description="width of one routed expert")
    shared_intermediate: int = Field(default=0, ge=0, description="width of all shared experts")
    first_dense: int = Field(default=0, ge=0, description="layers at the start with a dense FFN")
    every: int = Field(default=1, gt=0, description="each so-many-th layer has experts")

    def in_layer(self, layer: int) -> bool:
        return layer >= self.first_dense and (layer + 1) % self.every == 0

    def touched(self, tokens: float, spread: float = 0.0) -> float:
        """Return how many experts a batch reads.

        `spread` is the variance of the experts' popularity, in squares of its mean: at 0 each token
        draws its own at random; the more unlike experts are, the more tokens share theirs.
        """
        share = self.active / self.count
        if tokens <= 1 or spread == 0:
            return self.count * (1 - math.pow(1 - share, tokens))
        # A token's own experts differ: the first one draws `active`, whatever their popularity.
        missed = math.pow(1 + spread * share * (tokens - 1), -1 / spread)
        return self.count * (1 - (1 - share) * missed)


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
    quantised: Literal["linear", "experts"] = Field(
        default="linear", description="which weights a quantisation covers"
    )

    def divides(self, tensor: int) -> bool:
        """Whether `tensor` ranks can each have the same number of attention heads."""
        return self.heads % tensor == 0

    def kv_heads_on(self, tensor: int) -> int:
        """Return the KV heads that each of `tensor` ranks keeps: a head is never cut."""
        return max(1, -(-self.kv_heads // tensor))

    @property
    def attention_weights(self) -> int:
        """Weights of one layer's attention."""
        if not (latent := self.latent):
            width = self.heads * self.head_dim
            return self.hidden * (2 * width + 2 * self.kv_heads * self.head_dim)
        query = latent.nope_dim + latent.rope_dim
        queries = (
            latent.query_rank * (self.hidden + self.heads * query)
            if latent.query_rank
            else self.hidden * self.heads * query
        )
        compress = self.hidden * (latent.kv_rank + latent.rope_dim)
        expand = latent.kv_rank * self.heads * (latent.nope_dim + latent.value_dim)
        return queries + compress + expand + self.heads * latent.value_dim * self.hidden

    @property
    def expert_weights(self) -> int:
        """Weights of one routed expert."""
        return 3 * self.hidden * self.experts.intermediate if self.experts else 0

    def dense_weights(self, layer: int) -> int:
        """Weights of a layer's FFN that every token goes through, shared experts included."""
        if self.experts and self.experts.in_layer(layer):
            return 3 * self.hidden * self.experts.shared_intermediate
        return 3 * self.hidden * self.intermediate

    def has_experts(self, layer: int) -> bool:
        return self.experts is not None and self.experts.in_layer(layer)

    def plain_weights(self, layer: int) -> int:
        """Weights of a layer that no quantisation covers: norms and the router."""
        router = self.hidden * self.experts.count if self.experts and self.has_experts(layer) else 0
        return 2 * self.hidden + router

    @property
    def embedding_weights(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def head_weights(self) -> int:
        """Weights of the output head: none of its own where it is tied to the embedding."""
        return 0 if self.tied_embeddings else self.embedding_weights

    @property
    def parameters(self) -> int:
        """Number of weights, embedding and head included."""
        layers = sum(self._layer_weights(layer) for layer in range(self.layers))
        return layers + self.embedding_weights + self.head_weights + self.hidden

    def _layer_weights(self, layer: int) -> int:
        routed = self.experts.count * self.expert_weights if self.experts else 0
        return (
            self.attention_weights
            + self.dense_weights(layer)
            + self.plain_weights(layer)
            + (routed if self.has_experts(layer) else 0)
        )

    def linear_bytes(self, precision: Precision) -> float:
        """Return the bytes of one weight of attention, dense FFN or shared experts."""
        plain = self.experts is not None and self.quantised == "experts"
        return precision.plain_bytes if plain else precision.bytes_per_weight

    def layer_bytes(self, precision: Precision, layer: int) -> float:
        """Return the bytes of one layer's weights (0 is the first)."""
        routed = self.experts.count if self.experts and self.has_experts(layer) else 0
        return (
            (self.attention_weights + self.dense_weights(layer)) * self.linear_bytes(precision)
            + routed * self.expert_weights * precision.bytes_per_weight
            + self.plain_weights(layer) * precision.plain_bytes
        )

    def embedding_bytes(self, precision: Precision) -> float:
        return self.embedding_weights * precision.plain_bytes

    def head_bytes(self, precision: Precision) -> float:
        return self.head_weights * precision.plain_bytes

    def weight_bytes(self, precision: Precision) -> float:
        """Return the bytes of all weights."""
        layers = sum(self.layer_bytes(precision, layer) for layer in range(self.layers))
        return layers + self.embedding_bytes(precision) + self.head_bytes(precision)

    def kv_elements(self, tensor: int = 1) -> int:
        """Return what one layer of one of `tensor` ranks keeps of a token, in elements.

        MLA keeps one compressed vector, which every rank holds whole.
        """
        if self.latent:
            return self.latent.kv_rank + self.latent.rope_dim
        return 2 * self.kv_heads_on(tensor) * self.head_dim

    def kv_bytes_per_token(self, kv_bytes: float = 2) -> float:
        """Return the bytes of KV cache of one token over all layers, before any split."""
        return self.layers * self.kv_elements() * kv_bytes


_SUFFIXES = (
    (r"fp8|w8a8-fp8|f8", Precision.FP8),
    (r"mxfp4", Precision.MXFP4),
    (r"nvfp4|fp4", Precision.NVFP4),
    (r"awq|gptq|gptq4|int4|w4a16|4bit|q4(?:_\w+)*", Precision.INT4),
    (r"int8|w8a8|w8a16|8bit", Precision.INT8),
    (r"bf16|bfloat16", Precision.BF16),
)


def precision_of(name: str) -> Precision | None:
    """Return the precision that a checkpoint's name tells, as in NAME-FP8; None where none."""
    for pattern, precision in _SUFFIXES:
        if re.search(rf"(?:^|[-_.])(?:{pattern})(?=$|[-_.])", name.lower()):
            return precision
    return None


def architecture(name: str) -> tuple[Architecture, Precision]:
    """Return a model and its precision: the one its name tells, else its checkpoint's.

    Takes hf:ORG/NAME, ORG/NAME or NAME; what follows a known name (-Instruct, -AWQ) is no part
    of it. Raises `InputError` with the nearest known names where it is unknown.
    """
    bare = re.sub(r"^(?:hf|file|pypi):", "", name).split("/")[-1].lower().removeprefix("meta-")
    known = _names()
    begins = [each for each in known if re.match(rf"{re.escape(each)}(?=$|[-_:=])", bare)]
    if not begins:
        near = difflib.get_close_matches(bare, known, n=3, cutoff=0.4) or sorted(known)
        raise InputError(
            f"model {name!r} is not in the planner's catalogue: write one of {', '.join(near)},"
            " or give its config.json"
        )
    found = _models()[known[max(begins, key=len)]]
    return found, precision_of(bare) or found.checkpoint


def model_names() -> tuple[str, ...]:
    """Return the catalogue's names of models."""
    return tuple(_models())


def checkpoints() -> Mapping[str, str]:
    """Return the checkpoint that each entry was read from, ORG/NAME → the model, largest first."""
    by_size = sorted(_models().values(), key=lambda model: model.parameters, reverse=True)
    return {_Notes.model_validate(_table()[each.name]).origin: each.name for each in by_size}


class _Notes(BaseModel):
    """What an entry tells beside the architecture."""

    origin: str = Field(alias="from")
    also: tuple[str, ...] = ()


@cache
def _models() -> Mapping[str, Architecture]:
    notes = {"from", "also", "parameters_b"}
    return {
        name: Architecture(name=name, **{k: v for k, v in entry.items() if k not in notes})
        for name, entry in _table().items()
    }


@cache
def _names() -> Mapping[str, str]:
    return {
        each: name
        for name, entry in _table().items()
        for each in (name, *_Notes.model_validate(entry).also)
    }


@cache
def _table() -> dict[str, dict[str, object]]:
    return tomllib.loads((FOLDER / "models.toml").read_text(encoding="utf-8"))
