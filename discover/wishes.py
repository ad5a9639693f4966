"""What a person decides of a stack that is written for machines, and what nothing can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from fabric.protocol import SwitchState

EXAMPLE_REVISION = "0" * 39 + "1"
ASSUMED_GBIT_S = 100


@dataclass(frozen=True)
class SwitchWish:
    """A switch that the site shall manage."""

    name: str
    os: str
    address: str
    user: str = "admin"
    host_key: str = ""
    seen: SwitchState | None = None
    """What it told of itself."""
    unseen: str = ""
    """Why it told nothing."""


@dataclass(frozen=True)
class CableWish:
    """What is plugged into a switch's port, where LLDP doesn't tell."""

    switch: str
    port: str
    node: str
    """Its name or its address."""


@dataclass(frozen=True)
class CircuitWish:
    """A power circuit, and the nodes that it feeds, by name or address; all where none is named."""

    name: str
    volts: int
    amps: float
    nodes: Sequence[str] = ()


@dataclass(frozen=True)
class Wishes:
    """All of it; None and empty: found, assumed or left out, which the stack file tells."""

    name: str
    user: str = "root"
    port: int = 22
    private_key_file: str | None = None
    head: str | None = None
    controller: str | None = None
    fabric_subnet: IPv4Network | None = None
    mtu_bytes: int = 9000
    gbit_s: float | None = None
    model: str | None = None
    revision: str = EXAMPLE_REVISION
    host_keys: Mapping[str, str] = field(default_factory=dict)
    switches: Sequence[SwitchWish] = ()
    cables: Sequence[CableWish] = ()
    circuits: Sequence[CircuitWish] = ()
