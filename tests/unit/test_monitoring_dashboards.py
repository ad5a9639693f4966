"""Dashboards: queries parse, panels say what they show, the committed JSON is the code's."""

import json
import re
from typing import Any

import promql_parser
import pytest

from monitoring import dashboards, queries
from monitoring.dashboards.panels import YES_IS_GOOD, Limits, timeline
from monitoring.grafana import DASHBOARDS, DATASOURCE_UID
from monitoring.queries import Query

QUERIES = queries.every()
RENDERED = dashboards.render()
PANELS: dict[str, Any] = {
    f"{name}: {panel['title']}": panel
    for name, text in RENDERED.items()
    for panel in json.loads(text)["panels"]
    if panel["type"] != "row"
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_is_promql(query: Query) -> None:
    assert promql_parser.parse(query.expr)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_legend_names_only_labels_that_the_expression_keeps(query: Query) -> None:
    named = set(re.findall(r"{{(\w+)}}", query.legend))
    kept = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", query.expr)
        for label in labels.split(",")
    }
    assert named <= kept


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS.keys())
def test_a_panel_has_title_unit_datasource_and_known_queries(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in list(queries.Unit)
    assert panel["datasource"]["uid"] == DATASOURCE_UID
    assert panel["targets"]
    known = {query.expr for query in QUERIES.values()}
    assert {target["expr"] for target in panel["targets"]} <= known


def test_an_mtu_is_shown_by_its_number_and_not_as_8_79_kib() -> None:
    unit = PANELS["interconnect: MTU"]["fieldConfig"]["defaults"]["unit"]
    assert unit == "suffix: bytes"


@pytest.mark.parametrize(
    "title", ["overview: Requests running", "pipeline: Requests in flight a stage"]
)
def test_a_cluster_that_nobody_asks_is_not_red(title: str) -> None:
    steps = PANELS[title]["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    assert not [step for step in steps if step["value"] is None and step["color"] == "red"]


@pytest.mark.parametrize("name", RENDERED)
def test_panels_lie_side_by_side_within_the_grid_and_bear_their_own_numbers(name: str) -> None:
    panels = json.loads(RENDERED[name])["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_query_is_on_some_dashboard() -> None:
    shown = {target["expr"] for panel in PANELS.values() for target in panel["targets"]}
    assert {name for name, query in QUERIES.items() if query.expr not in shown} == set()


def test_the_committed_dashboards_are_those_of_the_code() -> None:
    committed = {path.stem: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert committed == dict(RENDERED), "run 'python -m monitoring.dashboards'"
    assert dashboards.render() == RENDERED


def test_a_panel_takes_queries_of_one_unit_only() -> None:
    with pytest.raises(ValueError, match="the units reqps, short: take those of one"):
        timeline("both", queries.Models.running, queries.Models.finished)


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        (Limits(bad=85, doubtful=80), [(None, "green"), (80, "yellow"), (85, "red")]),
        (Limits(bad=7, doubtful=30, falling=True), [(None, "red"), (7, "yellow"), (30, "green")]),
        (YES_IS_GOOD, [(None, "red"), (1, "green")]),
    ],
)
def test_limits_colour_numbers(limits: Limits, steps: list[tuple[float | None, str]]) -> None:
    assert [(step.value, step.color) for step in limits.steps()] == steps
