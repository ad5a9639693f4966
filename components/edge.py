"""The one door to the appliance: TLS and keys in front of `/v1`, TLS and passwords of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from components.containers import Placement, run_parts
from components.credentials import EDGE, OPERATOR, api_key_token
from components.images import ContainerImage
from components.machines import on_machine
from components.passwords import hashed
from components.resources import Container
from components.secrets import placeholder
from components.services import Ground, Placed, Route
from edge import parts
from edge.caddyfile import Door, Offer
from edge.certificate import OwnCertificate
from remote.container_spec import ContainerParts
from serving.ray_node import DASHBOARD_PORT
from stack.doors import KEY_LIMITS, READINESS, shows_ray
from stack.schema import Site


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    ground: Ground
    routes: Sequence[Route]
    """What front-ends and monitoring want to be offered."""
    own: OwnCertificate | None = None
    """For the host names, where the site gives its own."""


class Edge(ComponentResource):
    """Caddy: the site's certificate, the site's API keys, streaming passed on as it comes."""

    endpoint: Output[str]
    """The base URL for an OpenAI client."""
    container: Container
    placed: list[Placed]

    def __init__(self, name: str, args: EdgeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Edge", name, None, opts)
        self._args, self.placed = args, []
        site = args.ground.site
        self._image = args.ground.image("edge", {site.edge_node})
        door = _door(site, args.routes)
        limits: list[Resource] = []
        if site.edge.requests_per_minute and door.limits_port:
            counted = parts.key_limits(site.edge.requests_per_minute, door.limits_port)
            limits.append(self._run(f"{name}-limits", "edge-limits", counted, {}))
        secrets = self._secrets()
        stand_ins = parts.Secrets(
            keys={key: placeholder(api_key_token(key)) for key in site.edge.api_keys},
            operator_hash=placeholder("operator_hash"),
            ray_token=placeholder("ray"),
            certificates={
                kind: (placeholder(f"{kind}_certificate"), placeholder(f"{kind}_key"))
                for kind in ("tls", *(("own",) if args.own else ()))
            },
        )
        self.container = self._run(
            f"{name}-container", "edge", parts.edge(door, stand_ins), secrets, *limits
        )
        suffix = "" if door.port == 443 else f":{door.port}"  # noqa: PLR2004 - https's own port
        self.endpoint = Output.from_input(f"https://{door.address}{suffix}/v1")
        self.register_outputs({"endpoint": self.endpoint})

    def _secrets(self) -> dict[str, Input[str]]:
        made, own = self._args.ground.credentials, self._args.own
        keys = [api_key_token(key) for key in self._args.ground.site.edge.api_keys]
        return {
            **{key: made.token(key) for key in keys},
            "operator_hash": made.token(OPERATOR).apply(hashed),
            "ray": made.token("ray"),
            "tls_certificate": made.certificate(EDGE),
            "tls_key": made.key(EDGE),
            "own_certificate": own.certificate if own else "",
            "own_key": Output.secret(own.key if own else ""),
        }

    def _run(
        self,
        name: str,
        container: str,
        rendered: ContainerParts,
        secrets: Mapping[str, Input[str]],
        *after: Resource,
    ) -> Container:
        ground, node, image = self._args.ground, self._args.ground.site.edge_node, self._image
        made = run_parts(
            name,
            container,
            rendered,
            Placement(node=ground.machines[node], image=image, secrets=secrets),
            self._options(node, image, *after),
        )
        self.placed.append(Placed(container, node, made, image.image_id))
        return made

    def _options(self, node: str, image: ContainerImage, *after: Resource) -> ResourceOptions:
        ground = self._args.ground
        return on_machine(self, ground.machines[node], ground.hosts[node], image.pulled, *after)


def _door(site: Site, routes: Sequence[Route]) -> Door:
    edge, head = site.edge, site.nodes[site.head]
    return Door(
        address=str(site.nodes[site.edge_node].address),
        port=edge.port,
        host_names=edge.host_names,
        api=f"{head.fabric_address}:{site.ray.serve_port}",
        wait_s=edge.wait_s,
        readiness_port=READINESS,
        limits_port=KEY_LIMITS if edge.requests_per_minute else None,
        tls=edge.tls.kind,
        email=edge.tls.email,
        offers=[*map(_offer, routes), *_own_offers(site)],
    )


def _offer(route: Route) -> Offer:
    return Offer(
        name=route.name,
        upstream=route.upstream,
        port=route.port,
        host_name=route.host_name,
        path=route.path,
        password=route.password,
    )


def _own_offers(site: Site) -> list[Offer]:
    """Return what the edge offers of itself: Ray's dashboard, where it reaches that."""
    offers = []
    if shows_ray(site):
        offers.append(
            Offer(
                name="ray", upstream=f"127.0.0.1:{DASHBOARD_PORT}", port=site.edge.operations_port,
                path="/ray", password=True, is_ray=True,
            )
        )  # fmt: skip
    return offers
