"""From a site to its plan: pure, and refused with reasons where it cannot work.

Where model and GPUs are in the catalogue, a split that the site leaves open is the fastest that
fits, and memory, links and circuits are checked. Where they are not, GPUs are counted.
"""

from planner.decide import Decision, decide
from planner.models import ModelPlan, Plan, Worker
from planner.power import overloads
from stack.errors import InputError
from stack.model import Split
from stack.schema import Site


class PlanError(InputError):
    """A site that is valid and yet cannot run: `reasons` has a sentence for each obstacle."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n  ".join(("this site has no plan", *reasons)))


def plan(site: Site) -> Plan:
    """Return what a site will run.

    Raises `PlanError` where a model does not fit, its stages find no room, a link carries no such
    split, or a circuit would be overloaded.
    """
    workers = tuple(Worker(node=name, gpus=site.nodes[name].gpu_count) for name in site.workers)
    if not workers:
        raise PlanError(("no node is a worker: give one the role and its gpus.count",))
    _, decisions = decide(site)
    reasons = tuple(reason for each in decisions for reason in each.reasons)
    if refused := (*reasons, *overloads(site)):
        raise PlanError(refused)
    return Plan(
        head=site.head,
        workers=workers,
        models=tuple(_model_plan(site, each) for each in decisions),
        expected_nodes=len({site.head, *site.workers}),
        expected_gpus=sum(worker.gpus for worker in workers),
    )


def _model_plan(site: Site, decision: Decision) -> ModelPlan:
    name = decision.workload.name
    split = decision.split or Split(tensor=1)
    replicas = site.models[name].replicas
    chosen = decision.choice.chosen if decision.choice else None
    return ModelPlan(
        name=name,
        served_name=site.served_name(name),
        tensor=split.tensor,
        pipeline=split.pipeline,
        min_replicas=replicas.min,
        max_replicas=replicas.max,
        nodes=decision.nodes,
        layers_by_stage=chosen.fitted.deployment.layout.layers_by_stage if chosen else (),
        outlook=outlook(decision),
        warnings=decision.warnings,
    )


def outlook(decision: Decision) -> str:
    """Return in a line what is predicted for one replica; nothing where nothing is."""
    chosen = decision.choice.chosen if decision.choice else None
    if not chosen:
        return ""
    load, speed = decision.workload.load, chosen.prediction
    tokens = min(rank.kv_cache_tokens for rank in chosen.fitted.memory)
    measured = "" if speed.validated else ", not validated on such machines"
    return (
        f"{speed.output_tok_s:.0f} tokens/s predicted for {load.concurrency} requests of"
        f" {load.input_tokens} + {load.output_tokens} tokens (first after {speed.ttft_ms:.0f} ms,"
        f" then {speed.tpot_ms:.0f} ms each{measured}); KV cache {tokens} tokens a replica"
    )
