"""A model's architecture from the `config.json` of its checkpoint, as Transformers writes it."""

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from planner.architecture import Architecture, Experts, LatentAttention, Precision
from stack.errors import InputError

_METHODS = {
    "fp8": Precision.FP8,
    "fbgemm_fp8": Precision.FP8,
    "mxfp4": Precision.MXFP4,
    "awq": Precision.INT4,
    "gptq": Precision.INT4,
    "auto-round": Precision.INT4,
    "bitsandbytes": Precision.INT4,
}
_TYPES = {
    "bfloat16": Precision.BF16,
    "float16": Precision.FP16,
    "float32": Precision.FLOAT32,
}


class _Config(BaseModel):
    """The keys that matter; families name some of them differently."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_hidden_layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int | None = Field(default=None, gt=0)
    head_dim: int | None = Field(default=None, gt=0)
    intermediate_size: int = Field(default=0, ge=0)
    intermediate_size_mlp: int = Field(default=0, ge=0, description="Llama 4: of dense layers")
    vocab_size: int = Field(gt=0)
    tie_word_embeddings: bool = False
    max_position_embeddings: int = Field(default=0, ge=0)
    experts: int = Field(
        default=0,
        ge=0,
        validation_alias=AliasChoices("num_local_experts", "num_experts", "n_routed_experts"),
    )
    active: int = Field(
        default=0, ge=0, validation_alias=AliasChoices("num_experts_per_tok", "experts_per_token")
    )
    moe_intermediate_size: int = Field(default=0, ge=0)
    n_shared_experts: int | None = Field(default=0, ge=0)
    shared_expert_intermediate_size: int | None = Field(default=0, ge=0)
    first_k_dense_replace: int = Field(default=0, ge=0)
    interleave_moe_layer_step: int = Field(default=1, gt=0)
    kv_lora_rank: int | None = Field(default=None, gt=0)
    q_lora_rank: int | None = Field(default=None, gt=0)
    qk_rope_head_dim: int = Field(default=0, ge=0)
    qk_nope_head_dim: int = Field(default=0, ge=0)
    v_head_dim: int = Field(default=0, ge=0)
    sliding_window: int | None = Field(default=None, gt=0)
    use_sliding_window: bool = True
    layer_types: tuple[str, ...] | None = None
    model_type: str = ""
    dtype: str = Field(default="bfloat16", validation_alias=AliasChoices("torch_dtype", "dtype"))


class _Quantisation(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    quant_method: str = ""
    quant_algo: str = Field(default="", description="modelopt: FP8, NVFP4")
    bits: int | None = None
    config_groups: dict[str, Any] = {}


def from_config(
    config: Mapping[str, Any], name: str = "config.json"
) -> tuple[Architecture, Precision]:
    """Return the architecture and the precision of the weights.

    Raises `InputError` naming the key that is missing or isn't what it should be.
    """
    text = config.get("text_config")
    given = {**config, **text} if isinstance(text, Mapping) else dict(config)
    try:
        read = _Config.model_validate(given)
        precision = _precision(given, read)
        arch = _architecture(read, precision, name)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{name}: {key}: {first['msg'].lower()}: give the config.json of a decoder-only"
            " transformer"
        ) from error
    return arch, precision


def _architecture(read: _Config, precision: Precision, name: str) -> Architecture:
    experts = _experts(read)
    # Where experts have a width of their own, intermediate_size is that of dense layers.
    dense = read.intermediate_size_mlp or (
        read.intermediate_size if not experts or read.moe_intermediate_size else 0
    )
    windowed = _windowed(read)
    return Architecture(
        name=name,
        layers=read.num_hidden_layers,
        hidden=read.hidden_size,
        heads=read.num_attention_heads,
        kv_heads=read.num_key_value_heads or read.num_attention_heads,
        head_dim=read.head_dim or read.hidden_size // read.num_attention_heads,
        intermediate=dense,
        vocabulary=read.vocab_size,
        tied_embeddings=read.tie_word_embeddings,
        experts=experts,
        latent=_latent(read),
        window=read.sliding_window or 0 if windowed else 0,
        windowed_layers=windowed,
        max_positions=read.max_position_embeddings,
        checkpoint=precision,
        quantised="experts" if precision is Precision.MXFP4 and experts else "linear",
    )


def _experts(read: _Config) -> Experts | None:
    if not read.experts or not read.active:
        return None
    width = read.moe_intermediate_size or read.intermediate_size
    shared = read.shared_expert_intermediate_size or (read.n_shared_experts or 0) * width
    if read.model_type.startswith("llama4"):
        shared = width
    return Experts(
        count=read.experts,
        active=read.active,
        intermediate=width,
        shared_intermediate=shared,
        first_dense=read.first_k_dense_replace,
        every=read.interleave_moe_layer_step,
    )


def _latent(read: _Config) -> LatentAttention | None:
    if not read.kv_lora_rank:
        return None
    return LatentAttention(
        kv_rank=read.kv_lora_rank,
        rope_dim=read.qk_rope_head_dim,
        nope_dim=read.qk_nope_head_dim,
        value_dim=read.v_head_dim,
        query_rank=read.q_lora_rank or 0,
    )


def _windowed(read: _Config) -> int:
    if not read.sliding_window or not read.use_sliding_window:
        return 0
    if read.layer_types is None:
        return read.num_hidden_layers
    return sum("sliding" in kind or "chunked" in kind for kind in read.layer_types)


def _precision(given: Mapping[str, Any], read: _Config) -> Precision:
    quantisation = given.get("quantization_config")
    plain = _TYPES.get(read.dtype.removeprefix("torch."), Precision.BF16)
    if not isinstance(quantisation, Mapping):
        return plain
    told = _Quantisation.model_validate(quantisation)
    if told.bits in _BITS:
        return _BITS[told.bits]
    for algorithm in (told.quant_method.lower(), told.quant_algo.lower()):
        if algorithm in _METHODS or algorithm in _ALGORITHMS:
            return (_METHODS | _ALGORITHMS)[algorithm]
    groups = str(told.config_groups)
    if "'num_bits': 4" in groups:
        return Precision.NVFP4 if "'float'" in groups else Precision.INT4
    if "'num_bits': 8" in groups:
        return Precision.FP8 if "'float'" in groups else Precision.INT8
    return plain


_BITS = {4: Precision.INT4, 8: Precision.INT8}
_ALGORITHMS = {"nvfp4": Precision.NVFP4, "w4a16": Precision.INT4}
