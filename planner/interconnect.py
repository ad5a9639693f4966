"""What a link allows, as a consequence of the predicted tokens a second.

Each split is compared with itself over a link that costs nothing; a tensor group also with one of
its nodes (or cards), given memory enough: where it is no faster than that, it is refused.
"""

from dataclasses import dataclass
from enum import StrEnum

from planner.catalog import Link
from planner.deployment import Deployment, Load
from planner.memory import Layout
from planner.predict import Prediction, simulate

LINEAR_SHARE = 0.75
"""Of the tokens/s that a link without cost would give: from here on a group grows linearly."""
ACCEPTABLE_SHARE = 0.55
"""From here on a tensor group over this link is proposed; below, only if the site fixes it."""
PIPELINE_LOSS = 0.25
"""Of the tokens a second: a pipeline that loses more to its hops is not proposed."""
SLOWEST_GBIT_S = 2.5
"""A network below this carries no replica: weights, restarts and prefill crawl on it as well."""
_ENOUGH_MEMORY_GIB = 1e6
_LONG_PROMPT = 8192
_ELEMENT_BYTES = 2


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
    """Tensor: times the tokens a second of one node or card. Pipeline: the same as `kept`."""
    kept: float
    """Share of the tokens a second that a link without cost would give."""
    text: str


def tensor_rule(
    deployment: Deployment, load: Load, parts: int, inside: Link, what: str = "node"
) -> Consequence:
    """Return what a tensor group over `parts` nodes or cards ("node", "card") gains over one.

    `inside` joins the ranks of that one, which is given memory enough: only speed counts.
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
            "tp_link": inside,
        }
    )
    reached = _tokens_per_s(many, load)
    free = _tokens_per_s(many.model_copy(update={"tp_link": without_cost(many.tp_link)}), load)
    factor = reached / _tokens_per_s(one, load)
    kept = min(1.0, reached / free)
    rule = _tensor_class(factor, kept)
    told = {
        Rule.LINEAR: "it grows as the cards allow",
        Rule.ACCEPTABLE: "acceptable",
        Rule.LOSS: "possible, at that loss",
        Rule.REFUSED: f"refused, since it is no faster than one {what}",
    }
    text = (
        f"TP{tensor} over {parts} {what}s by {link.title} reaches {factor:.2g}x the tokens/s of one"
        f" {what} with memory enough, {1 - kept:.0%} are lost to the link: {told[rule]}"
    )
    return Consequence(link.title, rule, factor, kept, text)


def _tensor_class(factor: float, kept: float) -> Rule:
    if factor <= 1:
        return Rule.REFUSED
    if kept >= LINEAR_SHARE:
        return Rule.LINEAR
    return Rule.ACCEPTABLE if kept >= ACCEPTABLE_SHARE else Rule.LOSS


def _tokens_per_s(deployment: Deployment, load: Load) -> float:
    return simulate(deployment, load).served.tokens_per_s


def without_cost(link: Link) -> Link:
    """Return a link that moves everything at once."""
    return link.model_copy(update={"bandwidth_gb_s": 1e9, "latency_us": 1e-6})


def pipeline_rule(
    deployment: Deployment, load: Load, with_hops: Prediction | None = None
) -> Consequence:
    """Return what the hops between the stages cost.

    `with_hops` is the deployment's prediction for the load, where it is there already.
    """
    link = deployment.pp_link
    without = _tokens_per_s(deployment.model_copy(update={"pp_link": without_cost(link)}), load)
    reached = with_hops.output_tok_s if with_hops else _tokens_per_s(deployment, load)
    factor = min(1.0, reached / without)
    lost = f"{1 - factor:.0%}" if factor < 1 - 0.005 else "under 1 %"
    stages = deployment.layout.pipeline
    text = f"the hops of PP{stages} by {link.title} cost {lost} of the tokens/s"
    if too_slow(link):
        text = f"{text}, and {floor_text(deployment)}"
        return Consequence(link.title, Rule.REFUSED, factor, factor, text)
    if 1 - factor > PIPELINE_LOSS:
        text += f": refused, since more than {PIPELINE_LOSS:.0%} would be lost"
        return Consequence(link.title, Rule.REFUSED, factor, factor, text)
    return Consequence(link.title, Rule.LINEAR, factor, factor, f"{text}: it may cross nodes")


def too_slow(link: Link) -> bool:
    """Whether no replica may span nodes over this link."""
    return link.nominal_gbit_s < SLOWEST_GBIT_S


def floor_text(deployment: Deployment) -> str:
    """Return why a deployment's network is too slow for anything, with what it would take."""
    link = deployment.pp_link if too_slow(deployment.pp_link) else deployment.tp_link
    rate = link.bandwidth_gb_s * 1e9
    weights = deployment.arch.weight_bytes(deployment.precision) / rate / 60
    prompt = 2 * _ELEMENT_BYTES * _LONG_PROMPT * deployment.arch.hidden / rate
    return (
        f"{link.title} is under {SLOWEST_GBIT_S:g} Gbit/s, below which no replica spans nodes:"
        f" the weights take {weights:.0f} minutes to spread, a prompt of {_LONG_PROMPT} tokens"
        f" {prompt:.1f} s a hop"
    )
