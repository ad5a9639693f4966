"""The whole appliance: a site and its plan, as Pulumi resources in the order of their needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from components.closure import closure, verification_sources
from components.credentials import SiteCredentials
from components.edge import Edge, EdgeArgs
from components.expectations import ExpectationArgs, expectations
from components.fabric import FabricSwitch, FabricSwitchArgs
from components.images import ContainerImage, ContainerImageArgs, ImageSources, oci_image
from components.machines import Machines, Twin, TwinArgs, real_machines
from components.node import ClusterNode, ClusterNodeArgs
from components.ray_cluster import RayCluster, RayClusterArgs
from components.registry import RegistryArgs, SiteRegistry, registry_address
from components.resources import plain
from components.serving import Serving, ServingArgs
from components.verification import Verification, VerificationArgs
from planner.models import Plan
from stack.schema import Site

_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class ApplianceArgs:
    site: Site
    plan: Plan
    private_key_file: Path
    """The controller's SSH key, used where the site names none."""
    authorized_key: str
    """Its public half, which a twin's machines accept."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """image/variant → input hash of an earlier generation's image (`rackform:pinned`)."""


class Appliance(ComponentResource):
    """Machines, fabric, hosts, images, Ray, models, edge; verified at the end."""

    endpoint: Output[str]
    model: str
    closure: str
    ca_certificate: Output[str]
    api_keys: Output[Mapping[str, str]]
    connections: Mapping[str, Input[object]]
    expectations: Output[str]
    """What the verification compared, for `./rackform verify` by hand (secret)."""
    verified: Output[str]

    def __init__(self, name: str, args: ApplianceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Appliance", name, None, opts)
        self._args, self._child = args, ResourceOptions(parent=self)
        self._sources = ImageSources(
            debian_snapshot=args.site.images.debian_snapshot, pins=args.pins
        )
        for note in [*args.site.notes(), *_pinned(args.pins)]:
            pulumi.log.warn(note, self)
        for line in (args.plan.summary(), *args.plan.warnings()):
            pulumi.log.info(line, self)
        self._credentials = SiteCredentials("credentials", args.site, self._child)
        self._machines = self._declare_machines()
        self._switches = self._declare_switches()
        self._nodes = self._declare_nodes()
        self._serve()
        self.connections = {
            name: plain(connection)
            for name, connection in {
                **{node: machine.connection for node, machine in self._machines.nodes.items()},
                **self._machines.switches,
            }.items()
        }
        self.register_outputs(
            {key: getattr(self, key) for key in self.__annotations__ if hasattr(self, key)}
        )

    def _declare_machines(self) -> Machines:
        site = self._args.site
        if not site.twin:
            return real_machines(site, self._args.private_key_file)
        base = oci_image("node-image", ("node", _DEFAULT), self._sources, self._child)
        return Twin(
            "twin",
            TwinArgs(site=site, base_digest=base.digest, authorized_key=self._args.authorized_key),
            self._child,
        ).machines

    def _declare_switches(self) -> dict[str, FabricSwitch]:
        return {
            switch: FabricSwitch(
                switch,
                FabricSwitchArgs(
                    site=self._args.site,
                    switch=switch,
                    connection=self._machines.switches[switch],
                ),
                self._child,
            )
            for switch in self._args.site.switches
        }

    def _declare_nodes(self) -> dict[str, ClusterNode]:
        site = self._args.site
        return {
            node: ClusterNode(
                node,
                ClusterNodeArgs(
                    site=site,
                    node=node,
                    machine=self._machines.nodes[node],
                    registry_address=registry_address(site),
                    ca_certificate=self._credentials.ca_certificate,
                ),
                self._child,
            )
            for node in site.nodes
        }

    def _serve(self) -> None:
        site, plan = self._args.site, self._args.plan
        hosts: dict[str, Resource] = {key: node.host for key, node in self._nodes.items()}
        registry = SiteRegistry(
            "registry",
            RegistryArgs(
                site=site,
                credentials=self._credentials,
                machine=self._machines.nodes[site.registry_node],
                host=hosts[site.registry_node],
                sources=self._sources,
            ),
            self._child,
        )
        ray_nodes = {plan.head, *(worker.node for worker in plan.workers)}
        images = {
            image: self._image(image, variant, nodes, registry, hosts)
            for image, variant, nodes in (
                ("vllm", site.vllm_variant.value, ray_nodes),
                ("redis", _DEFAULT, {plan.head}),
                ("edge", _DEFAULT, {site.edge_node}),
            )
        }
        cluster = RayCluster(
            "ray",
            RayClusterArgs(
                site=site,
                plan=plan,
                credentials=self._credentials,
                nodes=self._machines.nodes,
                hosts=hosts,
                ray_image=images["vllm"],
                redis_image=images["redis"],
            ),
            self._child,
        )
        serving = Serving(
            "serving",
            ServingArgs(
                site=site, plan=plan, nodes=self._machines.nodes, hosts=hosts, cluster=cluster
            ),
            self._child,
        )
        head_address = site.nodes[plan.head].fabric_address
        edge = Edge(
            "edge",
            EdgeArgs(
                site=site,
                credentials=self._credentials,
                machine=self._machines.nodes[site.edge_node],
                host=hosts[site.edge_node],
                image=images["edge"],
                api_address=f"{head_address}:{site.ray.serve_port}",
            ),
            self._child,
        )
        self.endpoint, self.model = edge.endpoint, serving.model
        self.ca_certificate = self._credentials.ca_certificate
        self.api_keys = self._credentials.api_keys
        self.closure = closure(site, self._args.pins).hash
        ray = images["vllm"]
        placed = [
            ("registry", site.registry_node, registry.container, registry.image_id),
            ("redis", plan.head, cluster.redis, images["redis"].image_id),
            ("ray-head", plan.head, cluster.head, ray.image_id),
            ("edge", site.edge_node, edge.container, images["edge"].image_id),
            *(
                ("ray-worker", node, worker, ray.image_id)
                for node, worker in cluster.workers.items()
            ),
        ]
        self.expectations = expectations(
            ExpectationArgs(
                site=site,
                plan=plan,
                machines=self._machines.nodes,
                containers=[(name, node, image_id) for name, node, _, image_id in placed],
                ray_token=cluster.token,
                endpoint=edge.endpoint,
                model=serving.model,
                ca_certificate=self.ca_certificate,
                api_keys=self.api_keys,
            )
        )
        revisions: dict[str, Input[str]] = {
            **{f"switch-{key}": switch.revision for key, switch in self._switches.items()},
            **{f"node-{key}": node.revision for key, node in self._nodes.items()},
            **{f"{node}-{key}": container.revision for key, node, container, _ in placed},
            "serving": serving.revision,
        }
        self.verified = Verification(
            "verification",
            VerificationArgs(
                expectations=self.expectations,
                revisions=revisions,
                sources=verification_sources(),
                after=[serving.application, edge.container, *hosts.values(),
                       *(switch.config for switch in self._switches.values())],
            ),
            self._child,
        ).report  # fmt: skip

    def _image(
        self,
        image: str,
        variant: str,
        nodes: set[str],
        registry: SiteRegistry,
        hosts: Mapping[str, Resource],
    ) -> ContainerImage:
        return ContainerImage(
            image,
            ContainerImageArgs(
                image=image,
                variant=variant,
                sources=self._sources,
                registry=registry.access,
                registry_container=registry.container,
                registry_machine=self._machines.nodes[self._args.site.registry_node],
                nodes={node: self._machines.nodes[node] for node in sorted(nodes)},
                hosts=[hosts[node] for node in sorted(nodes)],
                twin=self._args.site.twin,
            ),
            self._child,
        )


def _pinned(pins: Mapping[str, str]) -> list[str]:
    listed = ", ".join(sorted(pins))
    told = f"images of an earlier generation run, as a rollback pinned them: {listed}"
    return [f"{told} ('pulumi config rm rackform:pinned' gives them up)"] if pins else []
