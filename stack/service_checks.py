"""The rules that look at more than one setting: ports, names, certificates, keys and alerts."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from stack.doors import (
    ALERTMANAGER,
    BLACKBOX,
    FIXED,
    GPU_EXPORTER,
    GRAFANA,
    KEY_LIMITS,
    NODE_EXPORTER,
    PROMETHEUS,
    READINESS,
    SMOKEPING,
    STATUS_PAGE,
    TOKEN_PROBE,
    WATCHDOG,
    edge_ports,
    fronts,
    head_of,
)
from stack.draft import Draft
from stack.hints import SettingError, told
from stack.schema import Site
from stack.services import Route

_RAY_PORTS = {6379, 6380, *range(6381, 6390), 8080, 8265, *range(10002, 10101)}
"""What Ray itself listens on, as `serving.ray_node` starts it, with some to spare."""

_HTTPS: Final = 443
_EPHEMERAL: Final = 32768
"""From here on Linux gives ports to outgoing connections, which a listener then finds taken."""


def _ports(draft: Draft) -> Iterator[SettingError]:
    site, ray = draft.site, _ray(draft.site)
    own = {"registry.port": site.registry.port, **edge_ports(site), **ray}
    for path, port in own.items():
        if port >= _EPHEMERAL:
            rest = f"but from {_EPHEMERAL} on outgoing connections may have it: choose one below"
            yield told(path, port, rest)
    for path, port in {**own, "ssh.port": site.ssh.port}.items():
        if port in _RAY_PORTS:
            yield told(path, port, "but Ray's own parts listen there: choose one such as 8001")
    for node in site.nodes:
        first: dict[int, str] = {}
        fixed = _fixed(site, node)
        for path, port in _set_on(site, node).items():
            if port in first:
                rest = f"but {first[port]} has that port on the same node: choose another"
                yield told(path, port, rest)
            elif port in fixed:
                rest = f"but {FIXED[port]} listens there on the same node: choose another"
                yield told(path, port, rest)
            first.setdefault(port, path)


def _ray(site: Site) -> dict[str, int]:
    return {f"ray.{name}": port for name, port in site.ray if name.endswith("_port")}


def _set_on(site: Site, node: str) -> dict[str, int]:
    """Return setting → port of all that listens on a node and can be told where."""
    head = head_of(site)
    ports = {"ssh.port": site.ssh.port}
    if node == head:
        ports |= _ray(site)
    if node == (site.registry.node or head):
        ports["registry.port"] = site.registry.port
    if node == (site.edge.node or head):
        ports |= edge_ports(site)
    return ports


def _fixed(site: Site, node: str) -> set[int]:
    """Return the ports of a node that are taken and cannot be set."""
    taken = {front.fabric_port for _, front in fronts(site) if front.node == node}
    if (embedding := site.frontends.embeddings) and node == embedding.node:
        taken.add(embedding.fabric_port)
    if node == (site.edge.node or head_of(site)):
        taken |= {KEY_LIMITS, READINESS}
    if node == head_of(site) and site.watchdog:
        taken.add(WATCHDOG)
    if site.monitoring:
        taken |= {NODE_EXPORTER, SMOKEPING, GPU_EXPORTER}
        if node == site.monitoring.node:
            taken |= {GRAFANA, PROMETHEUS, ALERTMANAGER, BLACKBOX, TOKEN_PROBE, STATUS_PAGE}
    return taken


def _named(site: Site) -> Iterator[tuple[str, str]]:
    """Yield setting and DNS name of all by which the edge is reached."""
    for index, name in enumerate(site.edge.host_names):
        yield f"edge.host_names[{index}]", name
    for key, front in fronts(site):
        if front.host_name:
            yield f"frontends.{key}.host_name", front.host_name


def _host_names(draft: Draft) -> Iterator[SettingError]:
    first: dict[str, str] = {}
    for path, name in _named(draft.site):
        if name.startswith("*") and path.startswith("frontends."):
            rest = "but browsers are sent to that name: write one whole name, without '*'"
            yield told(path, name, rest)
        if name in first:
            rest = f"but {first[name]} is the same, and a name leads to one thing: change one"
            yield told(path, name, rest)
        first.setdefault(name, path)


def _api_keys(draft: Draft) -> Iterator[SettingError]:
    keys = draft.site.edge.api_keys
    if len(set(keys)) < len(keys):
        yield told("edge.api_keys", keys, "but a name means one key: remove the second of each")


def _tls(draft: Draft) -> Iterator[SettingError]:
    site, tls = draft.site, draft.site.edge.tls
    if not draft.has("edge"):
        return
    needs = {"internal": (), "acme": ("email",), "own": ("certificate_file", "key_file")}
    for name in ("email", "certificate_file", "key_file"):
        path, value = f"edge.tls.{name}", getattr(tls, name)
        if value is None and name in needs[tls.kind]:
            rest = f"but edge.tls.kind = {tls.kind} needs it: set it, or choose another kind"
            yield SettingError(path, f"{path} is missing, {rest}")
        if value is not None and name not in needs[tls.kind]:
            rest = f"but it is not for edge.tls.kind = {tls.kind}: remove it, or change the kind"
            yield told(path, str(value), rest)
    if tls.kind != "internal" and not any(_named(site)):
        rest = "but no name is there for which it would hold: list some in edge.host_names"
        yield told("edge.tls.kind", tls.kind, rest)
    if tls.kind == "acme":
        yield from _acme(site)


def _acme(site: Site) -> Iterator[SettingError]:
    if site.edge.port != _HTTPS:
        rest = f"but edge.port is {site.edge.port}, and the authority asks back on 443: set that"
        yield told("edge.tls.kind", "acme", rest)
    for path, name in _named(site):
        if name.startswith("*") or "." not in name:
            rest = "but edge.tls.kind = acme gets no certificate for it: write whole public names"
            yield told(path, name, rest)


def _alert_routes(draft: Draft) -> Iterator[SettingError]:
    routes = draft.site.monitoring.routes if draft.site.monitoring else {}
    for name, route in routes.items():
        where = f"monitoring.routes.{name}"
        if draft.has(where):
            yield from _alert_route(where, route)


def _alert_route(where: str, route: Route) -> Iterator[SettingError]:
    needs = {"email": ("to", "smarthost"), "ntfy": ("url",), "webhook": ()}[route.kind]
    takes = ("to", "smarthost", "sender", "user") if route.kind == "email" else ("url",)
    for name in ("url", "to", "smarthost", "sender", "user"):
        value = getattr(route, name)
        if value is None and name in needs:
            rest = f"but kind = {route.kind} needs it to send anything: set it"
            yield SettingError(f"{where}.{name}", f"{where}.{name} is missing, {rest}")
        if value is not None and name not in takes:
            rest = f"but kind = {route.kind} has no use for it: remove it, or change the kind"
            yield told(f"{where}.{name}", value, rest)
    if route.kind == "ntfy" and route.url and not urlsplit(route.url).path.strip("/"):
        rest = "but ntfy's topic is the path of its address: write one such as https://HOST/TOPIC"
        yield told(f"{where}.url", route.url, rest)


SERVICE_RULES: tuple[Callable[[Draft], Iterator[SettingError]], ...] = (
    _ports,
    _host_names,
    _api_keys,
    _tls,
    _alert_routes,
)
