"""What is declared is reached from outside the fabric, and nothing else, wherever it listens."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from serving.ray_node import DASHBOARD_PORT, GCS_PORT, PORTS, REDIS_PORT
from stack.doors import FIXED
from stack.expectations import Expectations, ExpectedHost
from stack.services import AnythingLlm

_RAY = {GCS_PORT, DASHBOARD_PORT, REDIS_PORT, 8000, 8081, 8082, *PORTS.values()}
"""Beside those that it is given: Serve's proxy, the metrics of autoscaler and dashboard."""

_ASKS_FOR_NO_ADDRESS = {AnythingLlm.fabric_port}
"""Programs that cannot be told where to listen: the firewall alone is in front of them."""

_EVERYWHERE = {"0.0.0.0", "*", "[::]"}  # noqa: S104 - as `ss` prints it
_TIMEOUT_S = 1.5
_TRIES_AT_ONCE = 128


def _listeners(host: Host) -> set[tuple[str, int]]:
    """Return (address, port) of all that listens for TCP on a host."""
    lines = host.check_output("ss -Hltn").splitlines()
    ends = [line.split()[3].rpartition(":") for line in lines]
    return {(address.partition("%")[0], int(port)) for address, _, port in ends}


def _reached(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _scanned(listeners: set[tuple[str, int]], expected: ExpectedHost) -> set[int]:
    """Return the ports that are tried from outside: all that any program listens on, whatever its
    address, all that is declared, and all that the appliance's services ever listen on.
    """
    return {port for _, port in listeners} | set(expected.open_tcp) | _RAY | set(FIXED)


def test_exactly_what_is_declared_is_reached_over_the_management_network(
    expectations: Expectations, ssh_config: Path
) -> None:
    nodes = expectations.hosts
    hosts = {n: testinfra.get_host(f"ssh://{n}", ssh_config=str(ssh_config)) for n in nodes}
    with ThreadPoolExecutor(len(nodes)) as pool:
        listeners = dict(zip(nodes, pool.map(_listeners, hosts.values()), strict=True))
    ends = [
        (name, port)
        for name, expected in nodes.items()
        for port in sorted(_scanned(listeners[name], expected))
    ]
    with ThreadPoolExecutor(_TRIES_AT_ONCE) as pool:
        answers = pool.map(lambda end: _reached(nodes[end[0]].connection.address, end[1]), ends)
        reached = [end for end, answer in zip(ends, answers, strict=True) if answer]
    declared = [(name, port) for name, host in nodes.items() for port in host.open_tcp]
    assert sorted(reached) == sorted(declared)


def test_services_listen_on_one_address_and_not_on_all(host: Host, expected: ExpectedHost) -> None:
    """The firewall is the second lock: what people sign in to is behind the edge by itself."""
    everywhere = {port for address, port in _listeners(host) if address in _EVERYWHERE}
    one_address = (set(FIXED) | set(expected.open_tcp)) - _ASKS_FOR_NO_ADDRESS
    assert everywhere & one_address <= {expected.connection.port}


def test_ssh_is_reached_over_the_management_network(expected: ExpectedHost) -> None:
    """The check above can fail: not everything is closed."""
    assert _reached(expected.connection.address, expected.connection.port)


def test_rays_store_is_reached_over_the_fabric(
    expectations: Expectations, ssh_config: Path
) -> None:
    others = [name for name in expectations.hosts if name != expectations.head]
    if not others:
        pytest.skip("the site has one node")
    address = expectations.hosts[expectations.head].fabric_address
    other = testinfra.get_host(f"ssh://{others[0]}", ssh_config=str(ssh_config))
    opened = other.run("timeout 3 bash -c %s", f": < /dev/tcp/{address}/{GCS_PORT}")
    assert opened.rc == 0, f"{others[0]} does not reach {address}:{GCS_PORT}: {opened.stderr}"
