"""The models: weights on the nodes, and one Ray Serve application that answers for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from components.machines import Machine, installations, on_machine
from components.ray_cluster import RayCluster, gpu_kind
from components.resources import ModelWeights, ServeApplication
from models.sources import folder_name
from planner.layers import even
from planner.models import ModelPlan, Plan
from serving.llm_config import Autoscaling, LlmModel, serve_config
from stack.schema import Site

_APPLICATION = "llm"


@dataclass(frozen=True, kw_only=True)
class ServingArgs:
    site: Site
    plan: Plan
    nodes: Mapping[str, Machine]
    hosts: Mapping[str, Resource]
    cluster: RayCluster
    gate: Sequence[Resource] = ()
    """What has to pass before a model is served."""
    returned: Mapping[str, Input[str]] = field(default_factory=dict)
    """Node that may be rebooted → new after each reboot, which may have stopped what is served."""


class Serving(ComponentResource):
    """vLLM with the plan's tensor and pipeline parallelism, behind Ray Serve's OpenAI API."""

    application: ServeApplication
    model: str
    """The name that a client asks for."""
    revision: pulumi.Output[str]

    def __init__(self, name: str, args: ServingArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Serving", name, None, opts)
        site, plan = args.site, args.plan
        ray_nodes = sorted(plan.ray_nodes)
        weights = [
            ModelWeights(
                f"{name}-{key}-weights",
                source=model.source,
                revision=model.revision,
                pad_heads_to=model.pad_heads_to,
                nodes=[args.nodes[node].connection for node in ray_nodes],
                machines=installations({node: args.nodes[node] for node in ray_nodes}),
                fabric_addresses={node: str(site.nodes[node].fabric_address) for node in ray_nodes},
                opts=ResourceOptions(
                    parent=self, depends_on=[args.hosts[node] for node in ray_nodes]
                ),
            )
            for key, model in site.models.items()
        ]
        head_address = str(site.nodes[plan.head].fabric_address)
        self.model = plan.models[0].served_name
        self.application = ServeApplication(
            f"{name}-application",
            head=args.nodes[plan.head].connection,
            dashboard_port=site.ray.dashboard_port,
            token=args.cluster.token,
            config=serve_config(
                [_llm_model(site, model) for model in plan.models],
                host=head_address,
                port=site.ray.serve_port,
                request_timeout_s=site.ray.request_timeout_s,
                application=_APPLICATION,
            ),
            application=_APPLICATION,
            model=self.model,
            api_address=f"{head_address}:{site.ray.serve_port}",
            expected_nodes=plan.expected_nodes,
            expected_gpus=plan.expected_gpus,
            runs_on={
                "head": args.cluster.head.revision,
                **{node: worker.revision for node, worker in args.cluster.workers.items()},
                **{f"{node}-return": told for node, told in args.returned.items()},
            },
            opts=on_machine(
                self,
                args.nodes[plan.head],
                *weights,
                args.cluster.head,
                *args.cluster.workers.values(),
                *args.gate,
            ),
        )
        self.revision = self.application.revision
        self.register_outputs({"model": self.model, "revision": self.revision})


def _llm_model(site: Site, model: ModelPlan) -> LlmModel:
    declared = site.models[model.name]
    kind = gpu_kind(site, model.nodes[0])
    engine: dict[str, object] = {"max_num_seqs": declared.max_num_seqs}
    if kind == "cpu":
        engine["enforce_eager"] = True
    else:
        engine["gpu_memory_utilization"] = declared.gpu_memory_utilization
    return LlmModel.model_validate(
        {
            "model_id": model.served_name,
            "path": "/models/"
            + folder_name(declared.source, declared.revision, declared.pad_heads_to),
            "gpu_kind": kind,
            "tensor_parallel": model.tensor,
            "pipeline_parallel": model.pipeline,
            "max_model_len": declared.max_model_len,
            "dtype": declared.dtype,
            "autoscaling": Autoscaling(
                min_replicas=model.min_replicas,
                max_replicas=model.max_replicas,
                target_ongoing_requests=declared.replicas.target_ongoing_requests,
            ),
            "max_ongoing_requests": declared.traffic.max_ongoing_requests,
            "max_queued_requests": declared.traffic.max_queued_requests,
            "engine_kwargs": engine,
            "environment": _partition(model),
            "drain_s": site.ray.drain_s,
        }
    )


def _partition(model: ModelPlan) -> dict[str, str]:
    """Return the plan's layers by stage for vLLM, where they aren't vLLM's own partition."""
    layers = model.layers_by_stage
    if not layers or layers == even(sum(layers), len(layers)):
        return {}
    return {"VLLM_PP_LAYER_PARTITION": ",".join(str(count) for count in layers)}
