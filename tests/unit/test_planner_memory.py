"""What ranks hold, against what vLLM reported and against arithmetic."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.architecture import Architecture, Precision, architecture, model_names
from planner.catalog import gpu
from planner.memory import (
    EngineSettings,
    Layout,
    RankMemory,
    kv_cache_tokens,
    memory_by_rank,
    request_kv_bytes,
    stage_weight_bytes,
)
from stack.errors import InputError

# vLLM 0.26.0 on one H200, as it reported it: model, weights, activation, graphs (GiB), KV tokens.
REPORTED = [
    ("llama-3.1-8b", 15.0, 1.10, 0.41, 919_824),
    ("llama-3.1-8b-fp8", 8.54, 1.13, 0.32, 972_496),
    ("qwen3-30b-a3b", 56.88, 0.89, 0.40, 767_936),
    ("qwen3-32b", 61.03, 1.61, 0.67, 269_312),
    ("llama-3.1-70b-fp8", 67.73, 2.27, 0.68, 191_328),
]
MEASURED = EngineSettings(gpu_memory_utilization=0.92, max_model_len=8448, max_num_seqs=128)


def on(name: str, card: str, layout: Layout | None = None) -> tuple[RankMemory, ...]:
    arch, precision = architecture(name)
    layout = layout or Layout(tensor=1, layers_by_stage=(arch.layers,))
    return memory_by_rank(arch, precision, layout, (gpu(card),) * layout.pipeline, MEASURED)


@pytest.mark.parametrize(("name", "weights", "activation", "graphs", "tokens"), REPORTED)
def test_memory_is_what_vllm_reports(
    name: str, weights: float, activation: float, graphs: float, tokens: int
) -> None:
    (rank,) = on(name, "h200")
    assert rank.weights_gib == pytest.approx(weights, rel=0.012)
    assert rank.activation_gib == pytest.approx(activation, rel=0.04)
    assert rank.graphs_gib == pytest.approx(graphs, abs=0.05)
    assert rank.kv_cache_tokens == pytest.approx(tokens, rel=0.006)
    assert rank.fits


def test_405b_awq_does_not_fit_eight_cards_of_24_gb_but_eight_of_48() -> None:
    layout = Layout(tensor=2, layers_by_stage=(32, 32, 31, 31))
    small = on("llama-3.1-405b-awq", "rtx-4090", layout)
    large = on("llama-3.1-405b-awq", "rtx-6000-ada", layout)
    assert not any(rank.fits for rank in small)
    assert all(rank.shortfall_gib > 5 for rank in small)
    assert all(rank.fits for rank in large)
    assert len(large) == 8


def test_a_kv_head_is_never_cut() -> None:
    arch, _ = architecture("qwen3-30b-a3b")  # 4 KV heads
    per_rank = [
        request_kv_bytes(arch, Layout(tensor=ranks, layers_by_stage=(48,)), 0, 1000)
        for ranks in (1, 2, 4, 8)
    ]
    assert per_rank == [per_rank[0], per_rank[0] / 2, per_rank[0] / 4, per_rank[0] / 4]


def test_every_rank_keeps_the_whole_compressed_cache_of_mla() -> None:
    arch, _ = architecture("deepseek-v3")
    one, eight = (
        request_kv_bytes(arch, Layout(tensor=ranks, layers_by_stage=(61,)), 0, 100)
        for ranks in (1, 8)
    )
    assert one == eight == 61 * (512 + 64) * 2 * 100


def test_a_sliding_window_bounds_the_cache_of_its_layers() -> None:
    arch, _ = architecture("gpt-oss-120b")
    layout = Layout(tensor=1, layers_by_stage=(36,))
    assert request_kv_bytes(arch, layout, 0, 1128) - request_kv_bytes(arch, layout, 0, 128) == (
        18 * 1000 * 2 * 8 * 64 * 2
    )


def test_the_embedding_is_on_the_first_stage_and_the_head_on_the_last() -> None:
    arch, precision = architecture("llama-3.1-8b")
    layout = Layout(tensor=1, layers_by_stage=(10, 12, 10))
    first, middle, last = (stage_weight_bytes(arch, precision, layout, i) for i in range(3))
    assert first == last
    assert first - arch.embedding_bytes(precision) == pytest.approx(middle * 10 / 12)


def test_a_tied_embedding_is_kept_twice_only_with_a_pipeline() -> None:
    arch, precision = architecture("smollm2-135m")
    whole = stage_weight_bytes(arch, precision, Layout(tensor=1, layers_by_stage=(30,)), 0)
    halves = Layout(tensor=1, layers_by_stage=(15, 15))
    both = sum(stage_weight_bytes(arch, precision, halves, stage) for stage in range(2))
    assert both - whole == arch.embedding_bytes(precision)


def test_stages_must_have_all_layers_and_a_gpu_each() -> None:
    arch, precision = architecture("llama-3.1-8b")
    with pytest.raises(InputError, match="has 32 layers"):
        memory_by_rank(
            arch, precision, Layout(tensor=1, layers_by_stage=(31,)), (gpu("l4"),), MEASURED
        )
    with pytest.raises(InputError, match="for 2 stages"):
        memory_by_rank(
            arch, precision, Layout(tensor=1, layers_by_stage=(16, 16)), (gpu("l4"),), MEASURED
        )


def taken(rank: RankMemory) -> float:
    return rank.weights_gib + rank.activation_gib + rank.graphs_gib


def cut(arch: Architecture, tensor: int, stages: int) -> Layout:
    base, more = divmod(arch.layers, stages)
    return Layout(
        tensor=tensor, layers_by_stage=tuple(base + (stage < more) for stage in range(stages))
    )


@given(
    name=st.sampled_from(model_names()),
    precision=st.sampled_from(Precision),
    tensor=st.sampled_from((1, 2, 4)),
    stages=st.integers(1, 8),
)
@settings(max_examples=60)
def test_more_ranks_never_hold_more_each(
    name: str, precision: Precision, tensor: int, stages: int
) -> None:
    arch, _ = architecture(name)
    card = gpu("h200")

    def held(layout: Layout) -> tuple[RankMemory, ...]:
        cards = (card,) * layout.pipeline
        return memory_by_rank(arch, precision, layout, cards, MEASURED)

    narrow, wide, deep = (
        held(cut(arch, ranks, parts))
        for ranks, parts in ((tensor, stages), (tensor * 2, stages), (tensor, stages + 1))
    )
    assert max(map(taken, wide)) <= max(map(taken, narrow))
    assert max(rank.weights_gib for rank in deep) <= max(rank.weights_gib for rank in narrow)
    for rank in (*narrow, *wide, *deep):
        assert min(rank.kv_gib, rank.shortfall_gib, rank.kv_cache_tokens) >= 0
        assert RankMemory.model_validate_json(rank.model_dump_json()) == rank
    assert kv_cache_tokens(narrow) == min(rank.kv_cache_tokens for rank in narrow)
