"""`./rackform plan`: what a site will do, before it is bought or changed, on one screen."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from planner.memory import RankMemory
from planner.picture import picture
from planner.power import CircuitState
from planner.proposal import ModelProposal, Proposal
from stack.errors import InputError

_BAR = 20
_REJECTED = 4
_COLORS = {
    "weights": "blue", "activations": "magenta", "buffers": "yellow", "KV cache": "green",
    "free": "bright_black",
}  # fmt: skip
_STATES = {
    CircuitState.OK: "[green]ok[/]",
    CircuitState.OVER_CONTINUOUS: "[yellow]over its continuous limit[/]",
    CircuitState.TRIPS: "[red]trips[/]",
}


def screen(plan: Proposal) -> RenderableType:
    """Return the plan as people read it."""
    parts: list[RenderableType] = [*_head(plan)]
    for model in plan.models.values():
        parts += ["", *_model(model)]
    parts += ["", *_links(plan), *_power(plan), *_money(plan)]
    parts += [f"[yellow]note[/] {escape(each)}" for each in _warnings(plan)]
    return Group(*parts)


def _head(plan: Proposal) -> Iterator[RenderableType]:
    fits = "[green]fits[/]" if plan.fits else "[red]does not fit[/]"
    yield f"[bold]{plan.site}[/]: {fits}; verdict [bold]{plan.verdict}[/]"
    for number, reason in enumerate(plan.reasons, 1):
        yield f"  {number}. {escape(reason)}"


def _model(model: ModelProposal) -> Iterator[RenderableType]:
    what = f" ({model.architecture}, {model.precision})" if model.architecture else ""
    yield f"[bold]{escape(model.served_name)}[/]{what}: {_split(model)}"
    if model.memory_by_rank:
        yield _memory(model)
        named = " + ".join(f"[{_COLORS[name]}]{name}[/]" for name in list(_COLORS)[:-1])
        yield f"  GiB of a GPU: {named}"
    if speed := model.predicted:
        load, within = model.load, speed.interval
        yield (
            f"  [bold]{speed.output_tok_s:,.0f} tokens/s[/] ({_range(within.output_tok_s)}) for"
            f" {load.concurrency} requests at a time of {load.input_tokens:,} +"
            f" {load.output_tokens:,} tokens, {speed.per_user_tok_s:,.0f} each"
        )
        yield (
            f"  first token after {speed.ttft_ms:,.0f} ms ({_range(within.ttft_ms)}), then one"
            f" every {speed.tpot_ms:,.1f} ms ({_range(within.tpot_ms)})"
        )
        yield f"  limited by {_limits(model)}; {_validated(model)}"
        yield (
            f"  KV cache of {model.kv_cache_tokens:,} tokens: {model.max_concurrency} such"
            f" requests, {model.max_concurrency_at_full_length} of full length"
        )
    yield from _others(model)


def _split(model: ModelProposal) -> str:
    if model.tensor_parallel_size is None:
        return "no split"
    layers = "/".join(str(count) for count in model.layers_by_stage)
    text = f"TP{model.tensor_parallel_size} x PP{model.pipeline_parallel_size}"
    text += f", layers {layers}" if model.layers_by_stage and len(layers) < _BAR else ""
    many = f", {model.replicas} replicas" if model.replicas > 1 else ""
    return text + many if model.fits else f"{text} lacks least"


def _memory(model: ModelProposal) -> Table:
    """Return a bar for each run of stages whose ranks hold the same."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column()
    tensor = model.tensor_parallel_size or 1
    ranks = model.memory_by_rank[::tensor]
    for _, same in groupby(ranks, key=lambda rank: (rank.gpu, round(rank.weights_gib, 2))):
        stages = list(same)
        first, last = stages[0], stages[-1]
        which = f"stage {first.stage}" + (f"-{last.stage}" if last is not first else "")
        state = f"[red]{first.shortfall_gib:.1f} short[/]" if first.shortfall_gib else ""
        table.add_row(
            f" {which}",
            f"{tensor * len(stages)} x {first.gpu}",
            _bar(first),
            f"{_numbers(first)} {state}",
        )
    return table


def parts(rank: RankMemory) -> list[tuple[str, float]]:
    """Return what fills a GPU, in GiB; what does not fit is cut off."""
    other = rank.graphs_gib + rank.communication_gib
    given = [
        ("weights", rank.weights_gib), ("activations", rank.activation_gib), ("buffers", other),
        ("KV cache", rank.kv_gib),
    ]  # fmt: skip
    left = rank.capacity_gib
    shown = []
    for name, size in given:
        shown.append((name, min(size, left)))
        left -= min(size, left)
    return [*shown, ("free", left)]


def _bar(rank: RankMemory) -> Text:
    bar = Text()
    filled, drawn = 0.0, 0
    for name, size in parts(rank):
        filled += size
        upto = round(filled / rank.capacity_gib * _BAR)
        bar.append(("░" if name == "free" else "█") * (upto - drawn), style=_COLORS[name])
        drawn = upto
    return bar


def _numbers(rank: RankMemory) -> str:
    other = rank.graphs_gib + rank.communication_gib
    sizes = (rank.weights_gib, rank.activation_gib, other, rank.kv_gib)
    told = " + ".join(
        f"[{color}]{size:.1f}[/]" for color, size in zip(_COLORS.values(), sizes, strict=False)
    )
    return f"{told} of {rank.capacity_gib:.1f}"


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:,.0f} to {high:,.0f}"


def _limits(model: ModelProposal) -> str:
    shares = model.predicted.limits[:3] if model.predicted else ()
    told = ", ".join(f"{each.what} {each.share:.0%}" for each in shares)
    bubble = model.predicted.bubble_share if model.predicted else 0.0
    return told + (f"; stages idle {bubble:.0%} of the time" if bubble else "")


def _validated(model: ModelProposal) -> str:
    if not model.predicted:
        return ""
    known = "validated on" if model.predicted.validated else "[yellow]not validated[/]:"
    return f"{known} {escape(model.predicted.validated_on)}"


def _others(model: ModelProposal) -> Iterator[RenderableType]:
    if model.others:
        table = Table(box=None, padding=(0, 1), show_header=False)
        for other in model.others:
            speed = f"{other.output_tok_s:,.0f} tokens/s"
            table.add_row(" instead", other.split, speed, escape(other.why))
        yield table
    if model.fits and model.others:
        told = len(model.others)
    else:
        by_reason = dict.fromkeys(each.why for each in model.rejected)
        told = 0
        for why in list(by_reason)[:_REJECTED]:
            splits = [each.split for each in model.rejected if each.why == why]
            told += len(splits)
            yield f"  [red]no[/] {_short(splits)}: {escape(why)}"
    if (more := len(model.rejected) - told) > 0:
        yield f"  [dim]{more} more splits looked at: --json tells why each fell out[/]"


def _links(plan: Proposal) -> Iterator[RenderableType]:
    told = dict.fromkeys(line for model in plan.models.values() for line in model.interconnect)
    for line in told:
        yield f"[bold]link[/] {escape(line)}"


def _power(plan: Proposal) -> Iterator[RenderableType]:
    power = plan.power
    yield (
        f"[bold]power[/] {power.idle_w:,.0f} W idle, {power.serving_w:,.0f} W serving,"
        f" {power.full_w:,.0f} W at full load"
        + "".join(f"; {limit.share:.0%} power limit: {_limit(plan, limit.output_tok_s)}"
                  for limit in power.limits[1:])
    )  # fmt: skip
    if power.circuits:
        table = Table("circuit", "nodes", "idle", "serving", "full", "limit", "", box=None)
        for each in power.circuits:
            watts = (each.idle_w, each.serving_w, each.full_w, each.continuous_w)
            table.add_row(
                each.circuit,
                _short(each.nodes),
                *(f"{watt:,.0f} W" for watt in watts),
                f"{each.share:.0%} {_STATES[each.state]}",
            )
        yield table
    for line in power.proposals:
        yield f"  {escape(line)}"


def _limit(plan: Proposal, output_tok_s: float) -> str:
    whole = plan.predicted.output_tok_s if plan.predicted else output_tok_s
    return f"{1 - output_tok_s / whole:.0%} fewer tokens/s"


def _short(names: Iterable[str]) -> str:
    listed = list(names)
    most = 4
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if listed[most:] else "")


def _money(plan: Proposal) -> Iterator[RenderableType]:
    if plan.cost and plan.cost.usd_per_million_tokens:
        low, high = plan.cost.usd_per_million_tokens
        price = " to ".join(dict.fromkeys((f"{low:.2f}", f"{high:.2f}")))
        yield f"[bold]cost[/] {price} USD a million output tokens, {_year(plan)}"


def _year(plan: Proposal) -> str:
    return f"{plan.cost.electricity_usd_a_year:,.0f} USD of electricity a year" if plan.cost else ""


def _warnings(plan: Proposal) -> list[str]:
    return list(dict.fromkeys(line for model in plan.models.values() for line in model.warnings))


def write_picture(plan: Proposal, file: Path) -> None:
    """Write the plan as a picture."""
    try:
        file.write_text(picture(plan), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"--picture = {file}, but it cannot be written ({error.strerror}): name another file"
        ) from None
