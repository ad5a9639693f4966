"""The plan's part on electricity: circuits, power limits and what they cost, UPS."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from planner.decide import Decision
from planner.deployment import Load
from planner.limits import power_limited
from planner.power import (
    CircuitPower,
    CircuitState,
    NodePower,
    circuits_power,
    fitting_limit,
    nodes_power,
    remedies,
)
from planner.predict import simulate
from planner.splits import Scored
from stack.schema import Site

_LIMITS = (1.0, 0.8, 0.6)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PowerLimit(_Entry):
    """Every GPU limited to a share of its board power, and what is left of the tokens/s."""

    share: float
    full_w: float = Field(description="of all nodes at the wall")
    output_tok_s: float


class PowerProposal(_Entry):
    nodes: tuple[NodePower, ...]
    circuits: tuple[CircuitPower, ...]
    idle_w: float
    serving_w: float
    full_w: float
    limits: tuple[PowerLimit, ...]
    proposals: tuple[str, ...]


def power_proposal(site: Site, nodes: tuple[NodePower, ...], front: Decision) -> PowerProposal:
    """Return what the nodes draw, what the circuits carry, and what could be done about it."""
    circuits = circuits_power(site, nodes)
    chosen = front.choice.chosen if front.choice else None
    return PowerProposal(
        nodes=nodes,
        circuits=circuits,
        idle_w=sum(each.idle_w for each in nodes),
        serving_w=sum(each.serving_w for each in nodes),
        full_w=sum(each.full_w for each in nodes),
        limits=_limits(site, chosen, front.workload.load) if chosen else (),
        proposals=tuple(_proposals(site, circuits, chosen, front.workload.load)),
    )


def _limits(site: Site, chosen: Scored, load: Load) -> tuple[PowerLimit, ...]:
    return tuple(
        PowerLimit(
            share=share,
            full_w=sum(each.full_w for each in nodes_power(_limited(site, share), {})),
            output_tok_s=(
                chosen.prediction.output_tok_s
                if share == 1
                else _limited_speed(chosen, load, share)
            ),
        )
        for share in _LIMITS
    )


def _limited(site: Site, share: float) -> Site:
    """Return the site with every GPU that the catalogue knows limited to a share of its power."""
    draws = {each.node: each.gpu_limit_w for each in nodes_power(site, {})}
    nodes = {
        name: node.model_copy(
            update={
                "gpus": node.gpus.model_copy(update={"power_limit_w": int(draws[name] * share)})
            }
        )
        if node.gpus and draws[name]
        else node
        for name, node in site.nodes.items()
    }
    return site.model_copy(update={"nodes": nodes})


def _limited_speed(chosen: Scored, load: Load, share: float) -> float:
    """Return the tokens/s with every GPU limited to a share of its power."""
    deployment = chosen.fitted.deployment
    gpus = tuple(power_limited(gpu, gpu.board_power_w * share) for gpu in deployment.gpu_by_stage)
    limited = deployment.model_copy(update={"gpu_by_stage": gpus})
    return simulate(limited, load).served.tokens_per_s


def _proposals(
    site: Site, circuits: tuple[CircuitPower, ...], chosen: Scored | None, load: Load
) -> Iterator[str]:
    for each in circuits:
        if each.state is not CircuitState.OK:
            yield f"{each.text}: {'; or '.join(remedies(site, each, nodes_power(site, {})))}"
            limit = fitting_limit(site, each)
            if limit and chosen:
                board = max(gpu.board_power_w for gpu in chosen.candidate.gpu_by_stage)
                left = _limited_speed(chosen, load, min(1.0, limit / board))
                lost = 1 - left / chosen.prediction.output_tok_s
                yield f"limiting GPUs to {limit} W costs about {max(0.0, lost):.0%} of the tokens/s"
        if each.ups_minutes is not None:
            lasts = f"lasts {each.ups_minutes:.0f} minutes" if each.ups_minutes else "is overloaded"
            yield f"the UPS of circuit {each.circuit} {lasts} at full load"
    sizes = [
        f"{each.circuit} {each.ups_watts:,.0f} W and {each.ups_watt_hours:,.0f} Wh"
        for each in circuits
        if each.nodes
    ]
    if sizes:
        yield f"UPS for {site.power.ups_minutes:g} minutes at full load: {', '.join(sizes)}"
    unknown = [each.node for each in nodes_power(site, {}) if not each.known]
    if circuits and unknown:
        yield f"what the GPUs of {', '.join(unknown)} draw is unknown: they are in no sum"
    unplaced = [name for name, node in site.nodes.items() if not node.circuit]
    if circuits and unplaced:
        yield f"no circuit is given for {', '.join(unplaced)}: their load is in no sum"
