"""What embeds texts for the front-ends: a small model on the CPU of one node."""

from dataclasses import dataclass

from pulumi import ComponentResource, ResourceOptions

from components.containers import Placement, run_parts
from components.images import ContainerImage
from components.machines import installations, on_machine
from components.resources import ModelWeights
from components.services import Ground, Placed
from frontends import embeddings
from models.sources import folder_name
from stack import services
from stack.schema import Site


@dataclass(frozen=True, kw_only=True)
class EmbeddingsArgs:
    ground: Ground
    declared: services.EmbeddingService
    engine: ContainerImage
    """vLLM's image, which the node has."""


class Embeddings(ComponentResource):
    """One container of vLLM's image, and the weights that it reads."""

    placed: Placed

    def __init__(
        self, name: str, args: EmbeddingsArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:Embeddings", name, None, opts)
        ground, declared = args.ground, args.declared
        node, machine = ground.site.nodes[declared.node], ground.machines[declared.node]
        host = ground.hosts[declared.node]
        weights = ModelWeights(
            f"{name}-weights",
            source=declared.source,
            revision=declared.revision,
            nodes=[machine.connection],
            machines=installations({declared.node: machine}),
            fabric_addresses={declared.node: str(node.fabric_address)},
            opts=ResourceOptions(parent=self, depends_on=[host]),
        )
        container = run_parts(
            f"{name}-container",
            embeddings.NAME,
            embeddings.embeddings(
                str(node.fabric_address),
                declared.fabric_port,
                folder_name(declared.source, declared.revision, None),
            ),
            Placement(node=machine, image=args.engine, secrets={}),
            on_machine(self, machine, host, args.engine.pulled, weights, *ground.after),
        )
        self.placed = Placed(embeddings.NAME, declared.node, container, args.engine.image_id)
        self.register_outputs({})


def told(site: Site, declared: services.Frontend) -> tuple[str | None, str]:
    """Return base URL and model of what embeds for a front-end: its own choice, else the site's."""
    if declared.embeddings:
        return declared.embeddings.url, declared.embeddings.model
    service = site.frontends.embeddings
    if service is None:
        return None, ""
    address = site.nodes[service.node].fabric_address
    return f"http://{address}:{service.fabric_port}/v1", embeddings.MODEL
