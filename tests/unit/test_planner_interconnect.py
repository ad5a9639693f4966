"""What links allow, as a consequence of predicted tokens a second."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import catalog
from planner.architecture import architecture
from planner.deployment import Deployment, Load
from planner.interconnect import Consequence, Rule, pipeline_rule, tensor_rule
from planner.memory import Layout
from tests.unit.planned_sites import LLAMA_70B_AWQ, proposed, rack

LOAD = Load(concurrency=16, input_tokens=1024, output_tokens=256, waves=2)


def over_two_nodes(link: str) -> Consequence:
    """Two RTX 4090 a node, and 70B in four bits over both nodes as one tensor group."""
    arch, precision = architecture(LLAMA_70B_AWQ)
    network = catalog.link(link)
    deployment = Deployment(
        arch=arch, precision=precision, layout=Layout(tensor=4, layers_by_stage=(arch.layers,)),
        gpu_by_stage=(catalog.gpu("rtx-4090"),), tp_link=network, pp_link=network,
    )  # fmt: skip
    return tensor_rule(deployment, LOAD, 2, catalog.link("pcie4-x16"))


def stages_over(link: str) -> Consequence:
    arch, precision = architecture(LLAMA_70B_AWQ)
    deployment = Deployment(
        arch=arch, precision=precision, layout=Layout(tensor=2, layers_by_stage=(40, 40)),
        gpu_by_stage=(catalog.gpu("rtx-4090"),) * 2,
        tp_link=catalog.link("pcie4-x16"), pp_link=catalog.link(link),
    )  # fmt: skip
    return pipeline_rule(deployment, LOAD)


@pytest.mark.parametrize(
    ("link", "rule"),
    [
        ("nvlink4", Rule.LINEAR),
        ("infiniband-400", Rule.ACCEPTABLE),
        ("roce-100", Rule.LOSS),
        ("ethernet-10", Rule.REFUSED),
        ("ethernet-1", Rule.REFUSED),
    ],
)
def test_a_tensor_group_over_nodes_is_as_good_as_its_link(link: str, rule: Rule) -> None:
    found = over_two_nodes(link)
    assert found.rule is rule, found.text
    assert f"{found.factor:.2g}x the tokens/s of one node" in found.text


@pytest.mark.parametrize("link", ["infiniband-400", "roce-100", "ethernet-100", "ethernet-10"])
def test_a_pipeline_crosses_nodes_by_ten_gigabit_and_more(link: str) -> None:
    assert stages_over(link).rule is Rule.LINEAR


def test_one_gigabit_is_refused_with_what_it_would_take() -> None:
    found = stages_over("ethernet-1")
    assert found.rule is Rule.REFUSED
    assert "the weights take 6 minutes to spread" in found.text
    assert "2.3 s a hop" in found.text


def test_a_site_that_would_have_to_span_nodes_over_one_gigabit_is_refused() -> None:
    refused = proposed(rack(4, 1, "rtx-4090", LLAMA_70B_AWQ, network=(1, "none")))
    assert not refused.fits
    assert any("under 2.5 Gbit/s" in reason for reason in refused.reasons)


def test_a_group_over_nodes_by_ten_gigabit_falls_out_with_the_numbers() -> None:
    found = proposed(rack(4, 2, "rtx-4090", LLAMA_70B_AWQ, network=(10, "none")))
    why = {each.split: each.why for each in found.rejected}
    assert "refused, since it is no faster than one node" in why["TP4 x PP1"]
    assert found.tensor_parallel_size in (1, 2)


def test_a_group_may_span_nodes_by_infiniband() -> None:
    found = proposed(rack(4, 1, "rtx-4090", LLAMA_70B_AWQ, network=(400, "infiniband")))
    assert found.fits
    assert any("nodes by NDR" in line and "acceptable" in line for line in found.interconnect)


@given(st.floats(1, 400), st.floats(1.01, 8))
@settings(max_examples=8)
def test_a_faster_network_never_keeps_less(gbit_s: float, times: float) -> None:
    arch, precision = architecture(LLAMA_70B_AWQ)
    gpu = catalog.gpu("rtx-4090")
    kept = []
    slow = catalog.link("ethernet-100")
    for rate in (gbit_s / 10, gbit_s / 10 * times):
        link = slow.model_copy(update={"bandwidth_gb_s": rate})
        deployment = Deployment(
            arch=arch, precision=precision, layout=Layout(tensor=4, layers_by_stage=(80,)),
            gpu_by_stage=(gpu,), tp_link=link, pp_link=link,
        )  # fmt: skip
        load = LOAD.model_copy(update={"concurrency": 4, "waves": 1})
        kept.append(tensor_rule(deployment, load, 2, catalog.link("pcie4-x16")).kept)
    assert kept[0] <= kept[1]
