"""Whether to build it, to buy one bigger card instead, to use what is there, or to leave it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from planner import catalog
from planner.catalog import Gpu
from planner.decide import Decision
from planner.deployment import Deployment, Load
from planner.fleet import Fleet, Host
from planner.memory import Layout, kv_cache_tokens, memory_by_rank
from planner.power import NodePower, breaker_w, card_power
from planner.predict import Prediction, predict
from planner.remedies import all_free, buyable, first_fit, more_utilization
from planner.workload import Known, Workload
from stack.errors import InputError
from stack.schema import Site

SLOW_NETWORK_GBIT_S = 100
"""Below it a network is an argument against building."""
HOUSEHOLD_W = 4800
"""A circuit of at most this (240 V x 20 A) is one of a home or an office."""
_HALF = 0.5
_HOURS_A_YEAR = 8760
_REASONS = 3


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(StrEnum):
    BUILD = "build"
    BUY_A_BIGGER_GPU = "buy_a_bigger_gpu"
    USE_WHAT_YOU_OWN = "use_what_you_own"
    DO_NOT = "do_not"


class Cost(_Entry):
    """What something costs, low and high, in US dollars."""

    hardware_usd: tuple[float, float] | None = Field(
        description="GPUs that are still to be bought; None: the catalogue has no price"
    )
    usd_per_million_tokens: tuple[float, float] | None = Field(
        description="output tokens: write-off and electricity, at the load for planning.load_share"
    )
    electricity_usd_a_year: float


class OneCard(_Entry):
    """The cheapest single card that holds the model and serves the load."""

    gpu: str
    title: str
    price_usd: tuple[float, float]
    price_date: str
    kv_cache_tokens: int
    output_tok_s: float
    cost: Cost


class Judgement(_Entry):
    verdict: Verdict
    reasons: tuple[str, ...] = Field(description="the strongest first, at most three")
    cost: Cost | None
    one_card: OneCard | None


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made of."""

    site: Site
    fleet: Fleet
    decision: Decision
    refused: tuple[str, ...]
    """Why the site cannot work as declared; empty where it can."""
    nodes: tuple[NodePower, ...]


def judge(evidence: Evidence) -> Judgement:
    """Return the verdict on one model of a site; one card is no answer to several models."""
    cost = _site_cost(evidence)
    alone = evidence.fleet.is_known and len(evidence.site.models) == 1
    card = one_card(evidence.site, evidence.decision) if alone else None
    verdict, reasons = _verdict(evidence, cost, card)
    return Judgement(verdict=verdict, reasons=tuple(reasons)[:_REASONS], cost=cost, one_card=card)


def _verdict(
    evidence: Evidence, cost: Cost | None, card: OneCard | None
) -> tuple[Verdict, list[str]]:
    owned = all(host.owned for host in evidence.fleet.hosts)
    if evidence.refused:
        return _refused(evidence, card, owned=owned)
    if hosted := _hosted(evidence, cost, owned=owned):
        return Verdict.DO_NOT, [hosted]
    enough = "" if owned else _owned_suffice(evidence)
    if owned or enough:
        return Verdict.USE_WHAT_YOU_OWN, [enough or _there(evidence), *_own_reasons(evidence, card)]
    if card:
        return Verdict.BUY_A_BIGGER_GPU, _card_reasons(evidence, card)
    return _to_build(evidence, cost)


def _refused(evidence: Evidence, card: OneCard | None, *, owned: bool) -> tuple[Verdict, list[str]]:
    """One card instead: where the model does not fit, or nothing is bought yet.

    Unless the GPUs that are there hold it, set otherwise.
    """
    if owned and evidence.decision.reasons and (setting := _setting(evidence)):
        return Verdict.USE_WHAT_YOU_OWN, [setting, *evidence.refused]
    if card and (evidence.decision.reasons or not owned):
        return Verdict.BUY_A_BIGGER_GPU, [*_card_reasons(evidence, card), *evidence.refused]
    return Verdict.DO_NOT, list(evidence.refused)


def _setting(evidence: Evidence) -> str:
    """Return the setting with which the GPUs hold the model, or nothing."""
    work, free = evidence.decision.workload, all_free(evidence.fleet)
    if not work.known:
        return ""
    openly = replace(work, declared=None)
    if work.declared and first_fit(openly, work.known, evidence.fleet, free):
        return "with parallelism: auto it fits"
    return more_utilization(openly, work.known, evidence.fleet, free)


def _to_build(evidence: Evidence, cost: Cost | None) -> tuple[Verdict, list[str]]:
    objections = _objections(evidence)
    if len(objections) > 1 and not evidence.site.planning.data_must_stay:
        return Verdict.DO_NOT, [*objections, "the data may go where such machines are"]
    return Verdict.BUILD, _build_reasons(evidence, cost, objections)


def _there(evidence: Evidence) -> str:
    return f"the {_cards(evidence.fleet.hosts)} are there already: there is nothing to buy"


def one_card(site: Site, decision: Decision) -> OneCard | None:
    """Return the cheapest card that alone serves the model's whole load.

    It holds the load's requests, and reaches at least half of the tokens/s of the site's plan.
    """
    work = decision.workload
    if not work.known:
        return None
    load = work.load.model_copy(update={"concurrency": work.load.concurrency * work.replicas})
    chosen = decision.choice.chosen if decision.choice else None
    needed = chosen.prediction.output_tok_s * work.replicas * _HALF if chosen else 0.0
    for gpu in sorted(buyable(), key=lambda gpu: sum(gpu.price_usd or (0, 0))):
        found = _on_one(work, work.known, gpu, load)
        if found and found[0].output_tok_s >= needed:
            prediction, tokens = found
            return _card(site, gpu, prediction, tokens)
    return None


def _on_one(work: Workload, known: Known, gpu: Gpu, load: Load) -> tuple[Prediction, int] | None:
    settings = work.settings.model_copy(
        update={"max_num_seqs": max(work.settings.max_num_seqs, load.concurrency)}
    )
    link = catalog.link(gpu.link)
    layout = Layout(tensor=1, layers_by_stage=(known.arch.layers,))
    memory = memory_by_rank(known.arch, known.precision, layout, (gpu,), settings)
    if not all(rank.fits for rank in memory):
        return None
    deployment = Deployment(
        arch=known.arch, precision=known.precision, layout=layout, gpu_by_stage=(gpu,),
        tp_link=link, pp_link=link, settings=settings,
    )  # fmt: skip
    try:
        prediction = predict(deployment, load)
    except InputError:
        return None
    if prediction.max_concurrency < load.concurrency:
        return None
    return prediction, kv_cache_tokens(memory)


def _card(site: Site, gpu: Gpu, prediction: Prediction, tokens: int) -> OneCard:
    price = gpu.price_usd or (0.0, 0.0)
    power = card_power(gpu)
    return OneCard(
        gpu=gpu.name,
        title=gpu.title,
        price_usd=price,
        price_date=gpu.price_date,
        kv_cache_tokens=tokens,
        output_tok_s=prediction.output_tok_s,
        cost=_cost(site, price, power.serving_w, power.idle_w, prediction.output_tok_s),
    )


def _site_cost(evidence: Evidence) -> Cost | None:
    choice = evidence.decision.choice
    if not (choice and choice.chosen):
        return None
    prices = [
        (host.gpu.price_usd[0] * host.gpus, host.gpu.price_usd[1] * host.gpus)
        if host.gpu and host.gpu.price_usd
        else None
        for host in evidence.fleet.hosts
        if not host.owned
    ]
    known = [price for price in prices if price]
    hardware = (sum(low for low, _ in known), sum(high for _, high in known))
    return _cost(
        evidence.site,
        hardware if len(known) == len(prices) else None,
        sum(node.serving_w for node in evidence.nodes),
        sum(node.idle_w for node in evidence.nodes),
        choice.chosen.prediction.output_tok_s * evidence.decision.workload.replicas,
    )


def _cost(
    site: Site,
    hardware: tuple[float, float] | None,
    serving_w: float,
    idle_w: float,
    output_tok_s: float,
) -> Cost:
    """Return costs a million tokens: (write-off + electricity of a year) / tokens of a year."""
    planning = site.planning
    share = planning.load_share
    kwh = (serving_w * share + idle_w * (1 - share)) * _HOURS_A_YEAR / 1000
    electricity = kwh * planning.electricity_usd_per_kwh
    millions = output_tok_s * share * _HOURS_A_YEAR * 3600 / 1e6
    per_million = None
    if hardware and millions:
        low, high = ((price / planning.years + electricity) / millions for price in hardware)
        per_million = (low, high)
    return Cost(
        hardware_usd=hardware,
        usd_per_million_tokens=per_million,
        electricity_usd_a_year=electricity,
    )


def _hosted(evidence: Evidence, cost: Cost | None, *, owned: bool) -> str:
    """Return why a hosted model is the better buy, or nothing."""
    planning = evidence.site.planning
    price = planning.hosted_usd_per_million_tokens
    if planning.data_must_stay or price is None or not (cost and cost.usd_per_million_tokens):
        return ""
    ours = cost.usd_per_million_tokens[0]
    if ours <= price:
        return ""
    what = "its electricity alone costs" if owned else "it costs"
    return (
        f"{what} at least {ours:.2f} USD a million output tokens at this load, and the same is"
        f" {price:.2f} USD elsewhere, where the data may go"
    )


def _owned_suffice(evidence: Evidence) -> str:
    """Return that the GPUs which are there already hold the model, or nothing."""
    owned = tuple(host for host in evidence.fleet.hosts if host.owned)
    work = evidence.decision.workload
    if not (owned and work.known):
        return ""
    there = replace(evidence.fleet, hosts=owned)
    found = first_fit(replace(work, declared=None), work.known, there, all_free(there))
    cards = _cards(owned)
    return f"the {cards} that are there hold it, as {found.candidate.label}" if found else ""


def _cards(hosts: Sequence[Host]) -> str:
    """Return the GPUs of some hosts, as 4 x rtx-4090."""
    counts: dict[str, int] = {}
    for host in hosts:
        name = host.gpu.name if host.gpu else "GPU"
        counts[name] = counts.get(name, 0) + host.gpus
    return " and ".join(f"{count} x {name}" for name, count in counts.items())


def _own_reasons(evidence: Evidence, card: OneCard | None) -> list[str]:
    reasons = _fits(evidence)
    if not evidence.decision.choice:
        reasons.append("whether it fits is not known: the catalogue lacks the model or a GPU")
    if card and (evidence.fleet.kinds, evidence.fleet.gpus) != ((card.gpu,), 1):
        low, high = card.price_usd
        reasons.append(
            f"one {card.title} would do as well, but costs {low:,.0f} to {high:,.0f} USD"
            f" ({card.price_date})"
        )
    return reasons


def _card_reasons(evidence: Evidence, card: OneCard) -> list[str]:
    low, high = card.price_usd
    reason = (
        f"it fits on one {card.title}, {low:,.0f} to {high:,.0f} USD ({card.price_date}), with room"
        f" for {card.kv_cache_tokens:,} tokens of KV cache and {card.output_tok_s:,.0f} output"
        " tokens/s predicted"
    )
    reasons = [reason]
    new = [host for host in evidence.fleet.hosts if not host.owned]
    if new and evidence.fleet.gpus > 1:
        reasons.append(
            f"none of the {_cards(new)} is there yet, and one card needs no fabric, no tensor group"
            " and no pipeline to keep alive"
        )
    elif new:
        reasons.append("no GPU is there yet, and nothing smaller serves this load")
    return [*reasons, *_objections(evidence)]


def _build_reasons(evidence: Evidence, cost: Cost | None, objections: list[str]) -> list[str]:
    reasons = ["no single card that one can buy holds it and serves this load", *_fits(evidence)]
    if cost and cost.hardware_usd:
        low, high = cost.hardware_usd
        reasons.append(f"its GPUs cost {low:,.0f} to {high:,.0f} USD")
    return [*reasons[:2], *objections, *reasons[2:]]


def _fits(evidence: Evidence) -> list[str]:
    choice = evidence.decision.choice
    if not (choice and choice.chosen):
        return []
    chosen = choice.chosen
    tokens = kv_cache_tokens(chosen.fitted.memory)
    speed = chosen.prediction.output_tok_s * evidence.decision.workload.replicas
    room = f"room for {tokens:,} tokens of KV cache in each replica"
    return [f"it fits as {chosen.candidate.label}, {room}, {speed:,.0f} output tokens/s predicted"]


def _objections(evidence: Evidence) -> list[str]:
    """Return what speaks against a cluster here: a slow network, a household's circuit."""
    found = []
    network = evidence.fleet.network
    if len(evidence.fleet.hosts) > 1 and network.nominal_gbit_s < SLOW_NETWORK_GBIT_S:
        found.append(
            f"the network between the nodes has {network.nominal_gbit_s:g} Gbit/s, and splits over"
            f" nodes want {SLOW_NETWORK_GBIT_S} or more"
        )
    circuits = evidence.site.power.circuits.items()
    small = [name for name, circuit in circuits if breaker_w(circuit) <= HOUSEHOLD_W]
    if small:
        found.append(f"the circuits ({', '.join(small)}) are those of a home or an office")
    return found
