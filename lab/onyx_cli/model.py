"""Onyx's configuration as values, edited line by line and written back as lines.

The order of sections and the wording are those of a recorded running configuration of an SN2700
(ansible-collections/mellanox.onyx, tests/unit/modules/fixtures/onyx_config_config.cfg).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from lab.switch_cli.core import Landing
from lab.switch_cli.matching import Command
from lab.switch_cli.ports import Link

DEFAULT_MTU_BYTES = 1500
VERSION = "3.6.8012"


@dataclass(frozen=True)
class Port:
    mtu_bytes: int = DEFAULT_MTU_BYTES
    description: str = ""
    enabled: bool = True
    access_vlan: int = 1
    mode: str = "access"
    trust: str = "L2"
    pfc: bool = False
    ecn: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    hostname: str
    ports: Mapping[str, Port]
    lldp: bool = False
    pfc: bool = False
    priorities: frozenset[int] = frozenset()
    vlans: frozenset[int] = frozenset()

    def with_port(self, name: str, port: Port) -> "Config":
        return replace(self, ports={**self.ports, name: port})

    def landings(self) -> dict[str, Landing]:
        return {
            name: Landing(
                port.mtu_bytes,
                port.description,
                port.enabled,
                port.access_vlan if port.mode == "access" else None,
            )
            for name, port in self.ports.items()
        }

    def overlaid(self, links: Mapping[str, Link]) -> "Config":
        found = {
            name: replace(port, mtu_bytes=links[name].mtu_bytes, enabled=links[name].enabled)
            if name in links
            else port
            for name, port in self.ports.items()
        }
        return replace(self, ports=found)


def _port_lines(name: str, port: Port) -> list[str]:
    at = f"interface ethernet {name.removeprefix('Eth')}"
    lines = []
    if port.mtu_bytes != DEFAULT_MTU_BYTES:
        lines.append(f"{at} mtu {port.mtu_bytes} force")
    if port.description:
        quoted = f'"{port.description}"' if " " in port.description else port.description
        lines.append(f"{at} description {quoted}")
    if not port.enabled:
        lines.append(f"{at} shutdown")
    return lines


def _vlan_lines(name: str, port: Port) -> list[str]:
    at = f"interface ethernet {name.removeprefix('Eth')}"
    mode = [f"{at} switchport mode {port.mode}"] if port.mode != "access" else []
    access = [f"{at} switchport access vlan {port.access_vlan}"] if port.access_vlan != 1 else []
    return [*mode, *access]


def _qos_lines(name: str, port: Port) -> list[str]:
    at = f"interface ethernet {name.removeprefix('Eth')}"
    lines = [f"{at} qos trust {port.trust}"] if port.trust != "L2" else []
    for queue, (low, high) in sorted(port.ecn.items()):
        bounds = f"minimum-absolute {low} maximum-absolute {high}"
        lines.append(f"{at} traffic-class {queue} congestion-control ecn {bounds}")
    return lines


def sections(config: Config) -> dict[str, list[str]]:
    pfc = ["dcb priority-flow-control enable force"] if config.pfc else []
    pfc += [f"dcb priority-flow-control priority {p} enable" for p in sorted(config.priorities)]
    pfc += [
        f"interface ethernet {name[3:]} dcb priority-flow-control mode on force"
        for name, port in config.ports.items()
        if port.pfc
    ]
    ports = config.ports.items()
    return {
        "Interface Ethernet configuration": [ln for n, p in ports for ln in _port_lines(n, p)],
        "VLAN configuration": [
            *(f"vlan {vlan}" for vlan in sorted(config.vlans)),
            *(line for n, p in ports for line in _vlan_lines(n, p)),
        ],
        "QoS configuration": [ln for n, p in ports for ln in _qos_lines(n, p)],
        "Other IP configuration": [f"hostname {config.hostname}"],
        "DCBX PFC configuration": pfc,
        "LLDP configuration": ["lldp"] if config.lldp else [],
    }


def render(config: Config) -> list[str]:
    lines = ["##", '## Running database "initial"', f"## Hostname: {config.hostname}", "##", ""]
    for title, body in sections(config).items():
        if body:
            lines += ["##", f"## {title}", "##", *(f"   {line}" for line in body), ""]
    return lines


_PORT_EDITS: dict[str, Callable[[Port, dict[str, str]], Port]] = {
    "mtu <mtu>": lambda port, given: replace(port, mtu_bytes=int(given["mtu"])),
    "mtu <mtu> force": lambda port, given: replace(port, mtu_bytes=int(given["mtu"])),
    "description <line>": lambda port, given: replace(port, description=given["line"]),
    "no description": lambda port, _: replace(port, description=""),
    "shutdown": lambda port, _: replace(port, enabled=False),
    "no shutdown": lambda port, _: replace(port, enabled=True),
    "switchport access vlan <vlan>": lambda port, given: replace(
        port, access_vlan=int(given["vlan"])
    ),
    "no switchport access vlan": lambda port, _: replace(port, access_vlan=1),
    "switchport mode access": lambda port, _: replace(port, mode="access"),
    "switchport mode trunk": lambda port, _: replace(port, mode="trunk"),
    "qos trust <trust>": lambda port, given: replace(port, trust=given["trust"]),
    "dcb priority-flow-control mode on force": lambda port, _: replace(port, pfc=True),
    "no dcb priority-flow-control mode force": lambda port, _: replace(port, pfc=False),
    "traffic-class <queue> congestion-control ecn minimum-absolute <low> maximum-absolute <high>": (
        lambda port, given: replace(
            port, ecn={**port.ecn, int(given["queue"]): (int(given["low"]), int(given["high"]))}
        )
    ),
    "no traffic-class <queue> congestion-control": lambda port, given: replace(
        port, ecn={queue: ecn for queue, ecn in port.ecn.items() if queue != int(given["queue"])}
    ),
}
_EDITS: dict[str, Callable[[Config, dict[str, str]], Config]] = {
    "hostname <name>": lambda config, given: replace(config, hostname=given["name"]),
    "lldp": lambda config, _: replace(config, lldp=True),
    "no lldp": lambda config, _: replace(config, lldp=False),
    "vlan <vlan>": lambda config, given: replace(config, vlans=config.vlans | {int(given["vlan"])}),
    "no vlan <vlan>": lambda config, given: replace(
        config, vlans=config.vlans - {int(given["vlan"])}
    ),
    "dcb priority-flow-control enable force": lambda config, _: replace(config, pfc=True),
    "dcb priority-flow-control priority <priority> enable": lambda config, given: replace(
        config, priorities=config.priorities | {int(given["priority"])}
    ),
}
_AT = "interface ethernet <port> "


def _whole(form: str) -> str:
    """Return a port's form as a whole line; `no` stands first, but before `traffic-class`."""
    if form.startswith("no ") and not form.startswith("no traffic-class"):
        return f"no {_AT}{form.removeprefix('no ')}"
    return _AT + form


_WHOLE_PORT_EDITS = {_whole(form): edit for form, edit in _PORT_EDITS.items()}
FORMS = (*_EDITS, *_WHOLE_PORT_EDITS)
"""Every line of a configuration."""


def edit(config: Config, command: Command) -> Config:
    """Return the configuration after a line of `FORMS`."""
    if command.form in _EDITS:
        return _EDITS[command.form](config, command.arguments)
    name = command.arguments["port"]
    change = _WHOLE_PORT_EDITS[command.form]
    return config.with_port(name, change(config.ports[name], command.arguments))
