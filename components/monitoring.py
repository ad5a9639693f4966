"""Monitoring: Prometheus and Alertmanager on one node, exporters on all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi import ComponentResource, Input, Output, ResourceOptions

from components.containers import Placement, run_parts
from components.grafana import Grafana, GrafanaArgs
from components.images import ContainerImage, has_lock
from components.machines import on_machine
from components.secrets import placeholder
from components.services import Ground, Placed, Route
from components.status_page import StatusPage, StatusPageArgs
from monitoring import alertmanager, exporters, prometheus
from monitoring.place import PROMETHEUS_PATH
from remote.container_spec import ContainerParts
from stack.schema import Site
from stack.services import Monitoring as Declared

IMAGE, GPU_IMAGE = "monitoring", "dcgm-exporter"
_CA = "ca"


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    ground: Ground
    monitoring: Declared
    route_secrets: Mapping[str, Input[str]] = field(default_factory=dict)
    """Route → its secret: an ntfy token, a web hook's, a mail password."""


class Monitoring(ComponentResource):
    """Prometheus, Alertmanager, probes and exporters, each a container."""

    prometheus: Output[str]
    """Where Prometheus answers on the fabric."""
    placed: list[Placed]
    routes: list[Route]

    def __init__(
        self, name: str, args: MonitoringArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:Monitoring", name, None, opts)
        self._args, self._name = args, name
        ground, home = args.ground, args.monitoring.node
        site = ground.site
        gpus = gpu_nodes(site)
        if gpu_metrics_missing(site):
            pulumi.log.warn(_LEFT_OUT, self)
        self._secrets: dict[str, Input[str]] = {
            _CA: ground.credentials.ca_certificate,
            **{f"route {route}": value for route, value in args.route_secrets.items()},
        }
        self._image = ground.image(IMAGE, list(site.nodes))
        secrets = {route: placeholder(f"route {route}") for route in args.route_secrets}
        self.placed = [
            self._run(home, "alertmanager", alertmanager.alertmanager(site, secrets)),
            self._run(home, "prometheus", prometheus.prometheus(site, ground.plan, gpus=gpus)),
            self._run(home, "blackbox", exporters.blackbox(site, placeholder(_CA))),
            self._run(home, "token-probe", exporters.token_probe(site, ground.plan)),
            *(self._run(n, "node-exporter", exporters.node_exporter(site.nodes[n]))
              for n in site.nodes),
            *(self._run(n, "smokeping", exporters.smokeping(site, n))
              for n in site.nodes if len(site.nodes) > 1),
            *self._gpu_exporters(gpus),
        ]  # fmt: skip
        port = site.edge.operations_port
        self.routes = [
            Route(
                name="prometheus", upstream=prometheus.address(site), port=port,
                path=PROMETHEUS_PATH, password=True,
            ),
            Route(
                name="alertmanager", upstream=alertmanager.address(site), port=port,
                path=alertmanager.PATH, password=True,
            ),
        ]  # fmt: skip
        shown = (
            StatusPage(
                "status-page",
                StatusPageArgs(ground=ground, monitoring=args.monitoring, image=self._image),
                ResourceOptions(parent=self),
            ),
            Grafana(
                "grafana",
                GrafanaArgs(ground=ground, monitoring=args.monitoring),
                ResourceOptions(parent=self),
            ),
        )
        for each in shown:
            self.placed += each.placed
            self.routes += each.routes
        self.prometheus = Output.from_input(f"http://{prometheus.address(site)}{PROMETHEUS_PATH}")
        self.register_outputs({"prometheus": self.prometheus})

    def _gpu_exporters(self, nodes: Sequence[str]) -> list[Placed]:
        site = self._args.ground.site
        if site.twin:
            return [
                self._run(node, "gpu-exporter", exporters.gpu_simulator(site.nodes[node]))
                for node in nodes
            ]
        if not nodes:
            return []
        image = self._args.ground.image(GPU_IMAGE, nodes)
        return [
            self._run(node, "gpu-exporter", exporters.dcgm(site.nodes[node]), gpus=image)
            for node in nodes
        ]

    def _run(
        self, node: str, container: str, parts: ContainerParts, gpus: ContainerImage | None = None
    ) -> Placed:
        """Run a container of the monitoring image, or of `gpus`, which sees the node's GPUs."""
        ground, image = self._args.ground, gpus or self._image
        machine = ground.machines[node]
        made = run_parts(
            f"{self._name}-{node}-{container}",
            container,
            parts,
            Placement(node=machine, image=image, secrets=self._secrets, gpus=gpus is not None),
            on_machine(self, machine, ground.hosts[node], image.pulled, *ground.after),
        )
        return Placed(container, node, made, image.image_id)


def gpu_nodes(site: Site) -> list[str]:
    """Return the nodes whose GPUs are measured: none where the exporter's image has no lock."""
    if gpu_metrics_missing(site):
        return []
    return [name for name, node in site.nodes.items() if node.gpu_count]


def gpu_metrics_missing(site: Site) -> bool:
    return not site.twin and not has_lock(GPU_IMAGE)


_LEFT_OUT = (
    f"monitoring: image {GPU_IMAGE} has no lock, so GPUs have no metrics and no alerts until"
    f" './rackform lock {GPU_IMAGE}' was run where its registry is reached; the rest is monitored"
)
