"""The switch's ports as the kernel has them, and the changes that configuration makes to them."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypedDict

TIMEOUT_S = 10
ALIAS_MAX_BYTES = 255  # IFALIASZ - 1, include/uapi/linux/if.h
FIRST_VLAN = 1
_FIRST_BRIDGE = "br0"
_BRIDGE = re.compile(r"br(?P<vlan>\d+)")


class PortError(Exception):
    """The kernel refused a change; the message is its own."""


@dataclass(frozen=True)
class Counters:
    packets: int = 0
    bytes: int = 0
    errors: int = 0
    dropped: int = 0
    multicast: int = 0


@dataclass(frozen=True)
class Link:
    """One network device."""

    ifindex: int
    mtu_bytes: int
    enabled: bool
    carrier: bool
    mac: str
    alias: str = ""
    vlan: int = FIRST_VLAN
    received: Counters = Counters()
    sent: Counters = Counters()

    @property
    def identity(self) -> str:
        """What changes when the device is made anew: in a new namespace the index comes again."""
        return f"{self.ifindex} {self.mac}"


class Ports(Protocol):
    """Access to the ports, by their front-panel names. A port without a device is left out."""

    def read(self) -> Mapping[str, Link]: ...

    def set_mtu(self, port: str, mtu_bytes: int) -> None:
        """Set the port's MTU.

        Raises:
            PortError: the kernel refused, or the port has no device.

        """

    def set_enabled(self, port: str, *, enabled: bool) -> None: ...

    def set_description(self, port: str, description: str) -> None: ...

    def set_vlan(self, port: str, vlan: int) -> None:
        """Let the port forward to the others of that VLAN alone."""


class _JsonCounters(TypedDict, total=False):
    packets: int
    bytes: int
    errors: int
    dropped: int
    multicast: int


class _JsonStats(TypedDict):
    rx: _JsonCounters
    tx: _JsonCounters


class _JsonLink(TypedDict, total=False):
    """What `ip -j -s link show` prints for a device (iproute2 6.1), as far as it is used."""

    ifindex: int
    ifname: str
    flags: list[str]
    mtu: int
    address: str
    ifalias: str
    master: str
    stats64: _JsonStats


def _counters(record: _JsonCounters) -> Counters:
    return Counters(**{k: v for k, v in record.items() if k in Counters.__annotations__})  # type: ignore[arg-type]  # all are int


def bridge_of(vlan: int) -> str:
    """Return the bridge that is a VLAN: kernels without VLAN filtering in theirs have it, too."""
    return _FIRST_BRIDGE if vlan == FIRST_VLAN else f"br{vlan}"


def _vlan_of(bridge: str) -> int:
    found = _BRIDGE.fullmatch(bridge)
    return FIRST_VLAN if bridge == _FIRST_BRIDGE or not found else int(found["vlan"])


def parse_links(text: str) -> dict[str, Link]:
    """Return the devices that `ip -j -s link show` printed, by their device names."""
    records: list[_JsonLink] = json.loads(text)
    links = {}
    for record in records:
        stats = record["stats64"] if "stats64" in record else _JsonStats(rx={}, tx={})
        links[record["ifname"]] = Link(
            ifindex=record["ifindex"],
            mtu_bytes=record["mtu"],
            enabled="UP" in record["flags"],
            carrier="LOWER_UP" in record["flags"],
            mac=record.get("address", "00:00:00:00:00:00"),
            alias=record.get("ifalias", ""),
            vlan=_vlan_of(record.get("master", _FIRST_BRIDGE)),
            received=_counters(stats["rx"]),
            sent=_counters(stats["tx"]),
        )
    return links


class KernelPorts:
    """The ports of the network namespace that this process runs in, through `ip`."""

    def __init__(self, devices: Mapping[str, str]) -> None:
        self._devices = dict(devices)

    def read(self) -> Mapping[str, Link]:
        links = parse_links(self._ip("-j", "-s", "link", "show"))
        return {port: links[dev] for port, dev in self._devices.items() if dev in links}

    def set_mtu(self, port: str, mtu_bytes: int) -> None:
        self._ip("link", "set", "dev", self._devices[port], "mtu", str(mtu_bytes))

    def set_enabled(self, port: str, *, enabled: bool) -> None:
        self._ip("link", "set", "dev", self._devices[port], "up" if enabled else "down")

    def set_description(self, port: str, description: str) -> None:
        alias = description.encode()[:ALIAS_MAX_BYTES].decode(errors="ignore")
        self._ip("link", "set", "dev", self._devices[port], "alias", alias)

    def set_vlan(self, port: str, vlan: int) -> None:
        bridge = bridge_of(vlan)
        if bridge not in parse_links(self._ip("-j", "link", "show")):
            self._ip("link", "add", bridge, "type", "bridge")
            self._ip("link", "set", "dev", bridge, "up")
        self._ip("link", "set", "dev", self._devices[port], "master", bridge)

    def _ip(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["ip", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PortError(str(error)) from error
        if done.returncode:
            raise PortError(done.stderr.strip() or f"ip ended with status {done.returncode}")
        return done.stdout
