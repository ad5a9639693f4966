"""How `./rackform top` looks: one column where the terminal is narrow, two where it is wide."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.top_seen import CircuitLine, GpuLine, LinkLine, ModelLine, NodeLine, Top

_WIDE = 150
_GAP = 3
_BAR = 8
_BLOCKS = " ▏▎▍▌▋▊▉█"
_GPU_ROWS = 16
"""With more GPUs than this, each node has one line for all of its own."""
_PEERS = 6
"""With more nodes than this, the worst links are listed in place of a matrix."""
_WORST = 10
_NONE = Text("-", style="dim")
_SEVERITY = {"critical": "bold red", "warning": "yellow"}


def screen(top: Top, width: int, trouble: str = "") -> RenderableType:
    """Return one look for a terminal of this many columns."""
    left = [*_models(top.models), *_gpus(top.gpus)]
    right = [*_nodes(top.nodes), *_circuits(top.circuits), *_links(top.links)]
    head = [_head(top, trouble), *_alerts(top)]
    if width < _WIDE:
        return Group(*head, *left, *right)
    half = (width - _GAP) // 2
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(width=half)
    grid.add_column(width=half)
    grid.add_row(Group(*left), Group(*right))
    return Group(*head, grid)


def _head(top: Top, trouble: str) -> Text:
    firing = len(top.alerts)
    said = f"{firing} alert{'s' if firing > 1 else ''} firing" if firing else "no alert is firing"
    line = Text.assemble(
        (f"{top.site}  ", "bold"),
        (f"{top.at:%H:%M:%S} UTC  ", "dim"),
        (said, "bold red" if firing else "green"),
    )
    if trouble:
        line.append(f"\nnothing newer: {trouble}", style="yellow")
    return line


def _alerts(top: Top) -> Iterator[RenderableType]:
    if not top.alerts:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for alert in top.alerts:
        style = _SEVERITY.get(alert.severity, "cyan")
        minutes = max(0, int((top.at - alert.since).total_seconds() // 60))
        table.add_row(
            Text(alert.alert, style=style),
            Text(f"{minutes} min", style="dim"),
            Text(alert.summary),
        )
    yield table


def _table(*columns: str) -> Table:
    """Return a table: the first column names, the others are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def _titled(title: str, *tables: Table) -> Group:
    return Group("", Text(title, style="bold"), *tables)


def _models(models: Sequence[ModelLine]) -> Iterator[RenderableType]:
    table = _table("model", "tokens", "run", "wait", "tok/s", "KV cache", "stages")
    delays = _table("time", "median", "95 %")
    for line in models:
        table.add_row(
            Text(line.model),
            _yes(line.real_tokens),
            _count(line.running),
            _count(line.waiting, doubtful=1),
            _number(line.tokens_per_s, "{:.1f}"),
            _bar(line.kv_cache, 0.8, 0.95),
            _count(line.stages),
        )
        of = f" of {line.model}" if len(models) > 1 else ""
        delays.add_row(
            f"to first token{of}", _time(line.first_token_p50_s), _time(line.first_token_p95_s)
        )
        delays.add_row(
            f"per output token{of}", _time(line.per_token_p50_s), _time(line.per_token_p95_s)
        )
    yield _titled("Models", table, delays)


def _gpus(gpus: Sequence[GpuLine]) -> Iterator[RenderableType]:
    if not gpus:
        return
    columns = ("at work", "memory", "heat", "power", "clock", "")
    if len(gpus) <= _GPU_ROWS:
        table = _table("GPU", *columns)
        for line in gpus:
            table.add_row(Text(f"{line.node} {line.gpu}"), *_gpu(line))
        yield _titled("GPUs", table)
        return
    table = _table("node", *columns)
    for node in dict.fromkeys(line.node for line in gpus):
        table.add_row(Text(node), *_gpu(_together([line for line in gpus if line.node == node])))
    yield _titled("GPUs by node: mean load, greatest heat, power in all", table)


def _gpu(line: GpuLine) -> Iterator[RenderableType]:
    yield _bar(line.busy)
    yield _bar(line.memory)
    yield _number(line.temperature_c, "{:.0f} °C", doubtful=80, bad=85)
    yield _number(line.power_w, "{:.0f} W")
    yield _number(line.sm_clock_hz and line.sm_clock_hz / 1e6, "{:.0f} MHz")
    said = [
        "slowed by heat" if line.lowered_by_heat else "",
        "slowed by hardware" if line.lowered_by_hardware else "",
        f"Xid {line.xid:.0f}" if line.xid else "",
    ]
    yield Text(", ".join(filter(None, said)), style="red")


def _together(lines: Sequence[GpuLine]) -> GpuLine:
    """Return the line of one node: what is alarming about any of its GPUs is told of it."""

    def known(name: str) -> list[float]:
        return [value for line in lines if (value := getattr(line, name)) is not None]

    def mean(name: str) -> float | None:
        values = known(name)
        return sum(values) / len(values) if values else None

    return GpuLine(
        node=lines[0].node,
        gpu="",
        busy=mean("busy"),
        memory=mean("memory"),
        temperature_c=max(known("temperature_c"), default=None),
        power_w=sum(known("power_w")) if known("power_w") else None,
        sm_clock_hz=mean("sm_clock_hz"),
        lowered_by_heat=any(known("lowered_by_heat")),
        lowered_by_hardware=any(known("lowered_by_hardware")),
        xid=max(known("xid"), default=None),
    )


def _nodes(nodes: Sequence[NodeLine]) -> Iterator[RenderableType]:
    table = _table("node", "up", "Ray", "CPU", "memory", "disk", "in", "out")
    for line in nodes:
        table.add_row(
            Text(line.node),
            _yes(line.up),
            _yes(line.ray) if line.ray is not None else _NONE,
            _share(line.cpu),
            _share(line.memory, 0.9, 0.97),
            _share(line.disk, 0.8, 0.95),
            _bits(line.received_bit_s),
            _bits(line.sent_bit_s),
        )
    yield _titled("Nodes", table)


def _circuits(circuits: Sequence[CircuitLine]) -> Iterator[RenderableType]:
    if not circuits:
        return
    table = _table("circuit", "of its continuous limit", "power", "limit")
    for line in circuits:
        table.add_row(
            Text(line.circuit),
            _bar(line.share, 0.9, 1.0),
            _number(line.power_w, "{:.0f} W"),
            _number(line.limit_w, "{:.0f} W"),
        )
    yield _titled("Circuits", table)


def _links(links: Sequence[LinkLine]) -> Iterator[RenderableType]:
    for network in dict.fromkeys(line.network for line in links):
        chosen = [line for line in links if line.network == network]
        title = f"{network.capitalize()}: median time there and back, loss"
        peers = sorted({line.peer for line in chosen})
        if len(peers) > _PEERS:
            yield _worst(title, chosen)
            continue
        table = _table("from", *(f"to {peer}" for peer in peers))
        cells = {(line.node, line.peer): _link(line) for line in chosen}
        for node in sorted({line.node for line in chosen}):
            table.add_row(
                Text(node),
                *(cells.get((node, peer), _NONE if node != peer else Text("")) for peer in peers),
            )
        yield _titled(title, table)


def _worst(title: str, links: Sequence[LinkLine]) -> Group:
    table = _table("link", "")
    for line in sorted(links, key=_badness, reverse=True)[:_WORST]:
        table.add_row(Text(f"{line.node} to {line.peer}"), _link(line))
    return _titled(f"{title}; the worst {_WORST} of {len(links)}", table)


def _badness(line: LinkLine) -> tuple[float, float, float]:
    return line.loss or 0, line.large_loss or 0, line.latency_p50_s or 0


def _link(line: LinkLine) -> Text:
    text, loss, large_loss = _time(line.latency_p50_s), line.loss or 0, line.large_loss or 0
    if large_loss > 0.5 and loss < 0.3:  # noqa: PLR2004 - as the alert MtuMismatch has it
        return Text.assemble(text, "  ", ("MTU differs", "red"))
    if loss >= 0.005:  # noqa: PLR2004 - half a percent, which is shown as 1%
        return Text.assemble(text, "  ", (f"{loss:.0%} lost", "red"))
    return text


def _number(
    value: float | None, form: str, *, doubtful: float | None = None, bad: float | None = None
) -> Text:
    if value is None:
        return _NONE
    return Text(form.format(value), style=_style(value, doubtful, bad))


def _count(value: float | None, doubtful: float | None = None) -> Text:
    return _number(value, "{:.0f}", doubtful=doubtful)


def _share(value: float | None, doubtful: float | None = None, bad: float | None = None) -> Text:
    return _number(value, "{:.0%}", doubtful=doubtful, bad=bad)


def _bar(value: float | None, doubtful: float | None = None, bad: float | None = None) -> Text:
    if value is None:
        return _NONE
    eighths = round(min(max(value, 0.0), 1.0) * _BAR * 8)
    full, rest = divmod(eighths, 8)
    drawn = ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(_BAR)
    style = _style(value, doubtful, bad) or "cyan"
    return Text.assemble(
        (drawn, f"{style} on grey23"), (f"{value:>5.0%}", _style(value, doubtful, bad))
    )


def _style(value: float, doubtful: float | None, bad: float | None) -> str:
    if bad is not None and value >= bad:
        return "red"
    return "yellow" if doubtful is not None and value >= doubtful else ""


def _yes(value: bool | None) -> Text:  # noqa: FBT001 - a number among numbers
    if value is None:
        return Text("?", style="yellow")
    return Text("yes", style="green") if value else Text("NO", style="bold red")


def _time(seconds: float | None) -> Text:
    if seconds is None:
        return _NONE
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return Text(f"{seconds / size:.3g} {unit}")
    return Text(f"{seconds * 1e6:.0f} µs")


def _bits(value: float | None) -> Text:
    if value is None:
        return _NONE
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s")):
        if value >= size:
            return Text(f"{value / size:.3g} {unit}")
    return Text(f"{value / 1e3:.0f} kbit/s")
