"""A plan: what runs where, and how each model is split."""

from pydantic import BaseModel, ConfigDict, Field


class _Planned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Worker(_Planned):
    """A node whose GPUs serve."""

    node: str
    gpus: int


class ModelPlan(_Planned):
    """One model: each replica has `pipeline` stages of `tensor` ranks, a stage inside one node."""

    name: str = Field(description="the model's key in the site")
    served_name: str = Field(description="the model's name in the API")
    tensor: int
    pipeline: int
    min_replicas: int
    max_replicas: int
    nodes: tuple[str, ...] = Field(description="workers that have room for its stages kept")
    layers_by_stage: tuple[int, ...] = Field(
        default=(), description="layers of each stage; none where the model's are unknown"
    )
    outlook: str = Field(default="", description="what is predicted, in a line")
    warnings: tuple[str, ...] = ()

    @property
    def ranks(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline


class Plan(_Planned):
    """What a site will run. `expected_*` is what Ray must count once all have joined."""

    head: str
    workers: tuple[Worker, ...]
    models: tuple[ModelPlan, ...]
    expected_nodes: int
    expected_gpus: int

    @property
    def ray_nodes(self) -> tuple[str, ...]:
        """The nodes that Ray runs on, the head first."""
        return tuple(dict.fromkeys((self.head, *(worker.node for worker in self.workers))))

    def warnings(self) -> tuple[str, ...]:
        """Return what the plan could not look at, each once."""
        return tuple(dict.fromkeys(each for model in self.models for each in model.warnings))

    def summary(self) -> str:
        """Return the plan in a few lines, for a preview."""
        workers = ", ".join(f"{worker.node} ({worker.gpus} GPUs)" for worker in self.workers)
        lines = [f"head {self.head}; workers {workers}"]
        for model in self.models:
            bounds = f"{model.min_replicas} to {model.max_replicas} replicas"
            replicas = "1 replica" if model.max_replicas == 1 else bounds
            lines.append(
                f"{model.served_name}: tensor {model.tensor} x pipeline {model.pipeline},"
                f" {replicas}, {model.ranks} GPUs each"
            )
            lines += [f"  {model.outlook}"] if model.outlook else []
        return "\n".join(lines)
