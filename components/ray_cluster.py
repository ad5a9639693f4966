"""The Ray topology: Redis for the head's memory, one head, and a worker on each worker node."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Resource, ResourceOptions

from components.containers import Placement, run_parts
from components.credentials import SiteCredentials
from components.hardware import nccl_settings
from components.images import ContainerImage
from components.machines import Machine, on_machine
from components.resources import Container
from components.secrets import placeholder
from planner.models import Plan
from remote.container_spec import ContainerParts
from serving import ray_node
from stack.schema import Site, Variant

_CPUS_A_NODE = 4
"""Ray's logical CPUs: one a rank and some for Serve's actors; not a limit on real ones."""


@dataclass(frozen=True, kw_only=True)
class RayClusterArgs:
    site: Site
    plan: Plan
    credentials: SiteCredentials
    nodes: Mapping[str, Machine]
    hosts: Mapping[str, Resource]
    ray_image: ContainerImage
    redis_image: ContainerImage


class RayCluster(ComponentResource):
    """Redis, head and workers, started in this order; token authentication is on."""

    redis: Container
    head: Container
    workers: dict[str, Container]
    token: pulumi.Output[str]
    """Ray's authentication token (secret)."""

    def __init__(
        self, name: str, args: RayClusterArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:RayCluster", name, None, opts)
        self._args = args
        self.token = args.credentials.token("ray")
        self._secrets = {"ray": self.token, "redis": args.credentials.token("redis")}
        site, head = args.site, args.plan.head
        head_address = str(site.nodes[head].fabric_address)
        self.redis = self._container(
            f"{name}-redis",
            "redis",
            head,
            args.redis_image,
            ray_node.redis(head_address, placeholder("redis"), site.ray.redis_port),
        )
        self.head = self._container(
            f"{name}-head",
            ray_node.HEAD,
            head,
            args.ray_image,
            ray_node.ray_head(
                self._node(head),
                redis_address=f"{head_address}:{site.ray.redis_port}",
                redis_password=placeholder("redis"),
            ),
            self.redis,
        )
        self.workers = {
            worker.node: self._container(
                f"{name}-{worker.node}",
                ray_node.WORKER,
                worker.node,
                args.ray_image,
                ray_node.ray_worker(self._node(worker.node), head_address=head_address),
                self.head,
            )
            for worker in args.plan.workers
            if worker.node != head
        }
        self.register_outputs({"token": self.token})

    def _node(self, node: str) -> ray_node.RayNode:
        site = self._args.site
        machine = site.nodes[node]
        return ray_node.RayNode(
            address=str(machine.fabric_address),
            interface=machine.interface,
            token=placeholder("ray"),
            cpus=_CPUS_A_NODE,
            gpus=machine.gpu_count,
            gpu_kind=gpu_kind(site, node),
            rdma=rdma(site, node),
            environment=_engine_environment(site),
        )

    def _container(
        self,
        name: str,
        container: str,
        node: str,
        image: ContainerImage,
        parts: ContainerParts,
        *after: Resource,
    ) -> Container:
        args = self._args
        return run_parts(
            name,
            container,
            parts,
            Placement(
                node=args.nodes[node],
                image=image,
                secrets=self._secrets,
                gpus=args.site.nodes[node].gpu_count > 0 and not args.site.twin,
            ),
            on_machine(self, args.nodes[node], args.hosts[node], image.pulled, *after),
        )


def gpu_kind(site: Site, node: str) -> str:
    """Return what Ray and vLLM are told of a node's GPUs: 'cpu' where vLLM's CPU build runs."""
    gpus = site.nodes[node].gpus
    if site.vllm_variant is Variant.CPU:
        return "cpu"
    return gpus.model if gpus and gpus.model else "unnamed"


def rdma(site: Site, node: str) -> str:
    """Return what a node's ranks are told of its RDMA devices; a twin's links have none."""
    declared = site.nodes[node]
    if not declared.gpus or not declared.rdma_devices or site.twin:
        return ""
    settings = (f"{key}={value}" for key, value in nccl_settings(site).items())
    return " ".join([",".join(declared.rdma_devices), *settings])


def _engine_environment(site: Site) -> dict[str, str]:
    """Return what vLLM reads when a rank starts, on every node alike."""
    spaces = [model.kv_cache_gib for model in site.models.values() if model.kv_cache_gib]
    return {"VLLM_CPU_KVCACHE_SPACE": str(max(spaces))} if site.twin and spaces else {}
