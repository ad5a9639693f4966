"""What the web front-ends have in common: the API that they ask, and how browsers reach them."""

from components.services import Route
from stack.schema import Site
from stack.services import AnythingLlm, OpenWebUi

Declared = OpenWebUi | AnythingLlm


def cluster_api(site: Site) -> str:
    """Return the cluster's OpenAI API on the fabric, which asks for no key: see decision 0054."""
    return f"http://{site.nodes[site.head].fabric_address}:{site.ray.serve_port}/v1"


def public_urls(site: Site, declared: Declared) -> list[str]:
    """Return where browsers find a front-end: by the edge's address, and by its own name."""
    urls = [f"https://{site.nodes[site.edge_node].address}:{declared.port}"]
    if declared.host_name:
        port = "" if site.edge.port == 443 else f":{site.edge.port}"  # noqa: PLR2004 - https's own
        urls.append(f"https://{declared.host_name}{port}")
    return urls


def front_route(site: Site, name: str, declared: Declared) -> Route:
    address = site.nodes[declared.node].fabric_address
    return Route(
        name=name,
        upstream=f"{address}:{declared.fabric_port}",
        port=declared.port,
        host_name=declared.host_name,
    )
