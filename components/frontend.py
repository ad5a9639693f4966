"""What the web front-ends have in common: the API that they ask, and how browsers reach them."""

from components.services import Route
from stack.schema import Site
from stack.services import AnythingLlm, OpenWebUi

Declared = OpenWebUi | AnythingLlm


def cluster_api(site: Site) -> str:
    """Return the cluster's OpenAI API on the fabric, which asks for no key: see decision 0054."""
    return f"http://{site.nodes[site.head].fabric_address}:{site.ray.serve_port}/v1"


def public_urls(site: Site, declared: Declared) -> list[str]:
    """Return where browsers find a front-end: on its port by any name, and by its own name alone.

    A page that is opened elsewhere is refused its stream, whose origin is none of these.
    """
    names = [*site.edge.host_names, *filter(None, [declared.host_name])]
    hosts = [str(site.nodes[site.edge_node].address), *(n for n in names if not n.startswith("*"))]
    urls = [_origin(host, declared.port) for host in hosts]
    return urls + ([_origin(declared.host_name, site.edge.port)] if declared.host_name else [])


def _origin(host: str, port: int) -> str:
    """Return an origin as browsers name it: without the port that is https's own."""
    return f"https://{host}" if port == 443 else f"https://{host}:{port}"  # noqa: PLR2004


def front_route(site: Site, name: str, declared: Declared) -> Route:
    address = site.nodes[declared.node].fabric_address
    return Route(
        name=name,
        upstream=f"{address}:{declared.fabric_port}",
        port=declared.port,
        host_name=declared.host_name,
    )
