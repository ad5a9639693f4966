"""What nodes draw and circuits carry; what trips, and what helps."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import catalog
from planner.limits import power_limited
from planner.plan import PlanError, plan
from planner.power import Activity, CircuitState, circuits_power, nodes_power, overloads
from stack.load import load_site
from stack.schema import Site
from tests.unit.planned_sites import LLAMA_8B, LLAMA_70B_AWQ, on_circuit, proposed, rack


def circuit_of(site: Site) -> CircuitState:
    (circuit,) = circuits_power(site, nodes_power(site, {}))
    return circuit.state


def test_three_kilowatts_on_fifteen_amperes_at_120_volts_are_refused() -> None:
    site = on_circuit(rack(1, 6, "rtx-4090", LLAMA_70B_AWQ), volts=120, amps=15)
    refused = proposed(site)
    assert not refused.fits
    (circuit,) = refused.power.circuits
    assert circuit.full_w > 3000
    assert (circuit.breaker_w, circuit.continuous_w) == (1800, 1440)
    assert circuit.state is CircuitState.TRIPS
    assert "15 A x 120 V = 1800 W" in refused.reasons[0]
    with pytest.raises(PlanError, match="it trips within the hour"):
        plan(load_site(site))


def test_exactly_three_kilowatts_are_167_percent_of_that_breaker() -> None:
    site = on_circuit(rack(1, 1, "l4", LLAMA_8B), volts=120, amps=15)
    site["nodes"]["n0"]["host_power_w"] = round(3000 * 0.9 - 72)
    (text,) = overloads(load_site(site))
    assert "carries up to 3000 W, 167% of its breaker" in text


@pytest.mark.parametrize(
    ("power", "state"),
    [
        ({"region": "north-america"}, CircuitState.OVER_CONTINUOUS),
        ({"region": "elsewhere"}, CircuitState.OK),
    ],
)
def test_the_continuous_limit_is_a_matter_of_the_region(
    power: dict[str, object], state: CircuitState
) -> None:
    site = on_circuit(rack(1, 4, "rtx-4090", LLAMA_70B_AWQ), volts=230, amps=10)
    site["power"] |= power
    assert circuit_of(load_site(site)) is state


def test_a_circuit_may_have_a_share_of_its_own() -> None:
    site = on_circuit(
        rack(1, 4, "rtx-4090", LLAMA_70B_AWQ), volts=230, amps=10, continuous_share=1.0
    )
    assert circuit_of(load_site(site)) is CircuitState.OK


def test_three_phases_carry_the_root_of_three_more() -> None:
    site = on_circuit(rack(1, 1, "l4", LLAMA_8B), volts=400, amps=16, three_phase=True)
    (circuit,) = proposed(site).power.circuits
    assert circuit.breaker_w == pytest.approx(400 * 16 * math.sqrt(3))


def test_a_power_limit_that_mends_a_circuit_is_proposed_with_its_cost() -> None:
    site = on_circuit(rack(1, 4, "rtx-4090", LLAMA_70B_AWQ), volts=120, amps=20)
    refused = proposed(site)
    text = " ".join(refused.power.proposals)
    assert "limit each of its GPUs to" in text
    assert "% of the tokens/s" in text
    limit = int(text.split("GPUs to ")[1].split(" W")[0])
    site["nodes"]["n0"]["gpus"]["power_limit_w"] = limit
    assert proposed(site).fits
    site["nodes"]["n0"]["gpus"]["power_limit_w"] = limit + 20
    assert not proposed(site).fits


NVIDIA = {"driver_version": "580.159.04", "packages": {"nvidia-open": "580.159.04-1"}}


def test_the_power_limit_of_all_gpus_holds_where_a_node_gives_none() -> None:
    site = on_circuit(rack(2, 1, "rtx-4090", LLAMA_8B), volts=240, amps=30)
    unlimited = proposed(site)
    site["nvidia"] = NVIDIA | {"power_limit_w": 300}
    limited = proposed(site)
    assert [node.gpu_limit_w for node in unlimited.power.nodes] == [450, 450]
    assert [node.gpu_limit_w for node in limited.power.nodes] == [300, 300]
    assert limited.power.circuits[0].full_w < unlimited.power.circuits[0].full_w
    before, after = unlimited.predicted, limited.predicted
    assert before
    assert after
    assert after.output_tok_s < before.output_tok_s
    site["nodes"]["n1"]["gpus"]["power_limit_w"] = 400
    assert [node.gpu_limit_w for node in proposed(site).power.nodes] == [300, 400]


def test_a_power_limit_of_all_gpus_mends_a_circuit() -> None:
    site = on_circuit(rack(1, 4, "rtx-4090", LLAMA_70B_AWQ), volts=120, amps=20)
    assert not proposed(site).fits
    site["nvidia"] = NVIDIA | {"power_limit_w": 300}
    assert proposed(site).fits


def test_a_power_limit_above_the_board_power_changes_nothing() -> None:
    site = rack(1, 2, "rtx-4090", LLAMA_70B_AWQ)
    before = proposed(site)
    site["nvidia"] = NVIDIA | {"power_limit_w": 600}
    assert proposed(site) == before


def test_a_node_that_another_circuit_could_carry_is_proposed_to_move() -> None:
    site = on_circuit(rack(2, 2, "rtx-4090", LLAMA_70B_AWQ), volts=240, amps=10)
    site["power"]["circuits"]["b"] = {"volts": 240, "amps": 10}
    (text,) = overloads(load_site(site))
    assert "move n0 to circuit b" in text
    site["nodes"]["n0"]["circuit"] = "b"
    assert overloads(load_site(site)) == ()


def test_a_ups_is_sized_and_a_declared_one_is_measured() -> None:
    ups = {"watts": 3000, "watt_hours": 500}
    site = on_circuit(rack(1, 2, "rtx-4090", LLAMA_8B), volts=240, amps=20, ups=ups)
    (circuit,) = proposed(site).power.circuits
    assert circuit.ups_watts == pytest.approx(circuit.full_w * 1.25)
    assert circuit.ups_minutes == pytest.approx(500 * 0.9 / circuit.full_w * 60)
    ups["watts"] = 500
    (circuit,) = proposed(site).power.circuits
    assert circuit.ups_minutes == 0


def test_a_node_on_no_circuit_is_told_where_there_are_circuits() -> None:
    site = on_circuit(rack(2, 1, "rtx-4090", LLAMA_8B), volts=240, amps=20)
    del site["nodes"]["n1"]["circuit"]
    assert "no circuit is given for n1: their load is in no sum" in proposed(site).power.proposals


@given(st.sampled_from(sorted(catalog.gpus())), st.integers(1, 16), st.integers(50, 800))
@settings(max_examples=40)
def test_idle_is_at_most_serving_is_at_most_full(gpu: str, count: int, host: int) -> None:
    site = rack(1, count, gpu, LLAMA_8B)
    site["nodes"]["n0"]["host_power_w"] = host
    (node,) = nodes_power(load_site(site), {"n0": Activity(busy=0.7, compute=0.4)})
    assert 0 < node.idle_w <= node.serving_w <= node.full_w


@given(st.sampled_from(sorted(catalog.gpus())), st.integers(50, 1500), st.integers(1, 400))
@settings(max_examples=40)
def test_a_higher_power_limit_is_never_slower(name: str, limit: int, more: int) -> None:
    gpu = catalog.gpu(name)
    low, high = power_limited(gpu, limit), power_limited(gpu, limit + more)
    assert 0 < low.memory_bandwidth_gb_s <= high.memory_bandwidth_gb_s <= gpu.memory_bandwidth_gb_s
    for kind, rate in gpu.dense_tflops.items():
        assert 0 < low.dense_tflops[kind] <= high.dense_tflops[kind] <= rate
