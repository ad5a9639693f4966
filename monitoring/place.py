"""Where monitoring is found on a site. Pure."""

from stack import doors
from stack.schema import Site

PROMETHEUS_PATH = "/prometheus"
"""Prometheus answers below this path on the fabric too, as the edge shows it there."""


def home(site: Site) -> str:
    """Return the fabric address of the node that monitors; the site asks for monitoring."""
    assert site.monitoring  # noqa: S101 - declared only where the site asks for it
    return str(site.nodes[site.monitoring.node].fabric_address)


def prometheus_url(site: Site) -> str:
    """Return Prometheus' address on the fabric."""
    return f"http://{home(site)}:{doors.PROMETHEUS}{PROMETHEUS_PATH}"


def operations_url(site: Site, path: str) -> str:
    """Return where a person finds a page of the edge's operations port."""
    edge = site.nodes[site.edge_node]
    named = (name for name in site.edge.host_names if not name.startswith("*"))
    host = next(named, edge.address)
    return f"https://{host}:{site.edge.operations_port}{path}"
