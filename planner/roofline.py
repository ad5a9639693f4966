"""The time of one engine step on one rank of one stage: a roofline for each kind of kernel.

A GEMM takes its fixed time plus the slower of reading its weights and doing its arithmetic. MoE
layers read the experts that the batch touches. Decode attention reads the KV cache, prefill
attention computes. An all-reduce follows attention and FFN.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from planner.architecture import Precision
from planner.catalog import DataType
from planner.collectives import allreduce_s, exchange_s
from planner.constants import Constants
from planner.deployment import Deployment

_MICRO = 1e-6
_OTHER_KERNELS = 8
"""Beside GEMMs: two norms, rope, cache write, attention (two), quantisation, activation."""
_ROUTING_KERNELS = 5
"""Of a MoE layer: gate, top-k, sorting tokens by expert, activation, weighted sum."""
_LATENT_GEMMS = 6
"""Of MLA: compressing, expanding queries, absorbing keys and values, output."""
_ELEMENT_BYTES = 2
_UNPACKED = frozenset({Precision.INT4, Precision.MXFP4})
_TILE_ROWS = 64
"""Tokens of one expert that a tile of a grouped GEMM computes."""
_HIDDEN_TILE, _WIDTH_TILE = 256, 128
"""Experts of 4 bits are padded to whole tiles."""


class Batch(NamedTuple):
    """What one step works on."""

    decodes: float
    """Sequences that get their next token."""
    context: float = 0.0
    """Tokens of context of all those sequences."""
    prefill: float = 0.0
    """Prompt tokens of this step."""
    pairs: float = 0.0
    """Pairs of a prompt token and one that it attends to, in a layer with full attention."""
    windowed_pairs: float = 0.0
    """The same in a sliding-window layer."""
    sampled: float = 0.0
    """Tokens that come out."""


class StepTime(NamedTuple):
    """Seconds of one step, by what they are spent on."""

    memory: float = 0.0
    compute: float = 0.0
    collectives: float = 0.0
    overhead: float = 0.0

    @property
    def total(self) -> float:
        return self.memory + self.compute + self.collectives + self.overhead

    def __add__(self, other: "StepTime") -> "StepTime":  # type: ignore[override]
        memory, compute, collectives, overhead = self
        return StepTime(
            memory + other[0], compute + other[1], collectives + other[2], overhead + other[3]
        )

    def times(self, factor: float) -> "StepTime":
        return StepTime(
            self.memory * factor,
            self.compute * factor,
            self.collectives * factor,
            self.overhead * factor,
        )


class Stage:
    """One rank of one pipeline stage; its ranks all do the same."""

    def __init__(self, deployment: Deployment, index: int, constants: Constants) -> None:
        self.arch, self.precision = deployment.arch, deployment.precision
        self.layout, self.link = deployment.layout, deployment.tp_link
        self.constants = constants
        self.wide = self.layout.tensor * self.layout.attention_data
        layers_by_stage = self.layout.layers_by_stage
        first = sum(layers_by_stage[:index])
        self.layers = layers_by_stage[index]
        self.is_last = index == self.layout.pipeline - 1
        self._moe = sum(self.arch.has_experts(each) for each in range(first, first + self.layers))
        self._windowed = self.arch.windowed_layers * self.layers / self.arch.layers
        gpu = deployment.gpu_by_stage[index]
        self._flops = {kind: gpu.tflops(kind) * gpu.sustained * 1e12 for kind in DataType}
        rates = (gpu.memory_bandwidth_gb_s, *self._flops.values())
        self.kind = (rates, self.layers, self._moe, self._windowed, self.is_last)
        """Stages of the same kind take the same time."""
        self._bandwidth = gpu.memory_bandwidth_gb_s * 1e9
        self._gemm_flops = {each: self._rate(each) for each in Precision}
        # An 8-bit cache saves room, not time: the kernels unpack it at the 16-bit cache's pace.
        self._kv_bytes = self.arch.kv_elements(self.layout.tensor) * _ELEMENT_BYTES
        self._eager = not deployment.settings.cuda_graphs
        self._layers_s = lru_cache(maxsize=4096)(self._layers)
        self._head_s = lru_cache(maxsize=4096)(self._head)

    def step(self, batch: Batch) -> StepTime:
        """Return the time of one step."""
        time = self._layers_s(batch.decodes + batch.prefill, self._eager or batch.prefill > 0)
        time += self._attention(batch)
        return time + self._head_s(batch.sampled) if self.is_last else time

    def _layers(self, tokens: float, unbound: bool) -> StepTime:  # noqa: FBT001
        """All layers without attention. `unbound`: outside of the CUDA graphs, as prefill is."""
        arch, c = self.arch, self.constants
        linear = Precision.BF16 if arch.quantised == "experts" else self.precision
        attention = self._attention_gemms(tokens, linear)
        time = attention.times(self.layers)
        kernels = _OTHER_KERNELS * self.layers
        gemms = (_LATENT_GEMMS if arch.latent else 2) * self.layers
        experts = 0.0
        if dense := self.layers - self._moe:
            time += self._ffn(tokens, arch.intermediate, linear).times(dense)
            gemms += 2 * dense
        if self._moe:
            time += self._experts(tokens).times(self._moe)
            kernels += _ROUTING_KERNELS * self._moe
            experts = 2 * self._moe * c.expert_us * _MICRO
            if arch.experts and arch.experts.shared_intermediate:
                shared = self._ffn(tokens, arch.experts.shared_intermediate, linear)
                time += shared.times(self._moe)
                gemms += 2 * self._moe
        passes = c.vector_passes * tokens * arch.hidden * _ELEMENT_BYTES * self.layers
        fixed = (gemms * c.gemm_us + kernels * c.kernel_us) * _MICRO + experts
        time += StepTime(
            memory=passes / (self._bandwidth * c.memory), collectives=self._collectives(tokens)
        )
        launching = (gemms + kernels) * (c.eager_us if self._eager else c.launch_us) * _MICRO
        waiting = max(0.0, launching - time.total - fixed) if unbound else 0.0
        return time + StepTime(overhead=fixed + waiting)

    def _gemm(self, tokens: float, outputs: float, inputs: float, weights: Precision) -> StepTime:
        """One GEMM: its weights are read once, its arithmetic is done at the weights' rate."""
        size = outputs * inputs
        passed = tokens * (inputs + outputs) * _ELEMENT_BYTES
        rate = self._bandwidth * self.constants.memory
        reading = self._reading(size, weights, self.constants.memory) + passed / rate
        computing = 2 * tokens * size / self._gemm_flops[weights]
        return StepTime(memory=reading) if reading > computing else StepTime(compute=computing)

    def _reading(self, size: float, weights: Precision, efficiency: float) -> float:
        """Read `size` weights; those of 4 bits are unpacked on the way, at the cores' pace."""
        reading = size * weights.bytes_per_weight / (self._bandwidth * efficiency)
        if weights not in _UNPACKED:
            return reading
        return max(reading, size * self.constants.unpack_flop / self._flops[DataType.BF16])

    def _rate(self, weights: Precision) -> float:
        """FLOP/s of GEMMs: FP8 where the card has it, 16 bits for weights that are unpacked."""
        eight = {Precision.FP8: DataType.FP8, Precision.INT8: DataType.INT8}.get(weights)
        if weights is Precision.NVFP4:
            eight = DataType.FP4
        if eight and self._flops[eight] > self._flops[DataType.BF16]:
            return self._flops[eight] * self.constants.compute_8
        return self._flops[DataType.BF16] * self.constants.compute_16

    def _attention_gemms(self, tokens: float, linear: Precision) -> StepTime:
        arch, ranks = self.arch, self.layout.tensor
        if arch.latent:
            weights = arch.attention_weights / ranks
            return self._gemm(tokens, weights / arch.hidden, arch.hidden, linear)
        width = arch.heads * arch.head_dim / ranks
        keys = 2 * arch.kv_heads_on(ranks) * arch.head_dim
        inward = self._gemm(tokens, width + keys, arch.hidden, linear)
        return inward + self._gemm(tokens, arch.hidden, width, linear)

    def _ffn(self, tokens: float, intermediate: int, linear: Precision) -> StepTime:
        width = intermediate / self.wide
        tokens *= self.layout.attention_data
        up = self._gemm(tokens, 2 * width, self.arch.hidden, linear)
        return up + self._gemm(tokens, self.arch.hidden, width, linear)

    def _experts(self, tokens: float) -> StepTime:
        """The routed experts of one layer: those touched are read, each token computes its own."""
        experts, c = self.arch.experts, self.constants
        if not experts:
            return StepTime()
        tokens *= self.layout.attention_data
        groups = self.layout.expert
        hidden, width = self._expert_shape(experts.intermediate / (self.wide / groups))
        touched = experts.touched(tokens, c.routing_spread) / groups
        rows = tokens * experts.active / groups
        routed = self._grouped(rows, touched, 2 * width, hidden)
        routed += self._grouped(rows, touched, hidden, width)
        # Gate and up are written, multiplied, written and read; outputs are written and summed.
        passed = rows * (6 * width + 2 * hidden) * _ELEMENT_BYTES
        router = self._gemm(tokens, experts.count, self.arch.hidden, Precision.BF16)
        return routed + router + StepTime(memory=passed / (self._bandwidth * c.memory))

    def _expert_shape(self, width: float) -> tuple[float, float]:
        """Return hidden size and width of an expert as its kernel sees them."""
        if self.precision not in _UNPACKED:
            return self.arch.hidden, width
        return _padded(self.arch.hidden, _HIDDEN_TILE), _padded(width, _WIDTH_TILE)

    def _grouped(self, rows: float, touched: float, outputs: float, inputs: float) -> StepTime:
        """One GEMM over the touched experts; the last tile of each is half empty."""
        c = self.constants
        reading = self._reading(touched * outputs * inputs, self.precision, c.expert_memory)
        tiled = rows + min(rows, touched * _TILE_ROWS) / 2
        # A short sum leaves a tile's pipeline no time to fill.
        short = 1 + c.short_sum / inputs
        computing = 2 * tiled * outputs * inputs * short / self._expert_rate()
        both = math.hypot(reading, computing)
        return StepTime(memory=both) if reading > computing else StepTime(compute=both)

    def _expert_rate(self) -> float:
        """FLOP/s of grouped GEMMs: small tiles, and weights that are unpacked in the cores."""
        c = self.constants
        if self.precision in _UNPACKED:
            return self._flops[DataType.BF16] * c.compute_unpacked
        return self._gemm_flops[self.precision] * c.compute_expert

    def _attention(self, batch: Batch) -> StepTime:
        """Decode reads the cache, prefill multiplies query and key, then weight and value."""
        arch, c = self.arch, self.constants
        full = self.layers - self._windowed
        seen = batch.context
        if arch.window and batch.decodes:
            seen = batch.decodes * min(batch.context / batch.decodes, arch.window)
        cached = (full * batch.context + self._windowed * seen) * self._kv_bytes
        pairs = full * batch.pairs + self._windowed * batch.windowed_pairs
        heads = arch.heads / self.layout.tensor
        latent = arch.latent
        width = (
            (latent.nope_dim + latent.rope_dim + latent.value_dim)
            if latent
            else (2 * arch.head_dim)
        )
        rate = self._flops[DataType.BF16] * c.compute_attention
        return StepTime(
            memory=cached / (self._bandwidth * c.kv_memory),
            compute=2 * pairs * heads * width / rate,
        )

    def _head(self, sampled: float) -> StepTime:
        arch = self.arch
        logits = self._gemm(
            sampled, arch.vocabulary / self.layout.tensor, arch.hidden, Precision.BF16
        )
        size = sampled * arch.vocabulary * _ELEMENT_BYTES
        gathered = exchange_s(size, self.layout.tensor, self.link, self.constants)
        return logits + StepTime(collectives=gathered, overhead=self.constants.gemm_us * _MICRO)

    def _collectives(self, tokens: float) -> float:
        """An all-reduce after attention and after the FFN; over data-parallel ranks an exchange."""
        size = tokens * self.arch.hidden * _ELEMENT_BYTES
        one = allreduce_s(size, self.layout.tensor, self.link, self.constants)
        if (groups := self.layout.attention_data) == 1:
            return 2 * one * self.layers
        both = 2 * exchange_s(size * groups, self.wide, self.link, self.constants)
        return (one + both) * self.layers


def _padded(size: float, tile: int) -> float:
    return math.ceil(size / tile) * tile
