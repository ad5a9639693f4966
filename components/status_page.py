"""The status page on the monitoring node: what works and what does not, for everybody."""

from dataclasses import dataclass

from pulumi import ComponentResource, ResourceOptions

from components.containers import Placement, run_parts
from components.images import ContainerImage
from components.machines import on_machine
from components.resources import Container
from components.services import Ground, Placed, Route
from monitoring import status
from stack.doors import STATUS_PAGE
from stack.services import Monitoring


@dataclass(frozen=True, kw_only=True)
class StatusPageArgs:
    ground: Ground
    monitoring: Monitoring
    image: ContainerImage
    """The monitoring image, which is on that node already."""


class StatusPage(ComponentResource):
    """A static page that the edge offers without a password."""

    container: Container

    def __init__(
        self, name: str, args: StatusPageArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:StatusPage", name, None, opts)
        ground, node = args.ground, args.monitoring.node
        machine, image = ground.machines[node], args.image
        self.container = run_parts(
            f"{name}-container",
            "status-page",
            status.container(ground.site, ground.plan),
            Placement(node=machine, image=image, secrets={}),
            on_machine(self, machine, ground.hosts[node], image.pulled, *ground.after),
        )
        self.placed = [Placed("status-page", node, self.container, image.image_id)]
        self.routes = [
            Route(
                name="status",
                upstream=f"{ground.site.nodes[node].fabric_address}:{STATUS_PAGE}",
                port=ground.site.edge.port,
                path=status.PATH,
            )
        ]
        self.register_outputs({})
