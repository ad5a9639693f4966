"""Every panel's query against a Prometheus that scraped the running twin; top; the status page."""

import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cli.access import Access, access
from cli.chat import stream
from cli.prometheus import Prometheus, reached
from monitoring import dashboards, queries
from monitoring.queries import Query
from stack.load import load_site, read_stack
from tests.lab.appliance import STACK, rackform

pytestmark = pytest.mark.twin

LOAD_S = 45
"""Longer than the shortest windows of the queries need with a scrape every 10 s."""
SHOWN_WITHIN_S = 120

BY_EXPRESSION = {query.expr: query for query in queries.every().values()}
PANELS = {
    f"{name}: {panel['title']} {target['refId']}": BY_EXPRESSION[target["expr"]]
    for name, text in dashboards.render().items()
    for panel in json.loads(text)["panels"]
    if panel["type"] != "row"
    for target in panel["targets"]
}


@pytest.fixture(scope="module")
def appliance(report: dict[str, Any]) -> Access:
    return access(report["stack"])


@pytest.fixture(scope="module")
def prometheus(appliance: Access) -> Iterator[Prometheus]:
    """Return the twin's Prometheus, after requests have kept the model at work for a while."""
    ends = time.monotonic() + LOAD_S

    def keep_asking(number: int) -> int:
        asked = 0
        while time.monotonic() < ends:
            assert "".join(stream(appliance, f"Count from {number} to ten.", max_tokens=24))
            asked += 1
        return asked

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert sum(pool.map(keep_asking, range(2))) > 0
    with reached(STACK, load_site(read_stack(STACK))) as found:
        yield found


def _numbers(prometheus: Prometheus, query: Query) -> list[float]:
    return [sample.value for sample in prometheus.ask(query) if sample.value is not None]


@pytest.mark.parametrize("query", PANELS.values(), ids=PANELS.keys())
def test_a_panel_shows_numbers_or_says_why_a_twin_has_none(
    prometheus: Prometheus, query: Query
) -> None:
    if query.no_data_in_twin:
        assert not _numbers(prometheus, query), "it has some now: take the mark away"
        return
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while not (numbers := _numbers(prometheus, query)) and time.monotonic() < deadline:
        time.sleep(5)
    assert numbers, query.expr


@pytest.mark.usefixtures("prometheus")
def test_top_prints_one_object_and_one_screen() -> None:
    done = rackform("top", "--once", "--json")
    assert done.status == 0, done.text
    told = json.loads(done.out)
    site = load_site(read_stack(STACK))
    assert [line["node"] for line in told["nodes"]] == list(site.nodes)
    assert all(line["up"] for line in told["nodes"])
    assert all(line["real_tokens"] for line in told["models"])
    assert len(told["gpus"]) == sum(node.gpu_count for node in site.nodes.values())
    shown = rackform("top", "--once")
    assert shown.status == 0, shown.text
    assert "Models" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


@pytest.mark.usefixtures("prometheus")
def test_the_edge_shows_the_status_page_to_everybody(appliance: Access) -> None:
    where = urlsplit(appliance.outputs.endpoint)
    trust = ssl.create_default_context(cafile=str(appliance.ca_file))
    with httpx.Client(verify=trust, trust_env=False) as client:
        page = client.get(f"https://{where.netloc}/status")
        told = client.get(f"https://{where.netloc}/status/status.json").json()
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in page.text
    parts = {each["name"]: each for each in told["subsystems"]}
    assert {name for name, part in parts.items() if part["works"] is None} == set()
    for name in ("Models", "Hosts", "Ray", "Network", "GPUs"):
        assert parts[name]["works"], parts[name]
