"""What the planner knows of GPUs, links and models."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.architecture import Precision, architecture, model_names, precision_of
from planner.catalog import FOLDER, DataType, LinkKind, gpu, gpus, link, links, network
from planner.checkpoint import from_config
from stack.errors import InputError

CARDS = tomllib.loads((FOLDER / "models.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_model_adds_up_to_the_parameters_on_its_card(name: str) -> None:
    arch, _ = architecture(name)
    assert arch.parameters / 1e9 == pytest.approx(CARDS[name]["parameters_b"], rel=0.003)


@pytest.mark.parametrize("name", sorted(gpus()))
def test_a_gpu_has_a_link_and_plausible_figures(name: str) -> None:
    card = gpu(name)
    assert card.link in links()
    assert card.nvlink is None or links()[card.nvlink].kind is LinkKind.NVLINK
    assert card.idle_power_w < card.board_power_w
    assert (
        card.tflops(DataType.FP8)
        >= card.tflops(DataType.BF16)
        >= card.dense_tflops[DataType.FLOAT32]
    )
    assert card.price_usd is not None
    assert 0 < card.price_usd[0] <= card.price_usd[1]


def test_no_link_is_faster_than_it_is_sold() -> None:
    assert all(each.bandwidth_gb_s <= each.nominal_gbit_s / 8 for each in links().values())


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(InputError, match=r"'rtx4090' is not in .* write one of rtx-4090"):
        gpu("rtx4090")
    with pytest.raises(InputError, match="pcie4-x16"):
        link("pcie4x16")
    with pytest.raises(InputError, match=r"llama-3\.1-8b"):
        architecture("meta-llama/Llama3.1-8B")


@pytest.mark.parametrize(
    ("name", "known", "precision"),
    [
        ("hf:meta-llama/Llama-3.1-405B-Instruct-FP8", "llama-3.1-405b", Precision.FP8),
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama-3.1-70b", Precision.INT4),
        ("nvidia/Llama-3.3-70B-Instruct-NVFP4", "llama-3.1-70b", Precision.NVFP4),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama-3.1-70b", Precision.BF16),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3", Precision.FP8),
        ("Qwen/Qwen3-235B-A22B-GPTQ-Int4", "qwen3-235b-a22b", Precision.INT4),
        ("Qwen/Qwen3-30B-A3B", "qwen3-30b-a3b", Precision.BF16),
        ("openai/gpt-oss-120b", "gpt-oss-120b", Precision.MXFP4),
        ("MiniMaxAI/MiniMax-M2.5", "minimax-m2", Precision.FP8),
    ],
)
def test_a_name_tells_model_and_precision(name: str, known: str, precision: Precision) -> None:
    arch, told = architecture(name)
    assert (arch.name, told) == (known, precision)


def test_a_name_without_a_precision_tells_none() -> None:
    assert precision_of("Llama-3.1-8B-Instruct") is None


@given(gbit_s=st.floats(0.5, 1600), rdma=st.booleans())
@settings(max_examples=25)
def test_a_network_of_any_speed_reaches_at_most_that_speed(gbit_s: float, *, rdma: bool) -> None:
    found = network(gbit_s, rdma=rdma)
    assert 0 < found.bandwidth_gb_s <= gbit_s / 8
    assert found.rdma is rdma


LLAMA_4 = {
    "text_config": {
        "model_type": "llama4_text",
        "num_hidden_layers": 48,
        "hidden_size": 5120,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_local_experts": 128,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "vocab_size": 202048,
    }
}
DEEPSEEK = {
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "head_dim": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "quantization_config": {"quant_method": "fp8"},
}
QWEN_AWQ = {
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 29568,
    "vocab_size": 152064,
    "sliding_window": 131072,
    "use_sliding_window": False,
    "quantization_config": {"quant_method": "awq", "bits": 4},
}


@pytest.mark.parametrize(
    ("config", "name", "precision"),
    [
        (LLAMA_4, "llama-4-maverick", Precision.BF16),
        (DEEPSEEK, "deepseek-v3", Precision.FP8),
        (QWEN_AWQ, "qwen2.5-72b", Precision.INT4),
    ],
)
def test_a_config_json_describes_the_model_of_the_catalogue(
    config: dict[str, object], name: str, precision: Precision
) -> None:
    arch, found = from_config(config)
    assert found is precision
    assert arch.parameters == architecture(name)[0].parameters
    assert arch.kv_bytes_per_token() == architecture(name)[0].kv_bytes_per_token()


def test_a_config_json_that_lacks_a_key_is_refused_with_the_key() -> None:
    with pytest.raises(InputError, match="hidden_size: field required"):
        from_config({"num_hidden_layers": 2})


def test_every_model_can_be_had_by_its_name() -> None:
    assert {architecture(name)[0].name for name in model_names()} == set(model_names())
