"""What a site offers beyond the fabric, and what its services listen on there: ports and names."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stack.paths import ROOT
from stack.services import AnythingLlm, EmbeddingService, OpenWebUi

if TYPE_CHECKING:
    from stack.schema import Site

GRAFANA, PROMETHEUS, ALERTMANAGER = 3002, 9090, 9093
NODE_EXPORTER, BLACKBOX, SMOKEPING, GPU_EXPORTER = 9100, 9115, 9374, 9400
TOKEN_PROBE, STATUS_PAGE = 9105, 9106
KEY_LIMITS, READINESS = 9107, 9108
"""Of the edge, on its node's loopback."""
WATCHDOG = 9109

FIXED: Final = {
    OpenWebUi.fabric_port: "Open WebUI",
    AnythingLlm.fabric_port: "AnythingLLM",
    EmbeddingService.fabric_port: "what embeds",
    GRAFANA: "Grafana",
    PROMETHEUS: "Prometheus",
    ALERTMANAGER: "Alertmanager",
    NODE_EXPORTER: "the node exporter",
    TOKEN_PROBE: "the token probe",
    STATUS_PAGE: "the status page",
    KEY_LIMITS: "the edge's limits",
    READINESS: "the edge's question whether the model is ready",
    BLACKBOX: "the blackbox exporter",
    SMOKEPING: "the smokeping prober",
    GPU_EXPORTER: "the GPU exporter",
    WATCHDOG: "the watchdog",
}
"""Port → what listens there on the fabric or the loopback, and nobody can set."""


def head_of(site: "Site") -> str | None:
    """Return the head, None in a draft without one."""
    return next((name for name, node in site.nodes.items() if "head" in node.roles), None)


def edge_ports(site: "Site") -> dict[str, int]:
    """Return setting → HTTPS port of all that the edge is asked to offer."""
    ports = {"edge.port": site.edge.port}
    if has_operations(site):
        ports["edge.operations_port"] = site.edge.operations_port
    declared = {f"frontends.{key}.port": front.port for key, front in fronts(site)}
    return {**ports, **declared}


def has_operations(site: "Site") -> bool:
    """Return whether the edge has anything for the operator: Ray's dashboard, or monitoring."""
    return site.monitoring is not None or shows_ray(site)


def shows_ray(site: "Site") -> bool:
    """Return whether the edge can reach Ray's dashboard, which is on the head's loopback alone."""
    head = head_of(site)
    return (site.edge.node or head) == head


def fronts(site: "Site") -> Iterator[tuple[str, OpenWebUi | AnythingLlm]]:
    """Yield key and settings of every front-end that is declared."""
    if site.frontends.open_webui:
        yield "open_webui", site.frontends.open_webui
    if site.frontends.anythingllm:
        yield "anythingllm", site.frontends.anythingllm


def runs(frontend: str) -> bool:
    """Return whether a front-end, or another image, can be run: it has a lock in this checkout."""
    folder = frontend.replace("_", "-")
    return (ROOT / "images" / folder / "lock.json").is_file()


def host_names(site: "Site") -> tuple[str, ...]:
    """Return the DNS names by which the edge is reached, those of front-ends last."""
    named = (front.host_name for _, front in fronts(site))
    return (*site.edge.host_names, *(name for name in named if name))


def open_tcp(site: "Site", node: str) -> list[int]:
    """Return the ports of a node that are reached from outside the fabric, in order."""
    ports = {22 if site.twin else site.ssh.port}
    if node == site.registry_node:
        ports.add(site.registry.port)
    if node == site.edge_node:
        waiting = {f"frontends.{key}.port" for key, _ in fronts(site) if not runs(key)}
        ports |= {port for path, port in edge_ports(site).items() if path not in waiting}
    return sorted(ports)
