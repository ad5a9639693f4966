"""How a model is split: what fits, what is refused and why, and what wins."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import catalog
from planner.architecture import architecture
from planner.layers import even, partition
from planner.memory import EngineSettings, Layout, memory_by_rank
from planner.plan import PlanError, plan
from stack.load import load_site, read_stack
from tests.unit.planned_sites import (
    LLAMA_8B,
    LLAMA_70B_AWQ,
    LLAMA_70B_FP8,
    LLAMA_405B_AWQ,
    proposed,
    rack,
)


def test_the_guides_layout_of_405b_on_eight_24_gb_cards_is_refused_with_the_arithmetic() -> None:
    refused = proposed(rack(4, 2, "rtx-4090", LLAMA_405B_AWQ))
    assert not refused.fits
    text = "\n".join(refused.reasons)
    assert "202 GiB of weights, and 8 x rtx-4090 may use 169 GiB" in text
    assert "even as TP2 x PP4, which lacks least" in text
    assert "RTX A6000 (48 GB)" in text
    assert max(refused.memory_gib_by_rank) > 23.5


def test_405b_fits_on_eight_48_gb_cards() -> None:
    fitting = proposed(rack(4, 2, "rtx-6000-ada", LLAMA_405B_AWQ, load={"concurrency": 16}))
    assert fitting.fits
    assert (fitting.tensor_parallel_size, fitting.pipeline_parallel_size) == (2, 4)
    assert sum(fitting.layers_by_stage) == 126
    assert len(fitting.memory_gib_by_rank) == 8
    assert all(need < 47.5 * 0.9 for need in fitting.memory_gib_by_rank)


def test_the_plan_keeps_tensor_ranks_in_a_node_and_stages_across_nodes() -> None:
    raw = read_stack("homelab-4x2")
    assert isinstance(raw, dict)
    assert raw["models"]["chat"]["parallelism"] == "auto"
    (model,) = plan(load_site(raw)).models
    assert (model.tensor, model.pipeline) == (2, 4)
    assert model.layers_by_stage == (20, 20, 20, 20)


def test_a_host_that_holds_the_model_gets_no_pipeline() -> None:
    raw = read_stack("datacenter")
    assert isinstance(raw, dict)
    (model,) = plan(load_site(raw)).models
    assert (model.tensor, model.pipeline) == (8, 1)
    assert model.nodes == ("h1", "h2", "h3", "h4")


def test_each_split_that_fell_out_says_why() -> None:
    found = proposed(rack(4, 2, "rtx-4090", LLAMA_70B_AWQ))
    why = {each.split: each.why for each in found.rejected}
    assert " GiB short" in why["TP1 x PP1"]
    assert "tokens/s" in why["TP1 x PP4"]
    assert len(why) == len(found.rejected)


def test_ranks_that_do_not_divide_the_heads_are_refused() -> None:
    found = proposed(rack(1, 3, "h200", LLAMA_70B_FP8))
    why = {each.split: each.why for each in found.rejected}
    assert why["TP3"] == "3 ranks do not divide the 64 attention heads"


def test_ranks_that_cannot_share_the_kv_heads_or_the_width_are_refused() -> None:
    scout = proposed(rack(1, 8, "h100-sxm", "hf:org/Llama-4-Scout-17B-16E-Instruct"))
    why = {each.split: each.why for each in scout.rejected}
    assert why["TP5"] == "5 ranks can't share the 8 KV heads evenly"
    small = proposed(rack(1, 16, "rtx-4090", "hf:org/gpt-oss-20b", load={"concurrency": 1}))
    assert small.fits
    assert "TP7" in {each.split for each in small.rejected}


def test_qwens_own_4_bit_checkpoints_are_padded_for_tensor_ranks() -> None:
    found = proposed(rack(1, 4, "rtx-4090", "hf:Qwen/Qwen2.5-72B-Instruct-AWQ"))
    assert found.fits
    assert found.tensor_parallel_size == 4


def test_a_pipeline_that_gains_next_to_nothing_over_one_card_is_not_chosen() -> None:
    found = proposed(rack(4, 2, "rtx-4090", "hf:org/SmolLM2-135M-Instruct", max_model_len=2048))
    assert (found.tensor_parallel_size, found.pipeline_parallel_size) == (1, 1)
    (gained, *_) = [each for each in found.rejected if "more tokens/s with" in each.why]
    assert "more GPUs" in gained.why


def test_ranks_that_would_cut_a_quantisation_group_are_refused() -> None:
    found = proposed(rack(1, 8, "rtx-4090", "hf:org/Qwen2.5-72B-Instruct-int4"))
    why = {each.split: each.why for each in found.rejected}
    assert "inside the groups of 128 weights" in why["TP8"]


def test_groups_that_ray_would_tear_apart_are_refused() -> None:
    site = rack(2, 3, "rtx-4090", LLAMA_70B_AWQ, parallelism={"tensor": 2, "pipeline": 2})
    with pytest.raises(PlanError, match="would tear a group apart"):
        plan(load_site(site))


def test_different_gpus_are_never_in_one_tensor_group() -> None:
    site = rack(2, 1, "rtx-4090", LLAMA_8B)
    site["nodes"]["n1"]["gpus"]["model"] = "rtx-3090"
    found = proposed({**site, "models": {"chat": {**site["models"]["chat"]}}})
    assert all(len(stage.nodes) == 1 for stage in found.stages)
    assert found.tensor_parallel_size == 1


def test_unequal_cards_in_one_pipeline_get_layers_by_memory_and_speed() -> None:
    arch, precision = architecture(LLAMA_70B_AWQ)
    large, small = catalog.gpu("rtx-6000-ada"), catalog.gpu("rtx-4090")
    engine = EngineSettings(max_model_len=8192)
    layers = partition(arch, precision, 1, (large, small), engine)
    assert sum(layers) == 80
    assert layers[0] > layers[1] > 0
    layout = Layout(tensor=1, layers_by_stage=layers)
    assert all(r.fits for r in memory_by_rank(arch, precision, layout, (large, small), engine))


@given(st.integers(1, 130), st.integers(1, 64))
@settings(max_examples=40)
def test_vllms_partition_deals_all_layers_and_none_gets_two_more_than_another(
    layers: int, stages: int
) -> None:
    dealt = even(layers, stages)
    assert sum(dealt) == layers
    assert max(dealt) - min(dealt) <= 1
    assert dealt[-1] == min(dealt)


@given(st.integers(1, 8), st.lists(st.sampled_from(["rtx-4090", "h200", "l4"]), min_size=1))
@settings(max_examples=20)
def test_every_stage_has_layers_and_no_layer_is_lost(tensor: int, names: list[str]) -> None:
    arch, precision = architecture(LLAMA_70B_AWQ)
    gpus = tuple(catalog.gpu(name) for name in names[:16])
    layers = partition(arch, precision, tensor, gpus, EngineSettings())
    assert sum(layers) == arch.layers
    assert len(layers) == len(gpus)
    assert min(layers) > 0


@given(st.sampled_from(["rtx-4090", "l40s"]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]))
@settings(max_examples=6)
def test_a_rank_never_needs_more_where_there_are_more_ranks(
    gpu: str, tensor: int, pipeline: int
) -> None:
    def most(ranks: int, stages: int) -> float:
        arch, precision = architecture(LLAMA_70B_AWQ)
        layout = Layout(tensor=ranks, layers_by_stage=even(arch.layers, stages))
        gpus = (catalog.gpu(gpu),) * stages
        memory = memory_by_rank(arch, precision, layout, gpus, EngineSettings())
        return max(rank.weights_gib for rank in memory)

    assert most(2 * tensor, pipeline) <= most(tensor, pipeline)
    assert most(tensor, 2 * pipeline) <= most(tensor, pipeline)


@pytest.mark.parametrize(("slow", "fast"), [(10, 25), (25, 100), (100, 200), (200, 400)])
def test_tokens_a_second_never_fall_with_a_faster_link(slow: float, fast: float) -> None:
    speeds = []
    for gbit_s in (slow, fast):
        found = proposed(rack(2, 2, "rtx-4090", LLAMA_70B_AWQ, network=(gbit_s, "roce")))
        assert found.predicted
        speeds.append(found.predicted.output_tok_s)
    assert speeds[0] <= speeds[1]


def test_replicas_find_room_at_once_or_the_plan_is_refused() -> None:
    site = rack(2, 2, "rtx-4090", LLAMA_8B, replicas={"max": 2})
    (model,) = plan(load_site(site)).models
    assert model.ranks * 2 <= 4
    crowded = rack(2, 2, "rtx-4090", LLAMA_70B_AWQ, replicas={"max": 2})
    with pytest.raises(PlanError, match=r"models\.chat"):
        plan(load_site(crowded))


def test_two_known_models_share_the_gpus() -> None:
    site = rack(4, 2, "rtx-4090", LLAMA_8B, parallelism={"tensor": 2})
    second = copy.deepcopy(site["models"]["chat"])
    site["models"]["big"] = {**second, "source": LLAMA_70B_AWQ, "parallelism": "auto"}
    small, big = plan(load_site(site)).models
    assert not set(small.nodes) & set(big.nodes)


def test_a_declared_split_is_kept_and_compared_with_the_best() -> None:
    split = {"tensor": 1, "pipeline": 8}
    found = proposed(rack(4, 2, "rtx-4090", LLAMA_70B_AWQ, parallelism=split))
    assert (found.tensor_parallel_size, found.pipeline_parallel_size) == (1, 8)
    assert "but the site fixes TP1 x PP8" in found.others[0].why


def test_a_model_that_the_catalogue_does_not_know_is_counted_and_told() -> None:
    found = proposed(rack(2, 2, "rtx-4090", "hf:org/nobody-knows-this"))
    assert found.fits
    assert found.predicted is None
    assert any("found by counting GPUs" in warning for warning in found.warnings)


def test_what_would_make_it_fit_is_tried_and_told() -> None:
    site = rack(1, 1, "rtx-4090", LLAMA_8B, max_model_len=131072)
    refused = proposed(site)
    assert not refused.fits
    assert any("max_model_len: 32768 would make it fit" in reason for reason in refused.reasons)
    assert proposed(rack(1, 1, "rtx-4090", LLAMA_8B, max_model_len=32768)).fits
