"""The plan as a picture (SVG): nodes, GPUs with their layers, links with their load, circuits."""

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from planner.memory import RankMemory
from planner.power import CircuitPower, CircuitState
from planner.proposal import ModelProposal, Proposal

_MARGIN = 24
_NODE_W, _GPU_H, _HEAD_H, _GAP = 230, 54, 44, 20
_MOST_COLUMNS = 8
_LEAST_W = 560
_SWITCH_H = 34
_CIRCUIT_H = 26
_STAGE_COLORS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d")
_STATE_COLORS = {
    CircuitState.OK: "#54a24b",
    CircuitState.OVER_CONTINUOUS: "#f2a900",
    CircuitState.TRIPS: "#d62728",
}


class _Slot(NamedTuple):
    """One GPU of the picture: what it holds, or None where it is idle."""

    model: ModelProposal | None
    memory: RankMemory | None
    text: str


def picture(plan: Proposal) -> str:
    """Return the plan as an SVG document."""
    slots = _slots(plan)
    columns = min(_MOST_COLUMNS, max(1, len(slots)))
    tallest = max((len(each) for each in slots.values()), default=0)
    row = _HEAD_H + tallest * _GPU_H + _GAP + 16
    rows = -(-len(slots) // columns)
    width = max(_LEAST_W, 2 * _MARGIN + columns * (_NODE_W + _GAP) - _GAP)
    top = _MARGIN + 58
    circuits = top + _SWITCH_H + _GAP + rows * row
    height = circuits + (len(plan.power.circuits) + 1) * (_CIRCUIT_H + 6) + _MARGIN
    body = [
        *_title(plan),
        *_switch(plan, top, width),
        *_nodes(plan, slots, columns, top + _SWITCH_H + _GAP, row),
        *_circuits(plan, circuits, width),
    ]
    size = f'width="{width}" height="{height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"'
    first = f'{svg} font-family="sans-serif" font-size="12">'
    return "\n".join([first, f'<rect {size} fill="#ffffff"/>', *body, "</svg>", ""])


def _slots(plan: Proposal) -> dict[str, list[_Slot]]:
    """Return node → its GPUs, with the ranks of every model's replicas put onto them."""
    slots: dict[str, list[_Slot]] = {name: [] for name in plan.gpus_by_node}
    for model in plan.models.values():
        for stage in model.stages if model.fits else ():
            tensor = model.tensor_parallel_size or 1
            memory = model.memory_by_rank[stage.stage * tensor]
            last = stage.first_layer + stage.layers - 1
            text = f"{model.served_name} stage {stage.stage}: layers {stage.first_layer}-{last}"
            for node in stage.nodes:
                each = tensor // len(stage.nodes)
                slots[node] += [_Slot(model, memory, text)] * each
    for node, count in plan.gpus_by_node.items():
        free = count - len(slots[node])
        more = any(node in model.nodes and model.replicas > 1 for model in plan.models.values())
        slots[node] += [_Slot(None, None, "another replica" if more else "idle")] * free
    return slots


def _text(x: float, y: float, text: str, **style: str) -> str:
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:g}" y="{y:g}"{given}>{escape(text)}</text>'


class _Area(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def _box(area: _Area, fill: str, stroke: str = "none") -> str:
    return (
        f'<rect x="{area.x:.1f}" y="{area.y:.1f}" width="{max(0.0, area.width):.1f}"'
        f' height="{area.height:g}" rx="4" fill="{fill}" stroke="{stroke}"/>'
    )


def _title(plan: Proposal) -> Iterator[str]:
    state = "fits" if plan.fits else "does not fit"
    yield _text(_MARGIN, _MARGIN + 12, f"{plan.site}: {state}, {plan.verdict}", font_size="18")
    told = []
    for model in plan.models.values():
        split = f"TP{model.tensor_parallel_size} x PP{model.pipeline_parallel_size}"
        speed = f", {model.predicted.output_tok_s:,.0f} tokens/s" if model.predicted else ""
        many = f", {model.replicas} replicas" if model.replicas > 1 else ""
        told.append(f"{model.served_name} {split}{many}{speed}")
    yield _text(_MARGIN, _MARGIN + 34, "; ".join(told), fill="#555555")


def _switch(plan: Proposal, top: float, width: float) -> Iterator[str]:
    yield _box(_Area(_MARGIN, top, width - 2 * _MARGIN, _SWITCH_H), "#e8e8ee", "#888888")
    yield _text(_MARGIN + 10, top + 22, f"fabric: {plan.network}{_link_load(plan)}")


def _link_load(plan: Proposal) -> str:
    return "".join(f"; {load}" for load in plan.link_loads)


def _nodes(
    plan: Proposal, slots: dict[str, list[_Slot]], columns: int, top: float, row: float
) -> Iterator[str]:
    for index, (node, gpus) in enumerate(slots.items()):
        x = _MARGIN + index % columns * (_NODE_W + _GAP)
        y = top + index // columns * row
        height = _HEAD_H + len(gpus) * _GPU_H
        wire = "#555555" if any(slot.model for slot in gpus) else "#bbbbbb"
        if index < columns:
            middle = x + _NODE_W / 2
            yield (
                f'<line x1="{middle:g}" y1="{top - _GAP:g}" x2="{middle:g}" y2="{y:g}"'
                f' stroke="{wire}" stroke-width="2"/>'
            )
        yield _box(_Area(x, y, _NODE_W, height), "#fafafa", "#888888")
        yield _text(x + 10, y + 18, f"{node}: {_cards(gpus)}", font_weight="bold")
        yield _text(x + 10, y + 34, _draw(plan, node), fill="#555555", font_size="11")
        for place, slot in enumerate(gpus):
            yield from _gpu(slot, x + 8, y + _HEAD_H + place * _GPU_H)


def _cards(gpus: list[_Slot]) -> str:
    """Return a node's GPUs; the model is that of the ranks on it, where there are any."""
    kind = next((slot.memory.gpu for slot in gpus if slot.memory), "GPU")
    return f"{len(gpus)} x {kind}"


def _draw(plan: Proposal, node: str) -> str:
    power = next(each for each in plan.power.nodes if each.node == node)
    circuit = f", circuit {power.circuit}" if power.circuit else ""
    return f"{power.serving_w:,.0f} W serving, {power.full_w:,.0f} W full{circuit}"


def _gpu(slot: _Slot, x: float, y: float) -> Iterator[str]:
    width = _NODE_W - 16
    yield _box(_Area(x, y, width, _GPU_H - 6), "#eeeeee", "#bbbbbb")
    if rank := slot.memory:
        color = _STAGE_COLORS[rank.stage % len(_STAGE_COLORS)]
        weights = min(1.0, rank.weights_gib / rank.capacity_gib)
        cache = min(1 - weights, rank.kv_gib / rank.capacity_gib)
        yield _box(_Area(x + 4, y + 35, (width - 8) * weights, 9), color)
        start = x + 4 + (width - 8) * (1 - cache)
        yield _box(_Area(start, y + 35, (width - 8) * cache, 9), "#b7dfb0")
        sizes = f"weights {rank.weights_gib:.1f}, KV cache {rank.kv_gib:.1f} GiB"
        yield _text(x + 4, y + 29, f"{sizes} of {rank.capacity_gib:.0f}", font_size="10")
    yield _text(x + 4, y + 16, _cut(slot.text), font_size="11")


def _cut(text: str, most: int = 36) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _circuits(plan: Proposal, top: float, width: float) -> Iterator[str]:
    if plan.power.circuits:
        yield _text(_MARGIN, top + 12, "circuits: full load of the continuous limit")
    for index, circuit in enumerate(plan.power.circuits):
        y = top + 22 + index * (_CIRCUIT_H + 6)
        yield from _circuit(circuit, y, width - 2 * _MARGIN)


def _circuit(circuit: CircuitPower, y: float, width: float) -> Iterator[str]:
    yield _box(_Area(_MARGIN, y, width, _CIRCUIT_H), "#f4f4f4", "#bbbbbb")
    share = min(1.0, circuit.share)
    yield _box(_Area(_MARGIN, y, width * share, _CIRCUIT_H), _STATE_COLORS[circuit.state])
    told = (
        f"{circuit.circuit} ({', '.join(circuit.nodes[:6])}): {circuit.full_w:,.0f} of"
        f" {circuit.continuous_w:,.0f} W, {circuit.state}"
    )
    yield _text(_MARGIN + 8, y + 17, told)
