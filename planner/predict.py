"""How fast a deployment answers: time to first token, time per output token, tokens a second."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from planner.constants import CONSTANTS, Constants
from planner.deployment import Deployment, Load
from planner.memory import GIB, memory_by_rank, request_kv_bytes
from planner.pipeline import Pipeline
from planner.roofline import Batch
from planner.serving import Engine, Served, serve
from planner.validation import validation
from stack.errors import InputError

_MICRO, _MILLI = 1e-6, 1e-3
_BUSY = 0.8
_SEARCHED = 256


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


@dataclass(frozen=True)
class Outcome:
    """A run of a load through a deployment, before it is told as a `Prediction`."""

    pipeline: Pipeline
    served: Served
    cache_tokens: int


def simulate(deployment: Deployment, load: Load, constants: Constants = CONSTANTS) -> Outcome:
    """Run a load through a deployment.

    Raises `InputError` where the weights leave no room for one request.
    """
    pipeline = Pipeline(deployment, constants)
    settings, groups = deployment.settings, deployment.layout.attention_data
    room = cache_tokens(deployment, load.input_tokens + load.output_tokens)
    if room < load.input_tokens + load.output_tokens:
        raise InputError(
            f"{deployment.arch.name} leaves room for {room} tokens of KV cache, but one request"
            f" has {load.input_tokens + load.output_tokens}: see 'rackform plan' for what would fit"
        )
    arrival = constants.request_ms * _MILLI / 2 + load.input_tokens * constants.prompt_us * _MICRO
    engine = Engine(
        step_s=pipeline.round_s,
        batched_tokens=pipeline.budget(),
        sequences=settings.max_num_seqs,
        cache_tokens=room,
        window=deployment.arch.window,
        arrival_s=arrival,
        ahead=settings.async_scheduling,
    )
    each = load.model_copy(update={"concurrency": -(-load.concurrency // groups)})
    return Outcome(pipeline, serve(engine, each), room)


def cache_tokens(deployment: Deployment, length: int) -> int:
    """Return the tokens of KV cache of one data-parallel group, for requests of a length."""
    ranks = memory_by_rank(
        deployment.arch,
        deployment.precision,
        deployment.layout,
        deployment.gpu_by_stage,
        deployment.settings,
    )
    kv_bytes = deployment.settings.kv_bytes
    return min(
        int(
            rank.kv_gib
            * GIB
            * length
            / request_kv_bytes(deployment.arch, deployment.layout, rank.stage, length, kv_bytes)
        )
        for rank in ranks
    )


def ttft_ms(outcome: Outcome, constants: Constants = CONSTANTS) -> float:
    """Return the mean time to first token as the client sees it."""
    return (outcome.served.ttft_s / _MILLI) + constants.request_ms / 2


def tpot_ms(outcome: Outcome) -> float:
    """Return the mean time per output token after the first."""
    return outcome.served.tpot_s / _MILLI


def predict(deployment: Deployment, load: Load) -> Prediction:
    """Return what the deployment does under the load.

    Raises `InputError` where the weights leave no room for one request (`planner.memory` tells by
    how much).
    """
    outcome = simulate(deployment, load)
    first, each = ttft_ms(outcome), tpot_ms(outcome)
    total = outcome.served.tokens_per_s * deployment.layout.attention_data
    bubble = _bubble_share(outcome)
    limits = _limits(outcome, bubble)
    known = validation(deployment, load)
    return Prediction(
        ttft_ms=first,
        tpot_ms=each,
        output_tok_s=total,
        per_user_tok_s=1e3 / each if each else total,
        bubble_share=bubble,
        pays_from_concurrency=_pays_from(outcome),
        max_concurrency=_max_concurrency(outcome, load),
        limited_by=limits[0].what,
        limits=limits,
        interval=Interval(
            ttft_ms=known.around(first, known.ttft),
            tpot_ms=known.around(each, known.tpot),
            output_tok_s=known.around(total, known.tpot),
        ),
        validated=known.validated,
        validated_on=known.on,
    )


def decode_batch(outcome: Outcome) -> Batch:
    """Return the batch of an average decode step of a run."""
    running = max(1.0, outcome.served.running)
    return Batch(running, running * outcome.served.context, sampled=running)


def _bubble_share(outcome: Outcome) -> float:
    total, work = outcome.pipeline.times(decode_batch(outcome))
    return max(0.0, 1 - work / total)


def _pays_from(outcome: Outcome) -> int:
    """The concurrency from which the slowest stage never waits: a batch for each stage in flight.

    Hops keep a batch away from every stage, so slow links need more batches than stages; where
    even those do not hide them, it is the concurrency at which bubbles fall under a fifth.
    """
    pipeline = outcome.pipeline
    if len(pipeline.stages) == 1:
        return 1
    context = max(1.0, outcome.served.context)

    def busy(concurrency: int) -> bool:
        total, work = pipeline.times(Batch(concurrency, concurrency * context, sampled=concurrency))
        return work >= _BUSY * total

    low, high = 0, 1
    while not busy(high) and high < _SEARCHED:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if busy(middle) else (middle, high)
    return high


def _max_concurrency(outcome: Outcome, load: Load) -> int:
    deployment = outcome.pipeline.deployment
    groups = deployment.layout.attention_data
    room = outcome.cache_tokens // (load.input_tokens + load.output_tokens)
    return min(room, deployment.settings.max_num_seqs) * groups


def _limits(outcome: Outcome, bubble: float) -> tuple[Limit, ...]:
    batch = decode_batch(outcome)
    parts = outcome.pipeline.parts(batch)
    shares = {**parts, "pipeline": bubble * sum(parts.values()) / max(1e-9, 1 - bubble)}
    whole = sum(shares.values())
    limits = [Limit(what=what, share=min(1.0, each / whole)) for what, each in shares.items()]
    return tuple(sorted(limits, key=lambda limit: -limit.share))
