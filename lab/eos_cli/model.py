"""The switch's configuration as values: rendered, and compared, as EOS does.

Order and indentation are EOS's (`show running-config` in networktocode/ntc-templates and
napalm-automation/napalm, test/eos); the diff is the unified one of `show session-config diffs`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

DEFAULT_MTU_BYTES = 1500
VERSION = "4.35.0F"
MODEL = "cEOSLab"


@dataclass(frozen=True)
class Interface:
    """One port. `mtu` and `l2 mtu` both bound what passes: the smaller one lands on the port."""

    mtu_bytes: int = DEFAULT_MTU_BYTES
    l2_mtu_bytes: int | None = None
    description: str = ""
    shutdown: bool = False
    access_vlan: int = 1
    trunk: bool = False
    trust_dscp: bool = False
    pfc_on: bool = False
    pfc: frozenset[int] = frozenset()
    ecn: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Queue → the lengths in kB at which marking begins and at which all are marked."""

    @property
    def port_mtu_bytes(self) -> int:
        return min(self.mtu_bytes, self.l2_mtu_bytes or self.mtu_bytes)


@dataclass(frozen=True)
class Config:
    """A whole configuration; `interfaces` holds every port of the switch, in its order."""

    hostname: str
    interfaces: Mapping[str, Interface]
    lldp: bool = True
    vlans: frozenset[int] = frozenset()
    """Those beside VLAN 1, which is always there."""

    def with_interface(self, name: str, interface: Interface) -> "Config":
        return replace(self, interfaces={**self.interfaces, name: interface})


def factory(hostname: str, ports: list[str]) -> Config:
    return Config(hostname=hostname, interfaces={port: Interface() for port in ports})


def short(interface: str) -> str:
    """Return the name as prompts and tables have it: Ethernet1 → Et1."""
    return interface.replace("Ethernet", "Et")


def _interface_lines(name: str, interface: Interface) -> list[str]:
    lines = [f"interface {name}"]
    if interface.description:
        lines.append(f"   description {interface.description}")
    if interface.shutdown:
        lines.append("   shutdown")
    if interface.mtu_bytes != DEFAULT_MTU_BYTES:
        lines.append(f"   mtu {interface.mtu_bytes}")
    if interface.l2_mtu_bytes is not None:
        lines.append(f"   l2 mtu {interface.l2_mtu_bytes}")
    if interface.access_vlan != 1:
        lines.append(f"   switchport access vlan {interface.access_vlan}")
    if interface.trunk:
        lines.append("   switchport mode trunk")
    return lines + _qos_lines(interface)


def _qos_lines(interface: Interface) -> list[str]:
    lines = ["   qos trust dscp"] if interface.trust_dscp else []
    if interface.pfc_on:
        lines.append("   priority-flow-control on")
    lines += [f"   priority-flow-control priority {p} no-drop" for p in sorted(interface.pfc)]
    for queue, (low, high) in sorted(interface.ecn.items()):
        marking = f"minimum-threshold {low} kbytes maximum-threshold {high} kbytes"
        lines += [
            "   !",
            f"   uc-tx-queue {queue}",
            f"      random-detect ecn {marking} max-mark-probability 100",
        ]
    return lines


def sections(config: Config) -> list[list[str]]:
    """Return the blocks that `!` lines separate."""
    blocks = [] if config.lldp else [["no lldp run"]]
    blocks.append([f"hostname {config.hostname}"])
    blocks += [[f"vlan {vlan}"] for vlan in sorted(config.vlans)]
    blocks += [_interface_lines(name, interface) for name, interface in config.interfaces.items()]
    return blocks


def render(config: Config) -> list[str]:
    lines: list[str] = []
    for block in sections(config):
        lines += [*block, "!"]
    return [*lines, "end"]


def diff(running: Config, candidate: Config, session: str) -> list[str]:
    """Return the lines of `show session-config diffs`: empty when there is nothing to do."""
    return list(
        difflib.unified_diff(
            render(running),
            render(candidate),
            "system:/running-config",
            f"session:/{session}-session-config",
            lineterm="",
        )
    )
