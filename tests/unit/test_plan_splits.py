"""What a plan decides, keeps and refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan import PlanError, plan
from stack.load import load_site
from tests.unit.site_examples import COMMIT, example

SPLIT = "models.chat.parallelism"


def test_an_open_split_fills_each_worker_and_crosses_all_of_them() -> None:
    planned = plan(load_site(example()))
    (model,) = planned.models
    assert (model.tensor, model.pipeline, model.ranks) == (2, 2, 4)
    assert (planned.expected_nodes, planned.expected_gpus) == (3, 4)
    assert model.nodes == ("w1", "w2")


def test_a_declared_split_is_kept() -> None:
    (model,) = plan(load_site(example({SPLIT: {"tensor": 1, "pipeline": 2}}))).models
    assert (model.tensor, model.pipeline) == (1, 2)
    assert model.nodes == ("w1",)


def test_an_open_split_takes_only_ranks_that_divide_the_padded_heads() -> None:
    gpus = {f"nodes.{name}.gpus.count": 8 for name in ("w1", "w2")}
    (model,) = plan(load_site(example({**gpus, "models.chat.pad_heads_to": 12}))).models
    assert model.tensor == 6


def test_an_open_split_leaves_room_for_all_replicas() -> None:
    (model,) = plan(load_site(example({"models.chat.replicas.max": 2}))).models
    assert (model.tensor, model.pipeline) == (2, 1)


def test_a_head_that_is_a_worker_too_counts_once() -> None:
    changes = {"nodes.head.roles": ["head", "worker"], "nodes.head.gpus.count": 2}
    planned = plan(load_site(example(changes)))
    assert planned.expected_nodes == 3
    assert [worker.node for worker in planned.workers] == ["head", "w1", "w2"]


def test_a_head_of_its_own_counts_as_a_node_without_gpus() -> None:
    planned = plan(load_site(example()))
    assert planned.head not in {worker.node for worker in planned.workers}
    assert planned.expected_nodes == len(planned.workers) + 1


def test_groups_that_find_no_room_in_a_node_are_refused_with_what_is_left() -> None:
    changes = {
        "nodes.w1.gpus.count": 3,
        "nodes.w2.gpus.count": 3,
        SPLIT: {"tensor": 2, "pipeline": 3},
    }
    with pytest.raises(PlanError) as refused:
        plan(load_site(example(changes)))
    (reason,) = refused.value.reasons
    assert reason == (
        "models.chat needs 3 groups of 2 GPUs, each inside one node, but after 2 of them the GPUs"
        " left are w1 1, w2 1: lower its split or replicas.max, or add GPUs"
    )


def test_two_models_that_fit_only_one_by_one_are_refused() -> None:
    second = {"source": "hf:org/second", "revision": COMMIT}
    with pytest.raises(PlanError, match=r"models\.second needs"):
        plan(load_site(example({"models.second": second})))


def test_two_models_share_the_workers_where_both_fit() -> None:
    second = {"source": "hf:org/second", "revision": COMMIT, "parallelism": {"tensor": 2}}
    planned = plan(load_site(example({SPLIT: {"tensor": 2}, "models.second": second})))
    assert [model.nodes for model in planned.models] == [("w1",), ("w2",)]


def test_a_site_without_workers_is_refused() -> None:
    changes = {f"nodes.{name}.roles": ["worker"] for name in ("w1", "w2")}
    site = load_site(example(changes))
    bare = site.model_copy(update={"nodes": {"head": site.nodes["head"]}})
    with pytest.raises(PlanError, match="no node is a worker"):
        plan(bare)


def test_the_summary_tells_the_split_in_a_line() -> None:
    assert plan(load_site(example())).summary().splitlines() == [
        "head head; workers w1 (2 GPUs), w2 (2 GPUs)",
        "chat: tensor 2 x pipeline 2, 1 replica, 4 GPUs each",
    ]


@given(
    st.integers(1, 16),
    st.integers(1, 16),
    st.one_of(st.none(), st.integers(1, 128)),
    st.integers(1, 4),
)
@settings(max_examples=100)
def test_an_open_split_never_asks_for_more_than_there_is(
    first: int, second: int, heads: int | None, replicas: int
) -> None:
    changes: dict[str, object] = {
        "nodes.w1.gpus.count": first,
        "nodes.w2.gpus.count": second,
        "models.chat.replicas.max": replicas,
    }
    if heads:
        changes["models.chat.pad_heads_to"] = heads
    if replicas > first + second:
        return
    site = load_site(example(changes))
    try:
        planned = plan(site)
    except PlanError:
        return
    (model,) = planned.models
    assert model.tensor <= min(first, second)
    assert model.ranks * replicas <= planned.expected_gpus == first + second
    assert not heads or heads % model.tensor == 0
