"""The report: one page with the verdict on top, tables and plots below. HTML without any script."""

from collections.abc import Iterator, Sequence
from html import escape
from math import log2, log10

from commission.judge import FAULTS, floor_gbit_s, nccl_floor_gb_s
from commission.model import Baseline, Collective, NcclResult, Verdict

_LOW = ' class="low"'
_WIDTH, _HEIGHT, _MARGIN = 640, 280, 48
_COLOURS = ("#1b6ca8", "#c2571a", "#2f855a", "#7b3f98", "#8a6d1a")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #ccc}.low{color:#b00020;font-weight:600}"
    ".fit{background:#e6f4ea}.unfit{background:#fdecea}header{padding:1rem;border-radius:.5rem}"
)


def html(measured: Baseline, found: Verdict) -> str:
    title = f"{measured.site}: {'fit for service' if found.fit else 'not fit for service'}"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f'<header class="{"fit" if found.fit else "unfit"}"><h1>{escape(title)}</h1>',
            f"<p>Measured at {escape(measured.measured_at)}.</p>",
            *_reasons(found),
            "</header>",
            *_soak(measured),
            *_links(measured),
            *_nccl(measured),
            *(f"<p>Not measured: {escape(each)}.</p>" for each in measured.skipped),
            "</body></html>",
        ]
    )


def _reasons(found: Verdict) -> Iterator[str]:
    if found.reasons:
        yield "<h2>To mend, the first first</h2><ol>"
        yield from (f"<li>{escape(reason)}</li>" for reason in found.reasons)
        yield "</ol>"


def _soak(measured: Baseline) -> Iterator[str]:
    if measured.soak:
        yield "<h2>GPUs at full load</h2><table><tr><th>GPU</th><th>with</th><th>TFLOP/s</th>"
        yield "<th>its slowest second</th><th>hottest, °C</th><th>most, W</th>"
        yield "<th>clock, MHz</th><th>held down by</th></tr>"
    for each in measured.soak:
        hot = each.hottest_c is not None and each.hottest_c >= measured.gpu_temperature_c
        bad = bool(FAULTS & set(each.reasons))
        yield (
            f"<tr><td>{escape(each.node)} {each.gpu}</td>"
            f"<td>{'all others' if each.together else 'none'}</td>"
            f"<td>{f'{each.work.tflop_s:.0f}' if each.work else 'ended early'}</td>"
            f"<td>{f'{each.work.lowest_tflop_s:.0f}' if each.work else ''}</td>"
            f"<td{_LOW if hot else ''}>{_or_empty(each.hottest_c)}</td>"
            f"<td>{_or_empty(each.most_w)}</td><td>{_or_empty(each.clock_mhz)}</td>"
            f"<td{_LOW if bad else ''}>{escape(', '.join(each.reasons))}</td></tr>"
        )
    if measured.soak:
        yield "</table>"
    for load in measured.circuits:
        low = _LOW if load.most_w > load.limit_w else ""
        yield (
            f"<p>Circuit {escape(load.circuit)} ({escape(', '.join(load.nodes))}): at most "
            f"<span{low}>{load.most_w:.0f} W</span> of {load.limit_w:.0f} W.</p>"
        )


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _links(measured: Baseline) -> Iterator[str]:
    if not measured.links:
        return
    yield "<h2>Links</h2><table><tr><th>from</th><th>to</th><th>by</th><th>Gbit/s</th>"
    yield "<th>floor</th><th>sent again</th></tr>"
    for link in measured.links:
        floor = floor_gbit_s(link.tool, measured.gbit_s)
        low = ' class="low"' if link.gbit_s < floor else ""
        cells = (escape(link.sender), escape(link.receiver + link.over), link.tool.value)
        yield (
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells)
            + f"<td{low}>{link.gbit_s:.1f}</td><td>{floor:.1f}</td><td>{link.retransmits}</td></tr>"
        )  # fmt: skip
    yield "</table>"


def _nccl(measured: Baseline) -> Iterator[str]:
    if not measured.nccl:
        return
    floor = nccl_floor_gb_s(measured.gbit_s, rdma=measured.rdma)
    yield "<h2>NCCL all-reduce, by message size</h2>"
    yield plot(measured.nccl)
    yield f"<p>Across nodes the floor is {floor:.1f} GB/s.</p>"
    yield "<table><tr><th>nodes</th><th>ranks</th><th>NCCL</th><th>best, GB/s</th></tr>"
    for run in measured.nccl:
        low = ' class="low"' if len(run.nodes) > 1 and run.best_gb_s < floor else ""
        yield (
            f"<tr><td>{escape(', '.join(run.nodes))}</td><td>{run.ranks}</td>"
            f"<td>{escape(run.nccl)}</td><td{low}>{run.best_gb_s:.1f}</td></tr>"
        )
    yield "</table>"


def plot(runs: Sequence[NcclResult]) -> str:
    """Return bus bandwidth over message size, both logarithmic, as SVG."""
    series = [
        [
            (point.size_bytes, point.busbw_gb_s)
            for point in run.points
            if point.collective is Collective.ALL_REDUCE and point.busbw_gb_s > 0
        ]
        for run in runs
    ]
    every = [point for line in series for point in line]
    if not every:
        return "<p>Nothing to plot: one rank has nobody to talk to.</p>"
    sizes, rates = [log2(x) for x, _ in every], [log10(y) for _, y in every]
    span_x = (max(sizes) - min(sizes)) or 1.0
    span_y = (max(rates) - min(rates)) or 1.0

    def at(size: int, rate: float) -> str:
        x = _MARGIN + (log2(size) - min(sizes)) / span_x * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - (log10(rate) - min(rates)) / span_y * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="bandwidth by size">']
    for number, (run, line) in enumerate(zip(runs, series, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(at(*point) for point in line)
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
        )
        label = escape(", ".join(run.nodes))
        parts.append(f'<text x="{_MARGIN}" y="{16 * (number + 1)}" fill="{colour}">{label}</text>')
    low, high = min(every), max(every)
    parts.append(f'<text x="{_MARGIN}" y="{_HEIGHT - 12}">{_size(low[0])}</text>')
    edge = f'x="{_WIDTH - _MARGIN}" text-anchor="end"'
    parts.append(f'<text {edge} y="{_HEIGHT - 12}">{_size(high[0])}</text>')
    parts.append(f'<text {edge} y="16">{max(y for _, y in every):.1f} GB/s</text>')
    return "".join([*parts, "</svg>"])


def _size(size_bytes: int) -> str:
    return f"{size_bytes >> 20} MiB" if size_bytes >= 1 << 20 else f"{size_bytes >> 10} KiB"
