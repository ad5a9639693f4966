"""Which model the planner proposes for machines that were found, and what it says of it. Pure."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.architecture import checkpoints
from planner.candidates import split_name
from planner.decide import Decision, decide
from planner.fleet import fleet
from planner.plan import outlook
from planner.power import overloads
from stack.load import SiteError, load_site
from stack.schema import Site

FALLBACK = "hf:meta-llama/Llama-3.1-8B-Instruct"
LEAST_TOK_S = 20
"""For each who asks: about as fast as one reads."""
_WIDTH = 90
_MODEL = "chat"


@dataclass(frozen=True)
class Proposed:
    source: str
    lines: tuple[str, ...]
    """Why this one, and what it will do."""


def proposed(raw: Mapping[str, object], asked: str | None, revision: str) -> Proposed:
    """Return the model to write, and the plan's word on it.

    Args:
        raw: the site without its models.
        asked: the model that somebody chose; None: the planner's own proposal.
        revision: what pins it.

    """
    source = asked or FALLBACK
    model = {"source": source, "revision": revision}
    try:
        site = load_site({**raw, "models": {_MODEL: model}})
    except SiteError:
        return Proposed(source, ())  # what is wrong is told of the whole file
    if asked:
        return Proposed(asked, _wrapped("Chosen by --model.", *_told(site, _decision(site))))
    known = fleet(site).is_known
    best = _largest(site) if known else None
    if best is None:
        return Proposed(source, _wrapped(_nothing(known=known), *_told(site, _decision(site))))
    largest, decision = best
    why = (
        "The planner's proposal: of the models that it knows, the largest that these GPUs serve at"
        f" {LEAST_TOK_S} tokens/s or more to each of {decision.workload.load.concurrency} requests"
        " at a time."
    )
    return Proposed(largest.models[_MODEL].source, _wrapped(why, *_told(largest, decision)))


def _decision(site: Site) -> Decision:
    return decide(site)[1][0]


def _largest(site: Site) -> tuple[Site, Decision] | None:
    for checkpoint in checkpoints():
        model = site.models[_MODEL].model_copy(update={"source": f"hf:{checkpoint}"})
        candidate = site.model_copy(update={"models": {_MODEL: model}})
        decision = _decision(candidate)
        chosen = decision.choice.chosen if decision.choice else None
        if chosen and chosen.prediction.tpot_ms <= 1000 / LEAST_TOK_S:
            return candidate, decision
    return None


def _nothing(*, known: bool) -> str:
    if known:
        return (
            "An example: the planner knows no model that these GPUs serve at"
            f" {LEAST_TOK_S} tokens/s or more to each."
        )
    return "An example: the planner can't propose a model for GPUs that it doesn't know."


def _told(site: Site, decision: Decision) -> Iterator[str]:
    if decision.split and not decision.reasons:
        yield f"{_split(decision)} over {', '.join(decision.nodes)}: {_outlook(decision)}."
    refused = (*decision.reasons, *overloads(site))
    yield from (f"The plan refuses it: {reason}." for reason in refused)
    yield from (f"{warning[0].upper()}{warning[1:]}." for warning in decision.warnings)
    length = site.models[_MODEL].max_model_len
    yield (
        f"A request may have {length} tokens with its answer (max_model_len). './rackform plan"
        f" --stack {site.name}' tells more, and takes another model by --model."
    )


def _split(decision: Decision) -> str:
    split = decision.split
    return split_name(split.tensor, split.pipeline) if split else ""


def _outlook(decision: Decision) -> str:
    return outlook(decision) or "neither memory nor speed is predicted"


def _wrapped(*sentences: str) -> tuple[str, ...]:
    return tuple(line for each in sentences for line in textwrap.wrap(each, _WIDTH))
