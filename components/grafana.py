"""Grafana on the monitoring node, where its image can be had; the dashboards are ours."""

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Output, ResourceOptions

from components.containers import Placement, run_parts
from components.images import has_lock
from components.machines import on_machine
from components.secrets import placeholder
from components.services import Ground, Placed, Route
from monitoring import grafana
from stack.doors import GRAFANA
from stack.services import Monitoring

_NAME = "grafana"
_WITHOUT = (
    "Grafana is left out, and the rest goes on: images/grafana has no lock, as its image comes from"
    " its makers' registry; run './rackform lock grafana' where that can be reached. './rackform"
    " top' and the status page show the essentials without it"
)


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    ground: Ground
    monitoring: Monitoring


class Grafana(ComponentResource):
    """Dashboards for people, behind the edge's operations port and a password of its own."""

    admin_password: Output[str]
    """Of the user `admin` (secret)."""

    def __init__(self, name: str, args: GrafanaArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Grafana", name, None, opts)
        self.admin_password = args.ground.credentials.token(_NAME)
        self.placed: list[Placed] = []
        self.routes: list[Route] = []
        if has_lock(_NAME):
            self._declare(name, args)
        else:
            pulumi.log.warn(_WITHOUT, self)
        self.register_outputs({"admin_password": self.admin_password})

    def _declare(self, name: str, args: GrafanaArgs) -> None:
        ground, node = args.ground, args.monitoring.node
        image = ground.image(_NAME, {node})
        parts = grafana.grafana(ground.site, password=placeholder(_NAME))
        container = run_parts(
            f"{name}-container",
            _NAME,
            parts,
            Placement(
                node=ground.machines[node], image=image, secrets={_NAME: self.admin_password}
            ),
            on_machine(
                self, ground.machines[node], ground.hosts[node], image.pulled, *ground.after
            ),
        )
        self.placed.append(Placed(_NAME, node, container, image.image_id))
        self.routes.append(
            Route(
                name=_NAME,
                upstream=f"{ground.site.nodes[node].fabric_address}:{GRAFANA}",
                port=ground.site.edge.operations_port,
                path=grafana.PATH,
                password=True,
            )
        )
