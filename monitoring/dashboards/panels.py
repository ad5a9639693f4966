"""The few kinds of panels that the dashboards are made of: each shows queries of one unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model

from monitoring.grafana import DATASOURCE_UID
from monitoring.queries import Query, Unit

_SOURCE = model.DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)
_NO_ANSWER = "no data"


_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel)


@dataclass(frozen=True)
class Limits:
    """From which value on a number is bad, and from which it is doubtful: upwards or downwards."""

    bad: float
    doubtful: float | None = None
    falling: bool = False
    """Whether low numbers are the bad ones; then both name the least value that is not so."""

    def steps(self) -> list[model.Threshold]:
        middle = [] if self.doubtful is None else [self.doubtful]
        bounds = [None, self.bad, *middle] if self.falling else [None, *middle, self.bad]
        colours = ["green", "yellow", "red"] if middle else ["green", "red"]
        if self.falling:
            colours.reverse()
        return [
            model.Threshold(value=bound, color=colour)
            for bound, colour in zip(bounds, colours, strict=True)
        ]


YES_IS_GOOD = Limits(bad=1, falling=True)
YES_IS_BAD = Limits(bad=1)


def timeline(
    title: str, *queries: Query, span: int = 12, limits: Limits | None = None
) -> timeseries.Panel:
    """Draw queries over time, with a table of last and greatest values."""
    legend = (
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["lastNotNull", "max"])
    )
    panel = (
        _shown(timeseries.Panel(), title, queries, limits)
        .height(8)
        .span(span)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
        .line_width(1)
        .fill_opacity(10)
        .show_points(looks.VisibilityMode.NEVER)
        .min(0)
    )
    if limits:
        dashed = looks.GraphThresholdsStyleMode.DASHED
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(dashed))
    return panel.max(1) if queries[0].unit is Unit.RATIO else panel


def number(title: str, query: Query, span: int = 4, limits: Limits | None = None) -> stat.Panel:
    """Show each series' last value, coloured by its limits."""
    return (
        _shown(stat.Panel(), title, [query], limits)
        .height(4)
        .span(span)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(looks.BigValueColorMode.BACKGROUND if limits else looks.BigValueColorMode.NONE)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
    )


def bars(title: str, query: Query, limits: Limits, span: int = 12) -> bargauge.Panel:
    """Show shares of a whole as bars."""
    return (
        _shown(bargauge.Panel(), title, [query], limits)
        .height(8)
        .span(span)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(looks.VizOrientation.HORIZONTAL)
        .min(0)
        .max(1)
    )


def states(title: str, query: Query, limits: Limits, span: int = 12) -> statetimeline.Panel:
    """Show when each series was yes and when no."""
    return (
        _shown(statetimeline.Panel(), title, [query], limits)
        .height(8)
        .span(span)
        .show_value(looks.VisibilityMode.NEVER)
        .fill_opacity(80)
    )


def board(
    name: str,
    title: str,
    description: str,
    rows: Sequence[tuple[str, Sequence[builder.Builder[model.Panel]]]],
) -> model.Dashboard:
    """Return a dashboard: rows of panels, numbered from above, with links to its siblings."""
    siblings = (
        dashboard.DashboardLink("Rackform")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["rackform"])
        .as_dropdown(as_dropdown=True)
        .keep_time(keep_time=True)
    )
    made = (
        dashboard.Dashboard(title)
        .uid(f"rackform-{name}")
        .description(description)
        .tags(["rackform"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(siblings)
    )
    for row, panels in rows:
        made = made.with_row(dashboard.Row(row))
        for panel in panels:
            made = made.with_panel(panel)
    built = made.build()
    for index, placed in enumerate(built.panels or [], start=1):
        placed.id_val = index
    return built


def _shown(panel: _Panel, title: str, queries: Sequence[Query], limits: Limits | None) -> _Panel:
    units = {query.unit for query in queries}
    if len(units) != 1:
        told = ", ".join(sorted(units))
        raise ValueError(f"panel {title}: its queries have the units {told}: take those of one")
    panel.title(title).unit(queries[0].unit).datasource(_SOURCE).no_value(_NO_ANSWER)
    if notes := " ".join(query.note for query in queries if query.note):
        panel.description(notes)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .expr(query.expr)
            .legend_format(query.legend)
            .datasource(_SOURCE)
            .range()
        )
    if limits:
        panel.thresholds(dashboard.ThresholdsConfig().steps(limits.steps()))
    return panel
