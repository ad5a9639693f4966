"""Whether a node that is rebooted has a spare, and what a preview is told of it."""

from pathlib import Path

import pytest

from components.reboots import at_reboot, has_spare
from planner.models import ModelPlan, Plan, Worker
from planner.plan import plan
from stack.load import load_site
from tests.unit.test_reboots import rig


def planned(*gpus: int, tensor: int = 2, pipeline: int = 1, replicas: int = 1) -> Plan:
    workers = tuple(Worker(node=f"w{n}", gpus=count) for n, count in enumerate(gpus, 1))
    model = ModelPlan(
        name="chat",
        served_name="chat",
        tensor=tensor,
        pipeline=pipeline,
        min_replicas=replicas,
        max_replicas=replicas,
        nodes=tuple(worker.node for worker in workers),
    )
    return Plan(
        head="head", workers=workers, models=(model,), expected_nodes=3, expected_gpus=sum(gpus)
    )


@pytest.mark.parametrize(
    ("found", "spare"),
    [
        (planned(2, 2), True),
        (planned(2, 2, replicas=2), False),
        (planned(2, 2, pipeline=2), False),
        (planned(2, 1, 1), False),
        (planned(4, 4, replicas=2), True),
    ],
)
def test_a_node_has_a_spare_where_whole_replicas_have_room_on_the_others(
    found: Plan,
    spare: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    assert has_spare(found, "w1") is spare


def test_the_head_has_no_spare(tmp_path: Path) -> None:
    found = plan(load_site(rig(tmp_path)))
    assert not has_spare(found, "head")


def test_a_preview_is_told_the_order_and_whether_serving_stops(tmp_path: Path) -> None:
    site = load_site(rig(tmp_path))
    order = "one node at a time, in the order w1, w2; "
    assert at_reboot(site, planned(2, 2), "w1") == order + "other nodes serve meanwhile"
    assert at_reboot(site, planned(2, 2, pipeline=2), "w1").endswith(
        "nothing is served until all are back"
    )
    assert at_reboot(site, planned(2, 2), "head") == ""
