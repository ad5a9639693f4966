"""The switch's ports in the kernel: which `ip` commands put one into a VLAN."""

import json

import pytest

from lab.switch_cli.ports import KernelPorts, bridge_of, parse_links

DEVICES = [
    {"ifname": "br0", "ifindex": 2, "flags": [], "mtu": 1500},
    {"ifname": "swp1", "ifindex": 3, "flags": ["UP"], "mtu": 9000, "master": "br0"},
    {"ifname": "swp2", "ifindex": 4, "flags": ["UP"], "mtu": 9000, "master": "br78"},
    {"ifname": "mgmt0", "ifindex": 5, "flags": ["UP"], "mtu": 1500},
]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the commands that change something, in their order."""
    found: list[str] = []

    def answer(_: KernelPorts, *arguments: str) -> str:
        if "show" in arguments:
            return json.dumps(DEVICES)
        found.append(" ".join(arguments))
        return ""

    monkeypatch.setattr(KernelPorts, "_ip", answer)
    return found


def test_a_vlan_is_read_from_the_bridge_that_a_port_is_in() -> None:
    links = parse_links(json.dumps(DEVICES))
    assert {name: link.vlan for name, link in links.items()} == {
        "br0": 1,
        "swp1": 1,
        "swp2": 78,
        "mgmt0": 1,
    }
    assert (bridge_of(1), bridge_of(78)) == ("br0", "br78")


def test_a_vlan_s_bridge_is_made_with_its_first_port(entered: list[str]) -> None:
    ports = KernelPorts({"Ethernet1": "swp1", "Ethernet2": "swp2"})
    ports.set_vlan("Ethernet1", 78)
    ports.set_vlan("Ethernet2", 1)
    assert entered == [
        "link add br78 type bridge",
        "link set dev br78 up",
        "link set dev swp1 master br78",
        "link set dev swp2 master br0",
    ]
