"""What a link allows, as a consequence of the predicted tokens a second.

Tensor groups: what several nodes (or cards) reach together, against one of them with memory
enough. Pipelines: what is lost to the hops, against hops that cost nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from planner.catalog import Link
from planner.deployment import Deployment, Load
from planner.memory import Layout
from planner.predict import Prediction, predict

LINEAR_SHARE = 0.8
"""Of n times one: from here on a tensor group counts as linear."""
ACCEPTABLE_SHARE = 0.6
PIPELINE_LOSS = 0.25
"""Of the tokens a second: a pipeline that loses more to its hops is not proposed."""
SLOWEST_GBIT_S = 2.5
"""A network below this carries no replica: weights, restarts and prefill crawl on it as well."""
_ENOUGH_MEMORY_GIB = 1e6


class Rule(StrEnum):
    """How well a link carries a split."""

    LINEAR = "linear"
    ACCEPTABLE = "acceptable"
    LOSS = "at a loss"
    REFUSED = "refused"


@dataclass(frozen=True)
class Consequence:
    """A link, the split over it, and what comes of it; `text` tells it with the numbers."""

    link: str
    rule: Rule
    factor: float
    """Tensor: times the tokens a second of one. Pipeline: share of those without hops."""
    text: str


def tensor_rule(deployment: Deployment, load: Load, parts: int, what: str) -> Consequence:
    """Return what a tensor group over `parts` nodes or cards ("node", "card") gains over one.

    The one it is compared with is given memory enough, so that only speed counts.
    """
    tensor, link = deployment.layout.tensor, deployment.tp_link
    unlimited = tuple(
        gpu.model_copy(update={"memory_gib": _ENOUGH_MEMORY_GIB}) for gpu in deployment.gpu_by_stage
    )
    many = deployment.model_copy(update={"gpu_by_stage": unlimited})
    layout = deployment.layout
    one = many.model_copy(
        update={
            "layout": Layout(tensor=tensor // parts, layers_by_stage=layout.layers_by_stage),
        }
    )
    factor = predict(many, load).output_tok_s / predict(one, load).output_tok_s
    rule = _tensor_class(factor, parts)
    told = {
        Rule.LINEAR: "as good as linear",
        Rule.ACCEPTABLE: f"acceptable, {1 - factor / parts:.0%} of {parts}x are lost",
        Rule.LOSS: f"at a loss of {1 - factor / parts:.0%} of {parts}x",
        Rule.REFUSED: f"refused, since it is no faster than one {what}",
    }
    where = f"{parts} {what}s" if parts > 1 else f"1 {what}"
    text = (
        f"TP{tensor} over {where} by {link.title} reaches {factor:.2g}x the tokens/s of one"
        f" {what} with memory enough: {told[rule]}"
    )
    return Consequence(link.title, rule, factor, text)


def _tensor_class(factor: float, parts: int) -> Rule:
    if factor <= 1:
        return Rule.REFUSED
    share = factor / parts
    if share >= LINEAR_SHARE:
        return Rule.LINEAR
    return Rule.ACCEPTABLE if share >= ACCEPTABLE_SHARE else Rule.LOSS


def pipeline_rule(deployment: Deployment, load: Load, with_hops: Prediction) -> Consequence:
    """Return what the hops between the stages cost; `with_hops` is the deployment's prediction."""
    link = deployment.pp_link
    free = link.model_copy(update={"bandwidth_gb_s": 1e9, "latency_us": 1e-6})
    without = predict(deployment.model_copy(update={"pp_link": free}), load)
    factor = min(1.0, with_hops.output_tok_s / without.output_tok_s)
    lost = f"{1 - factor:.0%}" if factor < 1 - 0.005 else "under 1 %"
    stages = deployment.layout.pipeline
    text = f"the hops of PP{stages} by {link.title} cost {lost} of the tokens/s"
    if too_slow(link):
        return Consequence(link.title, Rule.REFUSED, factor, f"{text}, and {floor_text(link)}")
    if 1 - factor > PIPELINE_LOSS:
        text += f": refused, since more than {PIPELINE_LOSS:.0%} would be lost"
        return Consequence(link.title, Rule.REFUSED, factor, text)
    rule = Rule.LINEAR if 1 - factor < 1 - LINEAR_SHARE else Rule.LOSS
    return Consequence(link.title, rule, factor, f"{text}: it may cross nodes")


def too_slow(link: Link) -> bool:
    """Whether no replica may span nodes over this link."""
    return link.nominal_gbit_s < SLOWEST_GBIT_S


def floor_text(link: Link) -> str:
    """Return why a link is too slow for anything."""
    return (
        f"{link.title} is under {SLOWEST_GBIT_S:g} Gbit/s, below which no replica spans nodes:"
        " weights, restarts and prompts crawl on it"
    )
