"""Prometheus: what it scrapes, which follows from the site, and its container. Pure.

Each target bears the label `node`. What a node offers is scraped over the fabric.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from monitoring.place import PROMETHEUS_PATH, home, operations_url
from monitoring.rule import EVALUATION_S, rules_yaml, to_yaml
from monitoring.rules import groups
from planner.models import Plan
from remote import host_folders
from remote.container_spec import ContainerParts, HostFile, Mount, Readiness
from serving.ray_node import METRICS_PORT
from stack import doors
from stack.schema import FABRIC, Site

DATA = f"{host_folders.DATA}/prometheus"
USER = "996:996"
"""The user of images/monitoring."""
SCRAPE_S = 10
_FOLDER = "/etc/prometheus"
_MIB = 1024
API = "/v1/models"
"""What the edge answers with 401 to who has no key."""
_HEALTH = {"open_webui": "/health", "anythingllm": "/api/ping"}
Tree = dict[str, object]


def address(site: Site) -> str:
    """Return host:port; Prometheus answers below PROMETHEUS_PATH there."""
    return f"{home(site)}:{doors.PROMETHEUS}"


def prometheus(site: Site, plan: Plan, *, gpus: Sequence[str]) -> ContainerParts:
    """Return the container; `gpus`: nodes that have a DCGM exporter or its simulator."""
    assert site.monitoring  # noqa: S101 - declared only where the site asks for it
    size_mib = int(site.monitoring.retention_gib * _MIB)
    return ContainerParts(
        command=[
            "prometheus",
            f"--config.file={_FOLDER}/prometheus.yml",
            "--storage.tsdb.path=/data",
            f"--storage.tsdb.retention.time={site.monitoring.retention_days}d",
            f"--storage.tsdb.retention.size={size_mib}MB",
            f"--web.listen-address={address(site)}",
            f"--web.external-url={operations_url(site, PROMETHEUS_PATH)}",
            "--log.level=warn",
        ],
        user=USER,
        files={
            f"{_FOLDER}/prometheus.yml": HostFile(content=config(site, plan, gpus)),
            f"{_FOLDER}/rules.yml": HostFile(content=rules_yaml(groups(site, plan))),
        },
        mounts=[Mount(source=DATA, target="/data", read_only=False)],
        ready=Readiness(kind="tcp", target=address(site).split(":"), timeout_s=120),
    )


def config(site: Site, plan: Plan, gpus: Sequence[str]) -> str:
    alertmanager = {
        "path_prefix": "/alertmanager",
        "static_configs": [{"targets": [f"{home(site)}:{doors.ALERTMANAGER}"]}],
    }
    return to_yaml(
        {
            "global": {
                "scrape_interval": f"{SCRAPE_S}s",
                "scrape_timeout": f"{SCRAPE_S}s",
                "evaluation_interval": f"{EVALUATION_S}s",
                "external_labels": {"site": site.name},
            },
            "rule_files": [f"{_FOLDER}/rules.yml"],
            "alerting": {"alertmanagers": [alertmanager]},
            "scrape_configs": list(_jobs(site, plan, gpus)),
        }
    )


def _jobs(site: Site, plan: Plan, gpus: Sequence[str]) -> Iterator[Tree]:
    assert site.monitoring  # noqa: S101 - as above
    home = [site.monitoring.node]
    yield _job(
        site, "prometheus", doors.PROMETHEUS, home, metrics_path=f"{PROMETHEUS_PATH}/metrics"
    )
    yield _job(site, "alertmanager", doors.ALERTMANAGER, home, metrics_path="/alertmanager/metrics")
    yield _job(site, "node", doors.NODE_EXPORTER, list(site.nodes))
    if len(site.nodes) > 1:
        yield _job(
            site, "smokeping", doors.SMOKEPING, list(site.nodes),
            metric_relabel_configs=list(_pinged(site)),
        )  # fmt: skip
    if gpus:
        labels = {"lab_simulated": "true"} if site.twin else {}
        yield _job(site, "gpu", doors.GPU_EXPORTER, list(gpus), labels=labels)
    yield _job(site, "ray", METRICS_PORT, plan.ray_nodes)
    yield _job(site, "tokens", doors.TOKEN_PROBE, home)
    yield _endpoints(site)


def _job(
    site: Site,
    name: str,
    port: int,
    nodes: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    **settings: object,
) -> Tree:
    return {
        "job_name": name,
        **settings,
        "static_configs": [
            {
                "targets": [f"{site.nodes[node].fabric_address}:{port}"],
                "labels": {"node": node, **(labels or {})},
            }
            for node in nodes
        ],
    }


def _pinged(site: Site) -> Iterator[Tree]:
    """Name whom a ping is for, over which network, and its size (see exporters.smokeping)."""
    yield _set("size", "small", host=".+")
    yield _set("size", "large", host="::ffff:.+")
    for name, node in site.nodes.items():
        networks = {FABRIC: node.fabric_address, "management": node.address}
        networks |= {network: rail.address for network, rail in node.rails.items()}
        for network, ip in networks.items():
            yield _set("peer", name, ip=re.escape(str(ip)))
            yield _set("network", network, ip=re.escape(str(ip)))
    yield {"action": "labeldrop", "regex": "host"}


def _set(label: str, value: str, **when: str) -> Tree:
    ((source, regex),) = when.items()
    return {
        "source_labels": [source], "regex": regex, "target_label": label, "replacement": value,
    }  # fmt: skip


def _endpoints(site: Site) -> Tree:
    """Everything that a person opens, asked by the blackbox exporter on the monitoring node."""
    return {
        "job_name": "endpoint",
        "metrics_path": "/probe",
        "static_configs": [
            {
                "targets": [url],
                "labels": {"endpoint": name, "node": node, "__param_module": module},
            }
            for name, node, module, url in _probed(site)
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"{home(site)}:{doors.BLACKBOX}"},
        ],
    }


def _probed(site: Site) -> Iterator[tuple[str, str, str, str]]:
    edge = site.nodes[site.edge_node]
    port = "" if site.edge.port == 443 else f":{site.edge.port}"  # noqa: PLR2004 - https's own
    yield "edge", site.edge_node, "edge", f"https://{edge.address}{port}{API}"
    for name, path in names_of_edge(site).items():
        yield name, site.edge_node, name, f"https://{edge.address}{port}{path}"
    for key, front in doors.fronts(site):
        if doors.runs(key):
            at = f"{site.nodes[front.node].fabric_address}:{front.fabric_port}"
            yield key.replace("_", "-"), front.node, "front_end", f"http://{at}{_HEALTH[key]}"
    if embedding := site.frontends.embeddings:
        at = f"{site.nodes[embedding.node].fabric_address}:{embedding.fabric_port}"
        yield "embeddings", embedding.node, "front_end", f"http://{at}/v1/models"


def names_of_edge(site: Site) -> dict[str, str]:
    """Return name → path, of all at which the edge may show another certificate than by address."""
    named = [front.host_name for key, front in doors.fronts(site) if doors.runs(key)]
    return {**dict.fromkeys(site.edge.host_names, API), **{name: "/" for name in named if name}}
