"""Every question that dashboards, `./rackform top` and the status page ask Prometheus.

Windows are fixed, not Grafana's `$__rate_interval`, so that every reader shows the same number.
"""

from collections.abc import Mapping

from monitoring.queries.base import Query, Unit
from monitoring.queries.gpus import Gpus, Power
from monitoring.queries.hosts import Hosts, Links
from monitoring.queries.serving import Models, Pipelines

__all__ = [
    "Gpus",
    "Hosts",
    "Links",
    "Models",
    "Pipelines",
    "Power",
    "Query",
    "Unit",
    "every",
]


def every() -> Mapping[str, Query]:
    """Return each query by its full name, as `Gpus.temperature`."""
    return {
        f"{group.__name__}.{name}": query
        for group in (Models, Pipelines, Hosts, Links, Gpus, Power)
        for name, query in vars(group).items()
        if isinstance(query, Query)
    }
