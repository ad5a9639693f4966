"""The split of one model: candidates, then filters that say why each fell out, then scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.architecture import Precision
from planner.candidates import Candidate, candidates, split_name, tensor_sizes
from planner.constants import CONSTANTS
from planner.deployment import Deployment, Load
from planner.fleet import Fleet
from planner.interconnect import (
    PIPELINE_LOSS,
    Consequence,
    Rule,
    floor_text,
    pipeline_rule,
    tensor_rule,
    too_slow,
    without_cost,
)
from planner.memory import GIB, Layout, RankMemory, kv_cache_tokens, memory_by_rank
from planner.pipeline import Pipeline
from planner.predict import Prediction, predict
from planner.roofline import Batch
from planner.workload import Known, Workload

_PREDICTED = 6
"""Candidates that are run through the engine's model; the rest lose by one decode step."""
_FINALISTS = 4
_TOLD_APART = 0.98
"""Of the fastest's tokens/s: from here on half of the GPUs are as good, as far as one can tell."""
"""Of those, the ones that are predicted at length, and among which the fastest is chosen."""
_INT4_GROUP = 128


@dataclass(frozen=True)
class Rejected:
    """A split that was not chosen, and why."""

    split: str
    why: str


@dataclass(frozen=True)
class Fitted:
    """A candidate with its memory, before its speed is known."""

    candidate: Candidate
    deployment: Deployment
    memory: tuple[RankMemory, ...]

    @property
    def shortfall_gib(self) -> float:
        return max(rank.shortfall_gib for rank in self.memory)


@dataclass(frozen=True)
class Scored:
    """A candidate that works, and how fast it is. `why` tells why another was chosen."""

    fitted: Fitted
    prediction: Prediction
    why: str = ""

    @property
    def candidate(self) -> Candidate:
        return self.fitted.candidate


@dataclass(frozen=True)
class Choice:
    """What came of all candidates. Without `chosen`, `nearest` is the one that lacks least."""

    chosen: Scored | None
    others: tuple[Scored, ...]
    rejected: tuple[Rejected, ...]
    nearest: Fitted | None


def choose(workload: Workload, known: Known, fleet: Fleet, free: Mapping[str, int]) -> Choice:
    """Return the fastest split for the workload's load on GPUs that are all in the catalogue.

    A split that the site declares is the only candidate: only what cannot work refuses it.
    """
    found = list(fitted(workload, known, fleet, free))
    rejected = [each for each in found if isinstance(each, Rejected)]
    every = [each for each in found if isinstance(each, Fitted)]
    nearest = min(every, key=_lack, default=None)
    too_large = sorted((each for each in every if each.shortfall_gib > 0), key=_lack)
    working = [each for each in every if each.shortfall_gib == 0]
    rules: dict[_Group, Consequence] = {}
    allowed = [each for each in working if _may_span(each, workload, rules, rejected)]
    guessed = [(_estimate(each, workload.load), each) for each in allowed]
    guessed.sort(key=lambda pair: -pair[0])
    scored: list[Scored] = []
    for guess, each in guessed:
        if len(scored) >= _PREDICTED:
            rejected.append(_outdone(each, guess, guessed[0]))
        elif fast := _scored(each, workload, rejected):
            scored.append(fast)
    rejected += [_too_large(each) for each in too_large]
    if not scored:
        return Choice(None, (), tuple(rejected), nearest)
    scored.sort(key=_speed)
    finalists = sorted((_at_length(each, workload) for each in scored[:_FINALISTS]), key=_speed)
    best = _no_larger_than_needed(finalists)
    others = [_lost(each, best) for each in finalists if each is not best]
    others += [_lost(each, scored[0]) for each in scored[_FINALISTS:]]
    lost = tuple(Rejected(each.candidate.label, each.why) for each in others)
    return Choice(best, tuple(others), (*lost, *rejected), nearest)


def _no_larger_than_needed(fastest_first: Sequence[Scored]) -> Scored:
    """Return the fastest, or what is as fast with half of its GPUs or fewer."""
    first = fastest_first[0]
    enough = _TOLD_APART * first.prediction.output_tok_s
    smaller = (
        each
        for each in fastest_first
        if 2 * each.candidate.ranks <= first.candidate.ranks
        and each.prediction.output_tok_s >= enough
    )
    return min(smaller, key=lambda each: each.candidate.ranks, default=first)


def _speed(each: Scored) -> tuple[float, int]:
    """Sort the fastest first, and of equals the smaller."""
    return -each.prediction.output_tok_s, each.candidate.ranks


def _at_length(each: Scored, workload: Workload) -> Scored:
    return Scored(each.fitted, predict(each.fitted.deployment, workload.load))


def _lack(each: Fitted) -> tuple[bool, float, int]:
    """Sort by what is missing; groups that stay inside their nodes come first."""
    return each.candidate.group_nodes > 1, each.shortfall_gib, each.candidate.ranks


def fitted(
    workload: Workload,
    known: Known,
    fleet: Fleet,
    free: Mapping[str, int],
    least_ranks: int = 1,
) -> Iterator[Fitted | Rejected]:
    """Yield every candidate of at least so many ranks with its memory, whether it fits or not.

    What cannot be cut so, whatever the memory, comes as `Rejected`.
    """
    declared = workload.declared
    for tensor in [declared.tensor] if declared else tensor_sizes(fleet, free):
        if why := _uneven(known, tensor):
            yield Rejected(f"TP{tensor}", why)
            continue
        found = False
        for each in candidates(fleet, free, tensor, workload.replicas, known.arch.layers):
            if each.ranks < least_ranks or (declared and each.pipeline != declared.pipeline):
                continue
            found = True
            why = _misplaced(each)
            yield Rejected(each.label, why) if why else _with_memory(each, workload, known)
        if not found and least_ranks == 1:
            name = split_name(tensor, declared.pipeline) if declared else f"TP{tensor}"
            yield Rejected(name, _no_room(workload, tensor, free))


def _with_memory(candidate: Candidate, workload: Workload, known: Known) -> Fitted:
    deployment = candidate.deployment(known, workload)
    layout, gpus = deployment.layout, deployment.gpu_by_stage
    memory = memory_by_rank(known.arch, known.precision, layout, gpus, workload.settings)
    return Fitted(candidate, deployment, memory)


def _no_room(workload: Workload, tensor: int, free: Mapping[str, int]) -> str:
    """Return why the groups of a tensor size find no room."""
    stages = workload.declared.pipeline if workload.declared else 1
    groups = stages * workload.replicas
    left = ", ".join(f"{node} {gpus}" for node, gpus in free.items())
    return (
        f"needs {groups} groups of {tensor} GPUs of one kind, each inside one node or over whole"
        f" ones, but the GPUs free are {left}"
    )


def _uneven(known: Known, tensor: int) -> str:
    """Return why so many ranks cannot have equal shares, or nothing."""
    arch = known.arch
    if not arch.divides(tensor):
        return f"{tensor} ranks do not divide the {arch.heads} attention heads"
    few, many = sorted((arch.kv_heads, tensor))
    if many % few and not arch.latent:
        return f"{tensor} ranks can't share the {arch.kv_heads} KV heads evenly"
    width = arch.experts.intermediate if arch.experts else arch.intermediate
    if width % tensor:
        return f"{tensor} ranks do not divide the feed-forward width of {width}"
    if known.precision is Precision.INT4 and width % (tensor * _INT4_GROUP):
        return (
            f"{tensor} ranks cut the feed-forward width of {width} inside the groups of"
            f" {_INT4_GROUP} weights that share a scale"
        )
    return ""


def _misplaced(candidate: Candidate) -> str:
    """Return why Ray would not keep the tensor groups of a candidate together, or nothing."""
    if not candidate.crosses or candidate.group_nodes > 1:
        return ""
    for host in candidate.hosts:
        if host.gpus % candidate.tensor:
            return (
                f"{host.name} has {host.gpus} GPUs, of which groups of {candidate.tensor} leave"
                " some over: Ray, which packs node by node, would tear a group apart"
            )
    return ""


def _too_large(fitted: Fitted) -> Rejected:
    return Rejected(fitted.candidate.label, memory_text(fitted))


def memory_text(fitted: Fitted) -> str:
    """Return the arithmetic of the rank that lacks most."""
    rank = max(fitted.memory, key=lambda rank: rank.shortfall_gib)
    length = fitted.deployment.settings.max_model_len
    rest = rank.activation_gib + rank.graphs_gib + rank.communication_gib
    stage = f"a rank of stage {rank.stage}" if fitted.candidate.pipeline > 1 else "a rank"
    return (
        f"{stage} needs {rank.weights_gib:.1f} GiB for weights, {rest:.1f} for activations, graphs"
        f" and buffers, {rank.kv_bytes_per_token * length / GIB:.1f} for the KV cache of one"
        f" request of {length} tokens, and may use {rank.usable_gib:.1f} GiB of its {rank.gpu}:"
        f" {rank.shortfall_gib:.1f} GiB short"
    )


_Group = tuple[int, int, str]
"""A tensor group over nodes: ranks, nodes, GPU. How many stages there are is no part of it."""


def _may_span(
    each: Fitted,
    workload: Workload,
    rules: dict[_Group, Consequence],
    rejected: list[Rejected],
) -> bool:
    """Refuse groups and pipelines over a network that does not carry them."""
    candidate = each.candidate
    if len(candidate.hosts) > 1 and too_slow(candidate.network):
        rejected.append(Rejected(candidate.label, _crawl(each, workload.scoring, rules)))
        return False
    if candidate.group_nodes == 1:
        return True
    group = (candidate.tensor, candidate.group_nodes, candidate.gpu_by_stage[0].name)
    if group not in rules:
        rules[group] = _group_rule(each, workload.scoring)
    rule = rules[group]
    if rule.rule is Rule.REFUSED or (rule.rule is Rule.LOSS and not workload.declared):
        rejected.append(Rejected(candidate.label, rule.text))
        return False
    return True


def _crawl(each: Fitted, load: Load, rules: dict[_Group, Consequence]) -> str:
    """Return why nothing may span nodes; the numbers are those of the first pipeline looked at."""
    if not each.candidate.crosses:
        return floor_text(each.deployment)
    first = (0, 0, each.candidate.network.name)
    if first not in rules:
        rules[first] = pipeline_rule(each.deployment, load)
    return rules[first].text


def _group_rule(each: Fitted, load: Load) -> Consequence:
    """Return the rule for a tensor group over nodes, with all layers in one stage."""
    deployment, candidate = each.deployment, each.candidate
    whole = Layout(tensor=candidate.tensor, layers_by_stage=(deployment.arch.layers,))
    gpus = deployment.gpu_by_stage[:1]
    alone = deployment.model_copy(update={"layout": whole, "gpu_by_stage": gpus})
    return tensor_rule(alone, load, candidate.group_nodes, candidate.inside)


def _estimate(each: Fitted, load: Load) -> float:
    """Return output tokens/s from one prefill and one decode step, to sort candidates by."""
    pipeline = Pipeline(each.deployment, CONSTANTS)
    length = load.input_tokens + load.output_tokens
    running = max(1, min(load.concurrency, kv_cache_tokens(each.memory) // length))
    context = load.input_tokens + load.output_tokens / 2
    decode = pipeline.round_s(Batch(running, running * context, sampled=running))
    prompts = running * load.input_tokens
    pairs = prompts * load.input_tokens / 2
    prefill = pipeline.round_s(Batch(0, 0, prompts, pairs, pairs, running))
    return running * load.output_tokens / (load.output_tokens * decode + prefill)


def _outdone(each: Fitted, guess: float, best: tuple[float, Fitted]) -> Rejected:
    first, fastest = best
    return Rejected(
        each.candidate.label,
        f"about {1 - guess / first:.0%} fewer tokens/s than {fastest.candidate.label}, by its"
        " steps alone",
    )


def _hops_matter(each: Fitted, load: Load) -> bool:
    """Whether hops cost so much that a closer look is worth its time."""
    free = each.deployment.model_copy(update={"pp_link": without_cost(each.deployment.pp_link)})
    share = _estimate(each, load) / _estimate(replace(each, deployment=free), load)
    return 1 - share > PIPELINE_LOSS / 3


def _scored(fitted: Fitted, workload: Workload, rejected: list[Rejected]) -> Scored | None:
    """Predict a candidate; refuse it where its links carry it badly."""
    candidate, load = fitted.candidate, workload.scoring
    prediction = predict(fitted.deployment, load)
    if candidate.crosses and not workload.declared and _hops_matter(fitted, load):
        rule = pipeline_rule(fitted.deployment, load, prediction)
        if rule.rule is Rule.REFUSED:
            rejected.append(Rejected(candidate.label, rule.text))
            return None
    return Scored(fitted, prediction)


def _lost(scored: Scored, best: Scored) -> Scored:
    share = scored.prediction.output_tok_s / best.prediction.output_tok_s
    top = scored.prediction.limits[0]
    why = f"{1 - share:.0%} fewer tokens/s: {top.share:.0%} of a step is {WORDS[top.what]}"
    if share > 1 - 0.005:
        more = scored.candidate.ranks - best.candidate.ranks
        gain = f"{share - 1:.0%} more" if share > 1 + 0.005 else "as many"
        why = f"{gain} tokens/s with {more} more GPUs" if more > 0 else f"{gain} tokens/s"
    return Scored(scored.fitted, scored.prediction, why)


WORDS: Mapping[str, str] = {
    "memory": "reading weights and cache",
    "compute": "arithmetic",
    "collectives": "exchange between ranks",
    "pipeline": "stages that wait for each other",
    "overhead": "fixed cost of kernels and engine",
}
"""What limits a step, in plain words."""


def needed_gib(memory: Sequence[RankMemory], max_model_len: int) -> tuple[float, ...]:
    """Return what each rank needs: all but the cache, and the cache of one full request."""
    return tuple(
        rank.weights_gib
        + rank.activation_gib
        + rank.graphs_gib
        + rank.communication_gib
        + rank.kv_bytes_per_token * max_model_len / GIB
        for rank in memory
    )
