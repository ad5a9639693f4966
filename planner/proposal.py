"""The whole plan as one document: what `rackform plan` prints, draws and gives as JSON."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from planner.decide import Decision, decide
from planner.deployment import Load
from planner.fleet import Fleet
from planner.interconnect import pipeline_rule, tensor_rule
from planner.memory import Layout, RankMemory, kv_cache_tokens
from planner.power import Activity, nodes_power, overloads
from planner.power_proposal import PowerProposal, power_proposal
from planner.predict import Prediction
from planner.splits import Fitted, Scored, needed_gib
from planner.verdict import Cost, Evidence, Judgement, OneCard, Verdict, judge
from planner.workload import LoadChange
from stack.errors import InputError
from stack.schema import Site

_OTHERS = 3
_NEARLY = 0.95


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RejectedSplit(_Entry):
    split: str
    why: str


class OtherSplit(_Entry):
    """One of the best splits that were not chosen."""

    split: str
    output_tok_s: float
    ttft_ms: float
    tpot_ms: float
    why: str


class StageProposal(_Entry):
    """A pipeline stage: the nodes of its tensor group, and its layers."""

    stage: int
    nodes: tuple[str, ...]
    gpu: str
    first_layer: int
    layers: int


class ModelProposal(_Entry):
    """What the plan says of one model. Sizes and times are of one replica."""

    model: str = Field(description="the model's key in the site")
    served_name: str
    architecture: str | None
    precision: str | None
    fits: bool
    reasons: tuple[str, ...] = Field(description="why it cannot work, or what the verdict goes by")
    tensor_parallel_size: int | None
    pipeline_parallel_size: int | None
    layers_by_stage: tuple[int, ...]
    stages: tuple[StageProposal, ...]
    nodes: tuple[str, ...]
    replicas: int
    max_concurrency: int | None = Field(description="requests of the load's length in the cache")
    max_concurrency_at_full_length: int | None = Field(description="the same at max_model_len")
    kv_cache_tokens: int | None
    memory_gib_by_rank: tuple[float, ...] = Field(
        description="what each rank needs, stage by stage, with one request of full length"
    )
    memory_by_rank: tuple[RankMemory, ...]
    load: Load
    predicted: Prediction | None
    others: tuple[OtherSplit, ...]
    rejected: tuple[RejectedSplit, ...]
    interconnect: tuple[str, ...]
    warnings: tuple[str, ...]


class Proposal(ModelProposal):
    """The plan of a site, with one of its models in front."""

    site: str
    verdict: Verdict
    cost: Cost | None
    one_card: OneCard | None
    network: str
    link_loads: tuple[str, ...] = Field(description="what crosses the network under the load")
    gpus_by_node: Mapping[str, int]
    power: PowerProposal
    models: Mapping[str, ModelProposal] = Field(description="every model of the site, by its key")


def propose(site: Site, change: LoadChange | None = None, model: str | None = None) -> Proposal:
    """Return the plan of a site; `model` is the key of the one in front, the first if not given.

    Raises `InputError` where the load can't be (longer than max_model_len), no node is a worker, or
    the model in front is asked for by name and unknown.
    """
    if not site.workers:
        raise InputError("no node is a worker: give one the role and its gpus.count")
    machines, decisions = decide(site, change, compare=True)
    by_name = {each.workload.name: each for each in decisions}
    front = by_name[model or next(iter(by_name))]
    if model and not front.workload.known:
        raise InputError(front.workload.why_unknown)
    nodes = nodes_power(site, _activity(decisions))
    over = overloads(site)
    others = tuple(r for each in decisions if each is not front for r in each.reasons)
    refused = (*front.reasons, *others, *over)
    judged = judge(Evidence(site, machines, front, refused, nodes))
    models = {name: _model(machines, each) for name, each in by_name.items()}
    told = {key: getattr(models[front.workload.name], key) for key in ModelProposal.model_fields}
    told |= {"fits": not refused, "reasons": _reasons(refused, judged)}
    return Proposal(
        **told,
        site=site.name,
        verdict=judged.verdict,
        cost=judged.cost,
        one_card=judged.one_card,
        network=machines.network.title,
        link_loads=tuple(load for each in decisions if (load := _link_load(each))),
        gpus_by_node={host.name: host.gpus for host in machines.hosts},
        power=power_proposal(site, nodes, front),
        models=models,
    )


def _reasons(refused: tuple[str, ...], judged: Judgement) -> tuple[str, ...]:
    """Return why the site is refused, all of it, then what the verdict goes by."""
    return tuple(dict.fromkeys((*refused, *judged.reasons)))


def _activity(decisions: tuple[Decision, ...]) -> Mapping[str, Activity]:
    """Return how busy the GPUs of each node are, by the predictions for their models."""
    found: dict[str, Activity] = {}
    for each in decisions:
        chosen = each.choice.chosen if each.choice else None
        if chosen:
            shares = {limit.what: limit.share for limit in chosen.prediction.limits}
            busy = 1 - chosen.prediction.bubble_share
            activity = Activity(busy=busy, compute=shares.get("compute", 0.0))
        else:
            activity = Activity()
        found |= dict.fromkeys(each.nodes, activity)
    return found


def _model(machines: Fleet, decision: Decision) -> ModelProposal:
    work, choice = decision.workload, decision.choice
    chosen = choice.chosen if choice else None
    shown = chosen.fitted if chosen else choice.nearest if choice else None
    memory = shown.memory if shown else ()
    split = decision.split
    tokens = kv_cache_tokens(memory) if memory else None
    tensor = shown.candidate.tensor if shown else split.tensor if split else None
    pipeline = shown.candidate.pipeline if shown else split.pipeline if split else None
    known = work.known
    others = choice.others[:_OTHERS] if choice else ()
    return ModelProposal(
        model=work.name,
        served_name=work.served_name,
        architecture=known.arch.name if known else None,
        precision=known.precision.value if known else None,
        fits=not decision.reasons,
        reasons=decision.reasons,
        tensor_parallel_size=tensor,
        pipeline_parallel_size=pipeline,
        layers_by_stage=shown.deployment.layout.layers_by_stage if shown else (),
        stages=_stages(shown) if shown else (),
        nodes=decision.nodes,
        replicas=work.replicas,
        max_concurrency=chosen.prediction.max_concurrency if chosen else None,
        max_concurrency_at_full_length=(
            min(tokens // work.settings.max_model_len, work.settings.max_num_seqs)
            if tokens is not None
            else None
        ),
        kv_cache_tokens=tokens,
        memory_gib_by_rank=needed_gib(memory, work.settings.max_model_len),
        memory_by_rank=memory,
        load=work.load,
        predicted=chosen.prediction if chosen else None,
        others=tuple(_other(each) for each in others),
        rejected=tuple(
            RejectedSplit(split=each.split, why=each.why)
            for each in (choice.rejected if choice else ())
        ),
        interconnect=_interconnect(machines, chosen, work.scoring) if chosen else (),
        warnings=(*decision.warnings, *(_warnings(decision, chosen, machines) if chosen else ())),
    )


def _stages(fitted: Fitted) -> tuple[StageProposal, ...]:
    layers = fitted.deployment.layout.layers_by_stage
    return tuple(
        StageProposal(
            stage=index,
            nodes=tuple(host.name for host in hosts),
            gpu=gpu.name,
            first_layer=sum(layers[:index]),
            layers=layers[index],
        )
        for index, (hosts, gpu) in enumerate(
            zip(fitted.candidate.stages, fitted.candidate.gpu_by_stage, strict=True)
        )
    )


def _other(scored: Scored) -> OtherSplit:
    return OtherSplit(
        split=scored.candidate.label,
        output_tok_s=scored.prediction.output_tok_s,
        ttft_ms=scored.prediction.ttft_ms,
        tpot_ms=scored.prediction.tpot_ms,
        why=scored.why,
    )


def _interconnect(machines: Fleet, chosen: Scored, load: Load) -> tuple[str, ...]:
    """Return what the links mean for the chosen split, with the numbers."""
    candidate, deployment = chosen.candidate, chosen.fitted.deployment
    told = []
    if candidate.tensor > 1:
        parts, what = (
            (candidate.group_nodes, "node")
            if candidate.group_nodes > 1
            else (candidate.tensor, "card")
        )
        told.append(tensor_rule(deployment, load, parts, candidate.inside, what).text)
    if candidate.crosses:
        told.append(pipeline_rule(deployment, load).text)
    if candidate.group_nodes == 1 and len(machines.hosts) > 1:
        told += _over_two_nodes(machines, chosen, load)
    return tuple(told)


def _over_two_nodes(machines: Fleet, chosen: Scored, load: Load) -> list[str]:
    """Return what a tensor group over two such nodes would come to."""
    candidate, deployment = chosen.candidate, chosen.fitted.deployment
    tensor = 2 * max(host.gpus for host in candidate.hosts)
    if not deployment.arch.divides(tensor):
        return []
    wide = deployment.model_copy(
        update={
            "layout": Layout(tensor=tensor, layers_by_stage=(deployment.arch.layers,)),
            "gpu_by_stage": deployment.gpu_by_stage[:1],
            "tp_link": machines.network,
        }
    )
    return [tensor_rule(wide, load, 2, candidate.inside).text]


def _link_load(decision: Decision) -> str:
    """Return what the hops of a model's pipeline put onto a node's link, on average."""
    chosen = decision.choice.chosen if decision.choice else None
    if not (chosen and chosen.candidate.crosses):
        return ""
    load, deployment = decision.workload.load, chosen.fitted.deployment
    # Each token of prompt and answer crosses once, as hidden vector and residual of 16 bits.
    tokens = chosen.prediction.output_tok_s * (1 + load.input_tokens / load.output_tokens)
    gbit = tokens * deployment.arch.hidden * 2 * 2 * 8 / 1e9
    share = gbit / deployment.pp_link.nominal_gbit_s
    return f"{decision.workload.served_name} sends {gbit:.2f} Gbit/s over each hop ({share:.1%})"


def _warnings(decision: Decision, chosen: Scored, machines: Fleet) -> tuple[str, ...]:
    """Return what works and yet is worth a second look."""
    work, speed = decision.workload, chosen.prediction
    found = []
    if work.waiting:
        found.append(
            f"{work.load.concurrency} requests at a time are predicted for a replica, since the"
            f" other {work.waiting} that are expected would only wait"
        )
    if speed.max_concurrency < work.load.concurrency:
        found.append(
            f"{work.load.concurrency} requests at a time are expected of a replica, but it holds"
            f" {speed.max_concurrency} of this length: the others wait"
        )
    if work.load.concurrency < speed.pays_from_concurrency:
        found.append(
            f"stages idle for {speed.bubble_share:.0%} of the time: PP{chosen.candidate.pipeline}"
            f" pays from {speed.pays_from_concurrency} requests at a time"
        )
    if smaller := _smaller(decision, chosen):
        found.append(smaller)
    kinds = {gpu.name for gpu in chosen.candidate.gpu_by_stage}
    if len(kinds) > 1:
        found.append(
            "the stages have different GPUs: vLLM numbers them by node, the replica's own first, so"
            " compare 'rackform status' with the layers before relying on it"
        )
    idle = machines.gpus - sum(chosen.candidate.taken().values())
    if idle:
        found.append(f"{idle} GPUs stay idle: another replica or a larger model could use them")
    return tuple(found)


def _smaller(decision: Decision, chosen: Scored) -> str:
    """Return a split of fewer GPUs that is nearly as fast, or nothing."""
    best = chosen.prediction.output_tok_s
    choice = decision.choice
    near = [
        other
        for other in (choice.others if choice else ())
        if other.candidate.ranks < chosen.candidate.ranks
        and other.prediction.output_tok_s >= _NEARLY * best
    ]
    if not near:
        return ""
    least = min(near, key=lambda other: other.candidate.ranks)
    share = least.prediction.output_tok_s / best
    return f"{least.candidate.label} reaches {share:.0%} of it with {least.candidate.ranks} GPUs"
