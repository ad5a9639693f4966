"""The watchdog on the running twin: a rank hangs, its workers are restarted, tokens come again."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.lab.appliance import configure, on, rackform, up
from tests.lab.bench import wait_until

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

_METRICS = "/var/lib/rackform/metrics/watchdog.prom"
_FIRING = (
    "curl -sf 'http://10.78.0.11:9090/prometheus/api/v1/query?query="
    "ALERTS%7Balertname%3D%22WatchdogActing%22%2Calertstate%3D%22firing%22%7D'"
)
_CONTAINERS = {"head": "ray-head", "w1": "ray-worker", "w2": "ray-worker"}


@pytest.fixture(scope="module")
def impatient(report: dict[str, Any]) -> Iterator[None]:
    """Let the watchdog bear less silence than a real site's, for the time of these tests."""
    assert report
    configure("watchdog.after_s", "40")
    assert "Paris" in up()["answer"]
    yield
    configure("watchdog.after_s", "120")
    assert "Paris" in up()["answer"]


def started() -> Mapping[str, str]:
    """Return when each of Ray's containers was started last."""
    return {
        node: on(node, f"docker inspect -f '{{{{.State.StartedAt}}}}' {container}").out.strip()
        for node, container in _CONTAINERS.items()
    }


def rung() -> str:
    (line,) = [
        line
        for line in on("head", f"cat {_METRICS}").out.splitlines()
        if line.startswith("rackform_watchdog_rung")
    ]
    return line.split()[1]


@pytest.mark.usefixtures("impatient")
def test_a_rank_that_hangs_has_its_workers_restarted_and_tokens_come_again() -> None:
    wait_until(lambda: rung() == "0", 60, "a watchdog that has seen tokens")
    before = started()
    assert on("w1", "pkill -STOP -f ray::RayWorker").status == 0
    acted = wait_until(lambda: rung() == "1", 180, "the watchdog's order")
    told = wait_until(lambda: "WatchdogActing" in on("head", _FIRING).out, 90, "WatchdogActing")
    wait_until(
        lambda: {node for node, at in started().items() if at != before[node]} == {"w1", "w2"},
        90,
        "both workers restarted, the head not",
    )
    again = wait_until(lambda: rung() == "0", 400, "tokens again")
    cleared = wait_until(lambda: "Watchdog" not in on("head", _FIRING).out, 90, "the alert's end")
    assert started()["head"] == before["head"]
    print(  # noqa: T201 - figures for docs/performance.md
        f"restarted after {acted:.0f} s, alert {told:.0f} s later;"
        f" tokens after {again:.0f} s more, alert's end {cleared:.0f} s later"
    )
    assert "Paris" in rackform("chat", "What is the capital of France?").out
