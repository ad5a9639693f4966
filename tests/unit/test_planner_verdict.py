"""Build, buy one bigger card, use what is there, or leave it."""

from planner.verdict import Verdict
from tests.unit.planned_sites import (
    LLAMA_8B,
    LLAMA_70B_AWQ,
    LLAMA_70B_FP8,
    LLAMA_405B_AWQ,
    not_owned,
    on_circuit,
    proposed,
    rack,
)


def test_one_h200_for_70b_is_bought_by_somebody_who_owns_nothing() -> None:
    found = proposed(not_owned(rack(1, 1, "h200", LLAMA_70B_FP8)))
    assert found.fits
    assert found.verdict is Verdict.BUY_A_BIGGER_GPU
    assert "H200" in found.reasons[0]


def test_one_card_is_the_better_buy_than_four_small_ones() -> None:
    found = proposed(not_owned(rack(1, 4, "rtx-4090", LLAMA_70B_FP8)))
    assert found.verdict is Verdict.BUY_A_BIGGER_GPU
    assert found.one_card
    assert found.one_card.gpu == "rtx-pro-6000"


def test_four_cards_that_are_there_are_used() -> None:
    for nodes, gpus in ((1, 4), (2, 2)):
        found = proposed(rack(nodes, gpus, "rtx-4090", LLAMA_70B_FP8))
        assert found.fits
        assert found.verdict is Verdict.USE_WHAT_YOU_OWN
        assert found.reasons[0].startswith("the 4 x rtx-4090 are there already")


def test_owned_cards_that_suffice_are_used_though_more_were_to_be_bought() -> None:
    site = rack(2, 2, "rtx-6000-ada", LLAMA_70B_AWQ)
    site["nodes"]["n1"]["gpus"]["owned"] = False
    found = proposed(site)
    assert found.verdict is Verdict.USE_WHAT_YOU_OWN
    assert found.reasons[0].startswith("the 2 x rtx-6000-ada that are there hold it")


def test_what_no_card_holds_is_built() -> None:
    found = proposed(not_owned(rack(4, 2, "rtx-6000-ada", LLAMA_405B_AWQ)))
    assert found.verdict is Verdict.BUILD
    assert found.cost
    assert found.cost.hardware_usd == (8 * 5000, 8 * 7500)


def test_what_cannot_work_and_fits_on_no_card_is_left() -> None:
    found = proposed(rack(4, 2, "rtx-4090", LLAMA_405B_AWQ))
    assert found.verdict is Verdict.DO_NOT
    assert not found.fits


def test_what_does_not_fit_and_would_on_one_card_is_answered_with_that_card() -> None:
    found = proposed(rack(1, 1, "rtx-4090", LLAMA_70B_AWQ))
    assert not found.fits
    assert found.verdict is Verdict.BUY_A_BIGGER_GPU


def test_cards_that_hold_it_with_another_setting_are_used() -> None:
    low = proposed(rack(1, 1, "rtx-4090", LLAMA_8B, gpu_memory_utilization=0.3))
    assert not low.fits
    assert low.verdict is Verdict.USE_WHAT_YOU_OWN
    assert "gpu_memory_utilization: 0.95 would make it fit" in low.reasons
    odd = rack(1, 4, "rtx-4090", LLAMA_70B_AWQ, parallelism={"tensor": 3})
    assert proposed(odd).verdict is Verdict.USE_WHAT_YOU_OWN
    assert "with parallelism: auto it fits" in proposed(odd).reasons


def test_the_card_that_is_there_is_not_told_to_do_as_well_as_itself() -> None:
    found = proposed(rack(1, 1, "rtx-3090", LLAMA_8B, max_model_len=2048))
    assert found.fits
    assert not any("would do as well" in reason for reason in found.reasons)


def test_a_card_that_is_in_no_catalogue_is_not_said_to_hold_the_model() -> None:
    found = proposed(rack(2, 2, "voodoo-3", LLAMA_8B))
    assert "whether it fits is not known" in found.reasons[1]


def test_a_slow_network_and_a_homes_circuit_speak_against_building() -> None:
    site = not_owned(rack(4, 2, "rtx-6000-ada", LLAMA_405B_AWQ, network=(25, "none")))
    home = on_circuit(site, volts=240, amps=20)
    assert proposed(home).verdict is Verdict.BUILD
    assert any("25 Gbit/s" in reason for reason in proposed(home).reasons)
    may_go = {**home, "planning": {"data_must_stay": False}}
    assert proposed(may_go).verdict is Verdict.DO_NOT


def test_a_hosted_model_wins_only_where_the_data_may_go() -> None:
    site = not_owned(rack(4, 2, "rtx-6000-ada", LLAMA_405B_AWQ))
    price: dict[str, object] = {"hosted_usd_per_million_tokens": 0.5}
    assert proposed({**site, "planning": price}).verdict is Verdict.BUILD
    away = proposed({**site, "planning": {**price, "data_must_stay": False}})
    assert away.verdict is Verdict.DO_NOT
    assert "0.50 USD elsewhere" in away.reasons[0]


def test_no_more_than_three_reasons_are_given_for_what_works() -> None:
    for site in (rack(1, 4, "rtx-4090", LLAMA_70B_FP8), rack(4, 2, "rtx-4090", LLAMA_70B_AWQ)):
        assert 1 <= len(proposed(site).reasons) <= 3
