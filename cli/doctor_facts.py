"""Asks nodes, switches and services for what the doctor judges, side by side."""

import socket
import ssl
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

from cli import backend, status
from cli.access import Access, access
from cli.chat import stream
from cli.machines import machines
from discover.ask import ask
from doctor import probe
from doctor.checks import SERVICE
from doctor.model import (
    Answer,
    Certificate,
    Check,
    Clock,
    ContainerFacts,
    Facts,
    NodeFacts,
    Ping,
    RayMember,
    Service,
    SwitchFacts,
)
from fabric.open import open_switch
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from serving.ray_api import RayApi
from serving.ray_node import GCS_PORT
from stack.expectations import ExpectedHost
from stack.schema import FABRIC, Site

T = TypeVar("T")
_REACH_S, _ASK_S, _ANSWER_S, _CONNECT_S = 10, 60, 60, 5
_DAY_S = 86400
_CLOCK_TRIES = 3


def gather(stack: str, site: Site, asked: Collection[Check]) -> Facts:
    """Ask all at once; what can't be asked is a fact itself.

    Raises:
        RackformError: no machine of the stack has been made yet.

    """
    reached = machines(stack)
    if not reached:
        raise RackformError(
            f"stack {stack} was never brought up, so there is nothing to examine: run "
            f"./rackform up --stack {stack}"
        )
    up, never_up = _access(stack) if SERVICE & set(asked) else (None, "")
    with ThreadPoolExecutor(len(site.nodes) + len(site.switches) + 4) as pool:
        nodes = {
            name: pool.submit(_node, stack, site, name, reached.get(name), up)
            for name in site.nodes
        }
        switches = {
            name: pool.submit(_switch, site.switches[name].os, reached.get(name))
            for name in site.switches
            if {Check.MTU, Check.CABLING} & set(asked)
        }
        answer = pool.submit(_answer, up) if up and Check.TOKENS in asked else None
        seen = pool.submit(_certificates, site, up) if up and Check.CERTIFICATE in asked else None
        found = {name: each.result() for name, each in nodes.items()}
        there = {name: reached[name] for name, each in found.items() if each.reachable}
        pings = _pings(pool, site, there) if Check.MTU in asked else ()
        service = _service(pool, site, up, there) if up else None
        if service:
            told = {"answer": _result(answer), "certificates": _result(seen) or ()}
            service = service.model_copy(update=told)
        return Facts(
            nodes=found,
            switches={name: each.result() for name, each in switches.items()},
            pings=pings,
            service=service,
            never_up=never_up,
        )


def _result(future: Future[T] | None) -> T | None:
    return future.result() if future else None


def _access(stack: str) -> tuple[Access | None, str]:
    """Return what the last `up` exports, or why it exports nothing."""
    if backend.folder() and not backend.holds(stack):
        return None, f"stack {stack} was never brought up"
    try:
        return access(stack), ""
    except RackformError as error:
        return None, str(error)


def _node(
    stack: str, site: Site, name: str, connection: Connection | None, up: Access | None
) -> NodeFacts:
    if connection is None:
        why = f"it has not been made yet: run ./rackform up --stack {stack}"
        return NodeFacts(reachable=False, reason=why)
    hosts = up.outputs.expectations.hosts if up else {}
    try:
        _reach(connection)
        clock = _clock(connection)
        head = f"{site.nodes[site.head].fabric_address}/{GCS_PORT}" if up else None
        done = ssh.run(connection, probe.script(head), timeout_s=_ASK_S, check=False)
        machine = ask(connection)
        containers = _containers(hosts[name]) if name in hosts else None
    except RackformError as error:
        return NodeFacts(reachable=False, reason=str(error))
    told = {"clock": clock, "machine": machine, "containers": containers}
    return probe.facts(done.stdout).model_copy(update=told)


def _reach(connection: Connection) -> None:
    """Raise unless a command runs; a kept connection to a host that is off is given up first."""
    try:
        ssh.run(connection, ["true"], timeout_s=_REACH_S)
    except RackformError:
        ssh.forget(connection)
        ssh.run(connection, ["true"], timeout_s=_REACH_S)


def _clock(connection: Connection) -> Clock | None:
    """Return how far a node's clock is off this machine's, by the quickest of some answers."""
    best: Clock | None = None
    for _ in range(_CLOCK_TRIES):
        before = time.time()
        text = ssh.run(connection, ["date", "+%s.%N"], check=False).stdout.strip()
        took = time.time() - before
        try:
            off = float(text) - before - took / 2
        except ValueError:
            continue
        if best is None or took / 2 < best.uncertain_s:
            best = Clock(off_s=round(off, 3), uncertain_s=round(took / 2, 3))
    return best


def _containers(expected: ExpectedHost) -> tuple[ContainerFacts, ...] | None:
    found = status.node(expected)
    if not found.docker:
        return None
    return tuple(
        ContainerFacts(name=each.name, state=each.state, image_id=each.image_id)
        for each in found.containers
    )


def _switch(os: str, connection: Connection | None) -> SwitchFacts:
    if connection is None:
        return SwitchFacts(reason="it has not been made yet: run ./rackform up")
    try:
        with open_switch(os, connection) as switch:
            return SwitchFacts(state=switch.read())
    except RackformError as error:
        return SwitchFacts(reason=str(error))


def _pings(
    pool: ThreadPoolExecutor, site: Site, there: Mapping[str, Connection]
) -> tuple[Ping, ...]:
    """Let every node that can be reached ask every other such node, on every rail of both."""

    def one(source: str) -> list[Ping]:
        targets = {
            name if network == FABRIC else f"{name}/{network}": str(link.address)
            for name in there
            for network, link in site.nodes[name].links.items()
            if name != source and network in site.nodes[source].links
        }
        script = probe.ping_script(targets, site.fabric.mtu_bytes)
        try:
            done = ssh.run(there[source], script, timeout_s=_ASK_S, check=False)
        except RackformError:
            return []  # it went away meanwhile: the next run tells
        return list(probe.pings(source, done.stdout))

    return tuple(ping for each in pool.map(one, there) for ping in each)


def _service(
    pool: ThreadPoolExecutor, site: Site, up: Access, there: Mapping[str, Connection]
) -> Service:
    expected = up.outputs.expectations
    service = Service(
        containers={name: host.containers for name, host in expected.hosts.items()},
        head=expected.head,
        ray_gpus=expected.ray_gpus,
    )
    head = there.get(expected.head)
    if head is None:
        return service
    redis = pool.submit(_redis, head, str(site.nodes[expected.head].fabric_address), site)
    told: dict[str, object] = {}
    try:
        told["ray"] = _ray(head, site.ray.dashboard_port, expected.ray_token)
    except RackformError as error:
        told["ray_error"] = str(error)
    return service.model_copy(update={"redis": redis.result(), **told})


def _ray(head: Connection, port: int, token: str) -> tuple[RayMember, ...]:
    with (
        ssh.tunnel(head, "127.0.0.1", port) as local,
        RayApi(f"http://127.0.0.1:{local}", token) as api,
    ):
        return tuple(
            RayMember(address=each.node_ip, alive=each.state == "ALIVE", gpus=each.gpus)
            for each in api.nodes()
        )


def _redis(head: Connection, address: str, site: Site) -> str:
    """Return the first line of Redis' answer to a PING; '' where it is silent."""
    try:
        with (
            ssh.tunnel(head, address, site.ray.redis_port) as port,
            socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S) as talk,
        ):
            talk.sendall(b"PING\r\n")
            return talk.recv(256).decode(errors="replace").partition("\r\n")[0]
    except (OSError, RackformError):
        return ""


def _certificates(site: Site, up: Access) -> tuple[Certificate, ...]:
    edge = urlsplit(up.outputs.endpoint)
    registry = str(site.nodes[site.registry_node].address)
    ends = (
        ("edge", edge.hostname or "", edge.port or 443),
        ("registry", registry, site.registry.port),
    )
    return tuple(_certificate(*end, up.outputs.ca_certificate) for end in ends)


def _certificate(name: str, host: str, port: int, ca_certificate: str) -> Certificate:
    trust = ssl.create_default_context()
    trust.load_verify_locations(cadata=ca_certificate)
    where = f"{host}:{port}"
    try:
        with (
            socket.create_connection((host, port), timeout=_CONNECT_S) as plain,
            trust.wrap_socket(plain, server_hostname=host) as talk,
        ):
            ends = (talk.getpeercert() or {}).get("notAfter")
    except OSError as error:
        return Certificate(name=name, address=where, error=str(error))
    if not isinstance(ends, str):
        return Certificate(name=name, address=where, error="it shows no certificate")
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / _DAY_S
    return Certificate(name=name, address=where, days=round(days, 1))


def _answer(up: Access) -> Answer:
    begin = time.monotonic()
    try:
        pieces = sum(1 for _ in stream(up, "Say hello.", max_tokens=8, timeout_s=_ANSWER_S))
    except RackformError as error:
        return Answer(error=str(error), seconds=time.monotonic() - begin)
    return Answer(pieces=pieces, seconds=time.monotonic() - begin)
