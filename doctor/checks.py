"""All checks by name. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping

from doctor import hardware, hosts, network, service
from doctor.model import Check, Facts, Result
from stack.schema import Site

CHECKS: Mapping[Check, Callable[[Site, Facts], Iterator[Result]]] = {
    Check.NODES: hosts.nodes,
    Check.STACK: service.stack,
    Check.CLOCKS: hosts.clocks,
    Check.DISK: hosts.disk,
    Check.DRIVERS: hosts.drivers,
    Check.DEVICES: hardware.devices,
    Check.PCIE: hardware.pcie,
    Check.GPUS: hardware.gpus,
    Check.CIRCUITS: hardware.circuits,
    Check.LINK: network.link,
    Check.CABLING: network.cabling,
    Check.MTU: network.mtu,
    Check.NCCL: network.nccl,
    Check.CONTAINERS: service.containers,
    Check.REDIS: service.redis,
    Check.RAY: service.ray,
    Check.CERTIFICATE: service.certificate,
    Check.TOKENS: service.tokens,
}
SERVICE = frozenset(
    {Check.CONTAINERS, Check.REDIS, Check.RAY, Check.CERTIFICATE, Check.TOKENS, Check.STACK}
)
"""Checks of what the last `up` declared."""


def examined(asked: Collection[Check]) -> frozenset[Check]:
    """Return the checks with those that they stand on: what can't be reached tells nothing."""
    chosen = set(asked) or set(Check)
    return frozenset(chosen | {Check.NODES} | ({Check.STACK} if chosen & SERVICE else set()))


def examine(site: Site, facts: Facts, asked: Collection[Check]) -> list[Result]:
    """Return what each check finds, in the order of the checks."""
    chosen = examined(asked)
    return [each for check in Check if check in chosen for each in CHECKS[check](site, facts)]
