"""GGUF → the folder that Hugging Face's and vLLM's loaders read, with numpy alone.

Only what is known to come out equal is taken: the llama architecture and byte-level BPE
vocabularies. The bytes written depend on the input file alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, TokenType, dequantize
from pydantic import JsonValue
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from remote.errors import RackformError

Weights = npt.NDArray[np.float32]

PRE_TOKENIZERS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    ),
}

BLOCK_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


@dataclass(frozen=True)
class Heads:
    """Attention heads of the file, and how many the converted model shall have."""

    query: int
    key_value: int
    size: int
    padded_query: int
    padded_key_value: int


def convert(gguf_file: Path, folder: Path, pad_heads_to: int | None = None) -> None:
    """Write config, tokenizer and weights (bfloat16) of a GGUF file into a new folder.

    bfloat16 is what these models are trained in, so that `dtype: auto` on a GPU can't overflow;
    its rounding is far below the quantisation's. Raises RackformError for what is not supported.
    """
    reader = GGUFReader(gguf_file)
    architecture = _value(reader, "general.architecture")
    if architecture != "llama":
        raise RackformError(
            f"{gguf_file.name} has the architecture {architecture!r}: only 'llama' is converted; "
            "name a safetensors source (hf: or file:) for others"
        )
    heads = _heads(reader, pad_heads_to)
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", _config(reader, heads))
    _write_json(folder / "generation_config.json", _special_ids(reader))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(reader))
    (folder / "tokenizer.json").write_text(_tokenizer(reader).to_str(pretty=True) + "\n")
    _write_weights(reader, heads, folder / "model.safetensors")


def unpermute(weights: Weights, heads: int) -> Weights:
    """Undo llama.cpp's reordering of the query and key rows (it rotates neighbouring pairs)."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, -1)


def pad_rows(weights: Weights, rows: int) -> Weights:
    """Add rows of zeros at the end."""
    return np.pad(weights, ((0, rows - weights.shape[0]), (0, 0)))


def bfloat16(weights: Weights) -> bytes:
    """Round to the nearest bfloat16, ties to even; the bytes are little-endian."""
    bits = np.ascontiguousarray(weights, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return bytes(rounded.astype("<u2").tobytes())


def _heads(reader: GGUFReader, pad_heads_to: int | None) -> Heads:
    query, key_value = (
        _integer(reader, f"llama.attention.head_count{suffix}") for suffix in ("", "_kv")
    )
    size = _integer(reader, "llama.rope.dimension_count")
    group = query // key_value
    padded = query if pad_heads_to is None else pad_heads_to
    if padded < query or padded % group:
        raise RackformError(
            f"pad_heads_to = {pad_heads_to}, but the model has {query} query heads in groups of "
            f"{group}: give a multiple of {group} from {query} up"
        )
    return Heads(query, key_value, size, padded, padded // group)


def _config(reader: GGUFReader, heads: Heads) -> dict[str, JsonValue]:
    theta = _float(reader, "llama.rope.freq_base")
    names = {tensor.name for tensor in reader.tensors}
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": heads.size,
        "hidden_act": "silu",
        "hidden_size": _integer(reader, "llama.embedding_length"),
        "initializer_range": 0.02,
        "intermediate_size": _integer(reader, "llama.feed_forward_length"),
        "max_position_embeddings": _integer(reader, "llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads.padded_query,
        "num_hidden_layers": _integer(reader, "llama.block_count"),
        "num_key_value_heads": heads.padded_key_value,
        "rms_norm_eps": _float(reader, "llama.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "rope_theta": theta,
        "tie_word_embeddings": "output.weight" not in names,
        "torch_dtype": "bfloat16",
        "vocab_size": len(reader.fields["tokenizer.ggml.tokens"].data),
        **_special_ids(reader),
    }


def _special_ids(reader: GGUFReader) -> dict[str, JsonValue]:
    keys = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {
        f"{ours}_token_id": _integer(reader, f"tokenizer.ggml.{theirs}_token_id")
        for ours, theirs in keys.items()
        if f"tokenizer.ggml.{theirs}_token_id" in reader.fields
    }


def _tokenizer(reader: GGUFReader) -> Tokenizer:
    model = _value(reader, "tokenizer.ggml.model")
    pre = _value(reader, "tokenizer.ggml.pre")
    if model != "gpt2" or pre not in PRE_TOKENIZERS:
        raise RackformError(
            f"the file's vocabulary is {model!r} with the pre-tokenizer {pre!r}: only byte-level "
            f"BPE ('gpt2') with one of {sorted(PRE_TOKENIZERS)} is converted"
        )
    tokens = _texts(reader, "tokenizer.ggml.tokens")
    pairs = (pair.partition(" ") for pair in _texts(reader, "tokenizer.ggml.merges"))
    merges = [(left, right) for left, _, right in pairs]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    kinds = _value(reader, "tokenizer.ggml.token_type")
    if not isinstance(kinds, list):
        raise RackformError("the file has no token types: it was written by too old a converter")
    for token, kind in zip(tokens, kinds, strict=True):
        special = kind == TokenType.CONTROL
        if special or kind == TokenType.USER_DEFINED:
            added = AddedToken(token, special=special, normalized=False)
            tokenizer.add_special_tokens([added]) if special else tokenizer.add_tokens([added])
    return tokenizer


def _tokenizer_config(reader: GGUFReader) -> dict[str, JsonValue]:
    tokens = _texts(reader, "tokenizer.ggml.tokens")
    keys = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    special: dict[str, JsonValue] = {
        f"{ours}_token": tokens[_integer(reader, f"tokenizer.ggml.{theirs}_token_id")]
        for ours, theirs in keys.items()
        if f"tokenizer.ggml.{theirs}_token_id" in reader.fields
    }
    template: dict[str, JsonValue] = {}
    if "tokenizer.chat_template" in reader.fields:
        template["chat_template"] = str(_value(reader, "tokenizer.chat_template"))
    return {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": _integer(reader, "llama.context_length"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        **template,
    }


def _write_weights(reader: GGUFReader, heads: Heads, file: Path) -> None:
    """Write the safetensors format by hand: the library's bytes differ between its versions.

    Eight bytes with the header's length, the header (JSON), then the tensors by name.
    """
    tensors = {}
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        name, fitted = _place(tensor.name, weights, heads)
        tensors[name] = (list(fitted.shape), bfloat16(fitted))
    header: dict[str, JsonValue] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, data) in sorted(tensors.items()):
        start, end = end, end + len(data)
        header[name] = {"dtype": "BF16", "shape": [*shape], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little"))
        out.write(text)
        for _, (_, data) in sorted(tensors.items()):
            out.write(data)


def _place(name: str, weights: Weights, heads: Heads) -> tuple[str, Weights]:
    """Return a tensor's Hugging Face name and its rows in that order, padded."""
    if name in OUTER_TENSORS:
        return OUTER_TENSORS[name], weights
    _, layer, part, *_ = [*name.split("."), "", ""]
    if part not in BLOCK_TENSORS or not name.endswith(".weight"):
        raise RackformError(f"tensor {name!r} is none of a plain llama: the file isn't converted")
    match part:
        case "attn_q":
            weights = pad_rows(unpermute(weights, heads.query), heads.padded_query * heads.size)
        case "attn_k":
            weights = unpermute(weights, heads.key_value)
            weights = pad_rows(weights, heads.padded_key_value * heads.size)
        case "attn_v":
            weights = pad_rows(weights, heads.padded_key_value * heads.size)
        case "attn_output":
            weights = pad_rows(weights.T, heads.padded_query * heads.size).T
    return f"model.layers.{layer}.{BLOCK_TENSORS[part]}.weight", weights


def _value(reader: GGUFReader, key: str) -> object:
    if key not in reader.fields:
        raise RackformError(f"the GGUF file lacks {key!r}: it isn't complete")
    return reader.fields[key].contents()


def _texts(reader: GGUFReader, key: str) -> list[str]:
    value = _value(reader, key)
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _integer(reader: GGUFReader, key: str) -> int:
    return int(str(_value(reader, key)))


def _float(reader: GGUFReader, key: str) -> float:
    """Return a float32 of the file as the shortest decimal that means it (1e-05)."""
    return float(str(np.float32(str(_value(reader, key)))))


def _write_json(file: Path, value: dict[str, JsonValue]) -> None:
    file.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
