"""The gate before serving on the running twin: a link that loses jumbo frames is refused.

The tests share one appliance and tell one story, in the order of the file: the model is taken away
as before a reboot, a link is broken where no declaration reaches, refused, and mended.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from cli import steps
from cli.access import access
from remote import boot
from serving import ray_serve
from serving.ray_node import DASHBOARD_PORT
from stack.expectations import Expectations
from stack.steps import Drain, Step
from tests.lab.appliance import configure, on, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

LOSE_JUMBO_FRAMES = """nft -f - <<'NFT'
table inet broken {
  chain in {
    type filter hook input priority 0;
    iifname "fab0" meta length > 1500 drop
  }
}
NFT"""


@pytest.fixture
def expected(report: dict[str, Any]) -> Expectations:
    return access(report["stack"]).outputs.expectations


@pytest.fixture(scope="module", autouse=True)
def mended(report: dict[str, Any]) -> Iterator[None]:
    """Leave the appliance as it was, however the tests end."""
    assert report
    yield
    on("w2", "nft delete table inet broken")
    configure("fabric.mtu_bytes", "9000")
    assert "Paris" in up()["answer"]


def served(expected: Expectations) -> list[str]:
    head = expected.hosts[expected.head].connection
    with ray_serve.dashboard(head, DASHBOARD_PORT, expected.ray_token) as api:
        return list(api.applications().applications)


def test_the_drain_of_a_node_without_a_spare_takes_the_model_away(expected: Expectations) -> None:
    host = expected.hosts["w1"]
    order = Drain(
        node=host.connection,
        ends_boot=boot.boot_id(host.connection),
        container="ray-worker",
        fabric_address=host.fabric_address,
        head=expected.hosts[expected.head].connection,
        dashboard_port=DASHBOARD_PORT,
        ray_token=expected.ray_token,
        spare=False,
        requests_end_s=60,
    )
    assert served(expected) == ["llm"]
    told = steps.run(Step.DRAIN, order.model_dump_json())
    assert told.startswith("nothing is served until w1 is back")
    assert served(expected) == []
    assert "nothing is served" in steps.run(Step.DRAIN, order.model_dump_json())


def test_a_link_that_loses_jumbo_frames_is_refused_with_its_pair_and_nothing_is_served(
    expected: Expectations,
) -> None:
    assert on("w2", LOSE_JUMBO_FRAMES).status == 0
    configure("fabric.mtu_bytes", "8000")
    done = rackform("up")
    assert done.status == 1
    assert "w1 and w2: packets of 8000 bytes don't get from w1 to w2" in done.err
    assert "Traceback" not in done.text
    assert served(expected) == []


def test_after_the_repair_the_next_up_serves(expected: Expectations) -> None:
    assert on("w2", "nft delete table inet broken").status == 0
    assert "Paris" in up()["answer"]
    assert served(expected) == ["llm"]
