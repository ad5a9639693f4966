"""The whole appliance: a site and its plan, as Pulumi resources in the order of their needs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pulumi
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from components.closure import closure, image_variant, verification_sources
from components.credentials import SiteCredentials
from components.edge import Edge, EdgeArgs
from components.expectations import ExpectationArgs, expectations
from components.fabric import FabricSwitch, FabricSwitchArgs
from components.frontends import Frontends, FrontendsArgs
from components.images import ContainerImage, ContainerImageArgs, ImageSources, oci_image
from components.machines import Machines, Twin, TwinArgs, real_machines
from components.monitoring import Monitoring, MonitoringArgs
from components.nccl_gate import NcclGate, NcclGateArgs
from components.node import ClusterNode, ClusterNodeArgs
from components.ray_cluster import RayCluster, RayClusterArgs
from components.reboots import Reboots, RebootsArgs, at_reboot
from components.registry import RegistryArgs, SiteRegistry, registry_address
from components.resources import plain
from components.services import Ground, Placed
from components.serving import Serving, ServingArgs
from components.verification import Verification, VerificationArgs
from edge.certificate import OwnCertificate
from planner.models import Plan
from serving import ray_node
from stack.schema import Site


@dataclass(frozen=True, kw_only=True)
class ApplianceArgs:
    site: Site
    plan: Plan
    private_key_file: Path
    """The controller's SSH key, used where the site names none."""
    authorized_key: str
    """Its public half, which a twin's machines accept."""
    own_certificate: OwnCertificate | None = None
    """For the edge's host names, where the site gives its own."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """image/variant → input hash of an earlier generation's image (`rackform:pinned`)."""
    route_secrets: Mapping[str, Input[str]] = field(default_factory=dict)
    """Route of monitoring → its secret (`rackform:route_secrets`)."""


class Appliance(ComponentResource):
    """Machines, fabric, hosts, images, Ray, models, edge; verified at the end."""

    endpoint: Output[str]
    model: str
    closure: str
    ca_certificate: Output[str]
    api_keys: Output[Mapping[str, str]]
    passwords: Output[Mapping[str, str]]
    frontends: Output[Mapping[str, Mapping[str, str]]]
    """Front-end → url, user, password, api_key, as far as it has them (secret)."""
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
        self._reboots = self._declare_reboots()
        ground = self._ground()
        services = [*self._serve(ground), *self._offer(ground)]
        self._verify(ground, services)
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
        bases = {system: self._node_image(system.image_variant) for system in site.systems}
        return Twin(
            "twin",
            TwinArgs(site=site, base_digests=bases, authorized_key=self._args.authorized_key),
            self._child,
        ).machines

    def _node_image(self, variant: str) -> Output[str]:
        name = "node-image" if variant == "default" else f"node-image-{variant}"
        return oci_image(name, ("node", variant), self._sources, self._child).digest

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
                    plan=self._args.plan,
                    node=node,
                    machine=self._machines.nodes[node],
                    registry_address=registry_address(site),
                    ca_certificate=self._credentials.ca_certificate,
                    at_reboot=at_reboot(site, self._args.plan, node),
                ),
                self._child,
            )
            for node in site.nodes
        }

    def _declare_reboots(self) -> Reboots:
        return Reboots(
            "reboots",
            RebootsArgs(
                site=self._args.site,
                plan=self._args.plan,
                machines=self._machines.nodes,
                hosts={key: node.host for key, node in self._nodes.items()},
                private_key_file=self._args.private_key_file,
                ray_token=self._credentials.token("ray"),
            ),
            self._child,
        )

    def _ground(self) -> Ground:
        site = self._args.site
        hosts = self._reboots.settled
        self._registry = SiteRegistry(
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
        return Ground(
            site=site,
            plan=self._args.plan,
            credentials=self._credentials,
            machines=self._machines.nodes,
            hosts=hosts,
            image=self._image,
        )

    def _serve(self, ground: Ground) -> list[Placed]:
        """Declare what answers: Ray, and the models on it."""
        site, plan = ground.site, ground.plan
        ray_image = self._engine_image(ground)
        redis_image = ground.image("redis", {plan.head})
        gate = NcclGate(
            "nccl-gate",
            NcclGateArgs(
                site=site,
                plan=plan,
                machines=ground.machines,
                hosts=ground.hosts,
                image=ray_image,
                revisions=self._revisions(),
            ),
            self._child,
        )
        cluster = RayCluster(
            "ray",
            RayClusterArgs(
                site=site,
                plan=plan,
                credentials=ground.credentials,
                nodes=ground.machines,
                hosts=ground.hosts,
                ray_image=ray_image,
                redis_image=redis_image,
            ),
            self._child,
        )
        self._serving = Serving(
            "serving",
            ServingArgs(
                site=site,
                plan=plan,
                nodes=ground.machines,
                hosts=ground.hosts,
                cluster=cluster,
                gate=gate.passed,
                returned=self._reboots.returned,
            ),
            self._child,
        )
        self._engine = ray_image
        self._ray_token, self.model = cluster.token, self._serving.model
        return [
            Placed(
                "registry", site.registry_node, self._registry.container, self._registry.image_id
            ),
            Placed("redis", plan.head, cluster.redis, redis_image.image_id),
            Placed(ray_node.HEAD, plan.head, cluster.head, ray_image.image_id),
            *(
                Placed(ray_node.WORKER, node, worker, ray_image.image_id)
                for node, worker in cluster.workers.items()
            ),
        ]

    @staticmethod
    def _engine_image(ground: Ground) -> ContainerImage:
        """Declare vLLM's image on Ray's nodes, and where texts are embedded, which it does, too."""
        embedding = ground.site.frontends.embeddings
        return ground.image(
            "vllm", {*ground.plan.ray_nodes, *([embedding.node] if embedding else [])}
        )

    def _offer(self, ground: Ground) -> list[Placed]:
        """Declare what people use: front-ends, monitoring, and the edge in front of all.

        In a twin, whose machines share few cores, the model comes first.
        """
        after = [self._serving.application] if ground.site.twin else []
        beside = replace(ground, after=after, image=partial(self._image, after=after))
        frontends = Frontends(
            "frontends", FrontendsArgs(ground=beside, engine=self._engine), self._child
        )
        offered: list[Frontends | Monitoring] = [frontends]
        if monitoring := ground.site.monitoring:
            args = MonitoringArgs(
                ground=beside, monitoring=monitoring, route_secrets=self._args.route_secrets
            )
            offered.append(Monitoring("monitoring", args, self._child))
        edge = Edge(
            "edge",
            EdgeArgs(
                ground=ground,
                routes=[route for each in offered for route in each.routes],
                own=self._args.own_certificate,
            ),
            self._child,
        )
        self.endpoint, self.frontends = edge.endpoint, frontends.access
        return [*edge.placed, *(placed for each in offered for placed in each.placed)]

    def _verify(self, ground: Ground, services: Sequence[Placed]) -> None:
        site = ground.site
        self.ca_certificate = self._credentials.ca_certificate
        self.api_keys = self._credentials.api_keys
        self.passwords = self._credentials.passwords
        self.closure = closure(site, self._args.pins).hash
        self.expectations = expectations(
            ExpectationArgs(
                site=site,
                plan=ground.plan,
                machines=ground.machines,
                containers=[(each.container, each.node, each.image_id) for each in services],
                ray_token=self._ray_token,
                endpoint=self.endpoint,
                model=self.model,
                ca_certificate=self.ca_certificate,
                api_keys=self.api_keys,
            )
        )
        revisions: dict[str, Input[str]] = {
            **self._revisions(),
            **{f"{each.node}-{each.container}": each.resource.revision for each in services},
            "serving": self._serving.revision,
        }
        self.verified = Verification(
            "verification",
            VerificationArgs(
                expectations=self.expectations,
                revisions=revisions,
                sources=verification_sources(),
                after=[
                    self._serving.application,
                    *(each.resource for each in services),
                    *ground.hosts.values(),
                    *(switch.config for switch in self._switches.values()),
                ],
            ),
            self._child,
        ).report

    def _revisions(self) -> dict[str, Input[str]]:
        """Return what changes with the machines and what joins them."""
        return {
            **{f"switch-{key}": switch.revision for key, switch in self._switches.items()},
            **{f"node-{key}": node.revision for key, node in self._nodes.items()},
            **{f"return-{key}": told for key, told in self._reboots.returned.items()},
        }

    def _image(
        self, image: str, nodes: Collection[str], after: Sequence[Resource] = ()
    ) -> ContainerImage:
        site = self._args.site
        return ContainerImage(
            image,
            ContainerImageArgs(
                image=image,
                variant=image_variant(site, image),
                sources=self._sources,
                registry=self._registry.access,
                registry_container=self._registry.container,
                registry_machine=self._machines.nodes[site.registry_node],
                nodes={node: self._machines.nodes[node] for node in sorted(nodes)},
                hosts=[self._reboots.settled[node] for node in sorted(nodes)],
                twin=site.twin,
                after=after,
            ),
            self._child,
        )


def _pinned(pins: Mapping[str, str]) -> list[str]:
    listed = ", ".join(sorted(pins))
    told = f"images of an earlier generation run, as a rollback pinned them: {listed}"
    return [f"{told} ('pulumi config rm rackform:pinned' gives them up)"] if pins else []
