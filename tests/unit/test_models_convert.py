import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.convert import Heads, _place, bfloat16, pad_rows, unpermute
from remote.errors import RackformError

HEADS = Heads(query=3, key_value=1, size=4, padded_query=6, padded_key_value=2)


def test_rows_come_back_in_the_order_before_llama_cpp_permuted_them() -> None:
    weights = np.arange(24, dtype=np.float32).reshape(12, 2)
    # as llama.cpp's converter does it
    permuted = weights.reshape(3, 2, 2, 2).swapaxes(1, 2).reshape(12, 2)
    assert not np.array_equal(permuted, weights)
    assert np.array_equal(unpermute(permuted, 3), weights)


def test_padding_adds_zeros_and_keeps_what_is_there() -> None:
    weights = np.ones((2, 3), dtype=np.float32)
    padded = pad_rows(weights, 4)
    assert padded.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_padded_heads_add_nothing_to_the_attentions_output() -> None:
    rng = np.random.default_rng(1)
    attention = rng.standard_normal(12).astype(np.float32)
    weights = rng.standard_normal((5, 12)).astype(np.float32)
    _, output = _place("blk.0.attn_output.weight", weights, HEADS)
    wide = np.concatenate([attention, rng.standard_normal(12).astype(np.float32)])
    assert output.shape == (5, 24)
    np.testing.assert_allclose(output @ wide, weights @ attention, rtol=1e-5)


def test_a_tensor_gets_the_name_that_loaders_expect() -> None:
    name, weights = _place("blk.7.attn_k.weight", np.zeros((4, 5), dtype=np.float32), HEADS)
    assert name == "model.layers.7.self_attn.k_proj.weight"
    assert weights.shape == (8, 5)


@pytest.mark.parametrize("name", ["rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.ffn_gate_exps"])
def test_a_tensor_that_is_none_of_a_plain_llama_is_refused(name: str) -> None:
    with pytest.raises(RackformError, match="none of a plain llama"):
        _place(name, np.zeros((1, 1), dtype=np.float32), HEADS)


@given(st.floats(width=32, allow_nan=False, min_value=-(2.0**99), max_value=2.0**99))
def test_rounding_to_bfloat16_takes_a_nearest_value(value: float) -> None:
    bits = np.frombuffer(bfloat16(np.array([value], dtype=np.float32)), "<u2").astype("<u4")
    rounded = float((bits << 16).view("<f4")[0])
    assert abs(rounded - value) <= max(abs(value) * 2.0**-8, 1e-38)


def test_ties_go_to_the_even_bfloat16() -> None:
    ties = np.array([0x3F808000, 0x3F818000], dtype="<u4").view("<f4")
    assert np.frombuffer(bfloat16(ties), "<u2").tolist() == [0x3F80, 0x3F82]
