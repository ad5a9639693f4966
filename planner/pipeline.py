"""The stages of a replica together: rounds, hops and bubbles."""

from dataclasses import dataclass, field

from planner.collectives import hop_s
from planner.constants import Constants
from planner.deployment import Deployment
from planner.roofline import Batch, Stage, StepTime

_ELEMENT_BYTES = 2
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass
class Pipeline:
    """A replica's stages: how long a round takes in which every running sequence gets a token.

    vLLM keeps a batch in each stage. A round lasts as long as one batch needs through all stages,
    or as the slowest stage needs for all batches, whichever is longer; the rest is bubbles.
    """

    deployment: Deployment
    constants: Constants
    stages: tuple[Stage, ...] = field(init=False, repr=False)
    _distinct: tuple[Stage, ...] = field(init=False, repr=False)
    _kinds: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = self.deployment.layout.pipeline
        self.stages = tuple(Stage(self.deployment, i, self.constants) for i in range(count))
        kinds = list(dict.fromkeys(stage.kind for stage in self.stages))
        self._kinds = tuple(kinds.index(stage.kind) for stage in self.stages)
        self._distinct = tuple(
            next(stage for stage in self.stages if stage.kind == kind) for kind in kinds
        )

    def round_s(self, batch: Batch) -> float:
        """Return the seconds of a round."""
        return self.times(batch)[0]

    def budget(self) -> int:
        """Return the tokens that one round takes in: each stage can hold a step's worth."""
        return len(self.stages) * self.deployment.settings.max_num_batched_tokens

    def times(self, batch: Batch) -> tuple[float, float]:
        """Return the seconds of a round, and the mean seconds that a stage works in it."""
        if len(self.stages) == 1:
            total = self._with_engine(self.stages[0].step(batch).total, batch)
            return total, total
        return self._pipelined(batch)

    def _with_engine(self, gpu_s: float, batch: Batch) -> float:
        """Add what the engine's own work costs: nothing where it is done while the GPU works."""
        c = self.constants
        host = c.step_ms * _MILLI + batch.sampled * c.sequence_us * _MICRO
        gpu_s += c.between_ms * _MILLI
        if self.deployment.settings.async_scheduling:
            return max(gpu_s, host)
        return gpu_s + host

    def parts(self, batch: Batch) -> dict[str, float]:
        """Return what the stages and the engine spend a step on, in seconds."""
        flights = max(1, min(len(self.stages), round(batch.decodes)))
        share = _share(batch, flights, 0)
        times = self._steps(share)
        inside = sum(time.total for time in times)
        return {
            "memory": sum(time.memory for time in times),
            "compute": sum(time.compute for time in times),
            "collectives": sum(time.collectives for time in times),
            "overhead": sum(time.overhead for time in times)
            + self._with_engine(inside, batch)
            - inside,
        }

    def _pipelined(self, batch: Batch) -> tuple[float, float]:
        c = self.constants
        flights = max(1, min(len(self.stages), round(batch.decodes)))
        limit = self.deployment.settings.max_num_batched_tokens
        chunks = max(1, -(-int(batch.prefill) // limit)) if batch.prefill else 0
        decode = self._each(_share(batch, flights, 0))
        mixed = self._each(_share(batch, flights, chunks)) if chunks else decode
        rest = max(flights if batch.decodes else chunks, chunks) - chunks
        # The fullest batch holds all others up: it has to go through every stage in turn.
        alone = batch.decodes <= flights
        fuller = mixed if alone else self._each(_share(batch, flights, chunks, c.imbalance))
        through = sum(fuller) + self._hops(batch, flights, chunks)
        stages = [chunks * m + rest * d for m, d in zip(mixed, decode, strict=True)]
        total = self._with_engine(max(through, *stages), batch)
        return total, min(total, sum(stages) / len(stages))

    def _each(self, batch: Batch) -> list[float]:
        return [time.total for time in self._steps(batch)]

    def _steps(self, batch: Batch) -> list[StepTime]:
        """Each stage's step; stages that are alike take alike."""
        done = [stage.step(batch) for stage in self._distinct]
        return [done[kind] for kind in self._kinds]

    def _hops(self, batch: Batch, flights: int, chunks: int) -> float:
        tokens = batch.decodes / flights + batch.prefill / max(1, chunks)
        size = tokens * self.deployment.arch.hidden * _ELEMENT_BYTES
        # Each hop sends the hidden vector and the residual, as vLLM does.
        one = hop_s(2 * size, self.deployment.pp_link, self.constants)
        return (len(self.stages) - 1) * one


def _share(batch: Batch, flights: int, chunks: int, fullness: float = 1) -> Batch:
    """Return one of the batches in flight, with one of the prompt's chunks or none.

    `fullness` is how many sequences it has, as a share of the mean.
    """
    share = fullness / flights
    part = 1 / chunks if chunks else 0.0
    return Batch(
        decodes=batch.decodes * share,
        context=batch.context * share,
        prefill=batch.prefill * part,
        pairs=batch.pairs * part,
        windowed_pairs=batch.windowed_pairs * part,
        sampled=batch.sampled * share,
    )
