"""The Serve configuration of OpenAI-compatible models, as Ray's REST API takes it. Pure.

Pipeline stages go across nodes and tensor-parallel ranks stay within one: Ray packs the bundles
(one GPU each) onto as few nodes as hold them, and vLLM's Ray executor numbers its ranks by node,
the driver's first (`get_bundles_sorted_by_node`), so that each run of `tensor_parallel` ranks lies
on one node as long as every node's count of GPUs is a multiple of it. The plan sees to that.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

RAY_ACCELERATORS = (
    "V100", "P100", "T4", "P4", "K80", "A10G", "L4", "L40S", "A100", "H100", "H200", "H20",
    "B200", "B300", "GB200", "GB300", "RTX-PRO-6000",
)  # fmt: skip
"""NVIDIA's names in ray/util/accelerators of Ray 2.60.0: it refuses any other accelerator_type."""

TWIN_ENGINE: dict[str, JsonValue] = {"enforce_eager": True, "max_num_seqs": 16}


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Autoscaling(Frozen):
    """Bounds and pace of the replicas of one model."""

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing_requests: float = Field(default=16, gt=0)
    upscale_delay_s: float = Field(default=30, ge=0)
    downscale_delay_s: float = Field(default=600, ge=0)

    @model_validator(mode="after")
    def bounds_are_ordered(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas = {self.min_replicas} is above max_replicas = {self.max_replicas}: "
                "raise the latter or lower the former"
            )
        return self


class LlmModel(Frozen):
    """One model behind `/v1`, and how it is spread over the GPUs."""

    model_id: str = Field(description="the name that clients ask for")
    path: str = Field(description="its folder in the container: /models/…")
    gpu_kind: str = Field(description="'cpu' in the twin, else the GPU's name")
    tensor_parallel: int = Field(ge=1)
    pipeline_parallel: int = Field(ge=1)
    max_model_len: int = Field(ge=1)
    dtype: str = Field(default="auto", description="'auto' is float32 in the twin")
    autoscaling: Autoscaling = Autoscaling()
    max_ongoing_requests: int = Field(default=64, ge=1)
    max_queued_requests: int = Field(default=-1, ge=-1, description="-1: no limit")
    engine_kwargs: dict[str, JsonValue] = Field(default={}, description="further vLLM arguments")
    environment: dict[str, str] = Field(default={}, description="for the engine's processes")
    execute_timeout_s: int = Field(
        default=20, description="silence of a rank after which vLLM gives the engine up"
    )
    drain_s: int = Field(
        default=20, ge=1, description="how long answers under way go on when a replica is stopped"
    )


def serve_config(
    models: Sequence[LlmModel],
    *,
    host: str,
    port: int = 8000,
    application: str = "llm",
    request_timeout_s: int = 600,
) -> dict[str, JsonValue]:
    """Return the body of PUT /api/serve/applications/: one application with all the models.

    `host` is the head's fabric address. The only proxy is the head's: what asks it is the edge, on
    the same machine, and a node with nothing but pipeline workers would run no proxy anyway.
    """
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": host, "port": port, "request_timeout_s": request_timeout_s},
        "applications": [
            {
                "name": application,
                "route_prefix": "/",
                "import_path": "ray.serve.llm:build_openai_app",
                "args": {
                    "llm_configs": [llm_config(model) for model in models],
                    "ingress_deployment_config": _stopping(max(m.drain_s for m in models)),
                },
            }
        ],
    }


def llm_config(model: LlmModel) -> dict[str, JsonValue]:
    """Return Ray's LLMConfig of one model."""
    config: dict[str, JsonValue] = {
        "model_loading_config": {"model_id": model.model_id, "model_source": model.path},
        "engine_kwargs": _engine(model),
        "placement_group_config": {
            "bundle_per_worker": {"CPU": 1, "GPU": 1},
            "strategy": "PACK",
        },
        "deployment_config": {
            "autoscaling_config": model.autoscaling.model_dump(mode="json"),
            "max_ongoing_requests": model.max_ongoing_requests,
            "max_queued_requests": model.max_queued_requests,
            **_stopping(model.drain_s),
        },
        "log_engine_metrics": True,
        "runtime_env": {
            "env_vars": {
                "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": str(model.execute_timeout_s),
                **model.environment,
            }
        },
    }
    accelerator = next((n for n in RAY_ACCELERATORS if n.lower() == model.gpu_kind.lower()), None)
    return config | ({"accelerator_type": accelerator} if accelerator else {})


def _stopping(drain_s: int) -> dict[str, JsonValue]:
    return {"graceful_shutdown_timeout_s": drain_s}


def _engine(model: LlmModel) -> dict[str, JsonValue]:
    twin = model.gpu_kind == "cpu"
    return {
        "tensor_parallel_size": model.tensor_parallel,
        "pipeline_parallel_size": model.pipeline_parallel,
        "max_model_len": model.max_model_len,
        "dtype": "float32" if twin and model.dtype == "auto" else model.dtype,
        **(TWIN_ENGINE if twin else {}),
        **model.engine_kwargs,
    }
