import re
import string
from ipaddress import IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import network
from lab.network import Links
from remote.errors import RackformError

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


def named(*names: str) -> Links:
    return {name: {"ifname": name, "ifindex": i} for i, name in enumerate(names, 1)}


@given(NAMES)
def test_the_controllers_end_of_a_link_has_a_legal_name(name: str) -> None:
    link = network.host_link(name)
    assert len(link) <= network.IFNAME_MAX
    assert link.startswith("rf-")
    assert link != network.BRIDGE
    assert set(link) <= set(string.ascii_lowercase + string.digits + "-")


@given(NAMES, NAMES)
def test_two_machines_never_share_a_link_or_a_hardware_address(one: str, other: str) -> None:
    assert (network.host_link(one) == network.host_link(other)) == (one == other)
    assert (network.mac(one, "fab0") == network.mac(other, "fab0")) == (one == other)


@given(NAMES)
def test_a_hardware_address_is_a_local_unicast_one(name: str) -> None:
    assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", network.mac(name, "mgmt0"))


def test_a_machine_called_like_the_bridge_gets_another_link() -> None:
    assert network.host_link("mgmt") != network.BRIDGE


@pytest.mark.parametrize("name", ["", "Head", "a b", "-a", "a-", "../x", "a" * 61, "x;y", "ä"])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(RackformError, match="rename it in the site"):
        network.namespace(name)


@pytest.mark.parametrize(
    ("port", "device"),
    [
        ("Ethernet1", "swp1"),
        ("Ethernet48", "swp48"),
        ("Ethernet49/1", "swp49-1"),
        ("Eth1/3", "swp1-3"),
        ("swp1s0", "swp1s0"),
    ],
)
def test_a_front_panel_port_has_a_device(port: str, device: str) -> None:
    assert network.port_device(port) == device
    assert len(network.free_end(device)) <= network.IFNAME_MAX


@pytest.mark.parametrize("port", ["Et1", "Ethernet", "Ethernet1/1/1", "Ethernet1; reboot", "swp"])
def test_an_unknown_port_is_refused(port: str) -> None:
    with pytest.raises(RackformError, match="name it Ethernet1"):
        network.port_device(port)


@pytest.mark.parametrize("name", ["", "a" * 16, "lo", "mgmt0", "a/b", "a b", "..", "x\nlink del y"])
def test_an_illegal_fabric_interface_is_refused(name: str) -> None:
    with pytest.raises(RackformError, match="can't be a fabric interface"):
        network.check_interface(name)


def test_the_controller_has_the_first_address() -> None:
    assert network.controller_address("10.77.0.11/24") == IPv4Interface("10.77.0.1/24")
    assert network.controller_address("10.77.0.138/25") == IPv4Interface("10.77.0.129/25")


def test_the_controllers_own_address_is_refused_for_a_machine() -> None:
    with pytest.raises(RackformError, match=r"take another one of 10\.77\.0\.0/24"):
        network.controller_address("10.77.0.1/24")


@pytest.mark.parametrize("address", ["10.77.0.11/32", "10.77.0.11/31", "10.77.0.11", "fd00::2/64"])
def test_an_address_without_its_network_is_refused(address: str) -> None:
    with pytest.raises(RackformError, match="with the prefix of its network"):
        network.controller_address(address)


def test_a_fresh_machine_is_wired_by_a_pair_of_links() -> None:
    assert network.management_plan("w1", named("lo"), {}) == [
        "link add rf-w1 type veth peer name mgmt0 netns rf-w1",
        "link set rf-w1 master rf-mgmt up",
    ]


def test_half_a_management_link_is_made_anew() -> None:
    plan = network.management_plan("w1", named("lo", "rf-w1"), named("lo"))
    assert plan[0] == "link del rf-w1"


def test_a_wired_machine_needs_nothing() -> None:
    host: Links = {"rf-w1": {"ifname": "rf-w1", "master": network.BRIDGE}}
    assert network.management_plan("w1", host, named("lo", "mgmt0")) == []


def test_a_switch_gets_its_bridge_and_ports_that_start_at_1500() -> None:
    assert network.switch_plan(["swp1"], named("lo", "mgmt0")) == [
        "link add br0 type bridge",
        "link set br0 up",
        "link add swp1 mtu 1500 type veth peer name end-swp1 mtu 1500",
        "link set swp1 master br0 up",
    ]


def test_ports_that_are_there_keep_their_settings() -> None:
    assert network.switch_plan(["swp1"], named("br0", "swp1")) == []


def test_ports_that_are_declared_no_more_go() -> None:
    there = named("lo", "mgmt0", "br0", "swp1", "swp2", "end-swp2")
    assert network.removed_ports_plan(["swp1"], there) == ["link del swp2"]


def test_a_cable_is_plugged_when_both_ends_name_each_other() -> None:
    node: Links = {"fab0": {"ifname": "fab0", "ifindex": 3, "link_index": 7}}
    tor: Links = {"swp1": {"ifname": "swp1", "ifindex": 7, "link_index": 3}}
    assert network.is_plugged("fab0", node, "swp1", tor)
    assert not network.is_plugged("fab0", {}, "swp1", tor)
    assert not network.is_plugged("fab0", node, "swp1", {**tor, **named("end-swp1")})
    other: Links = {"swp1": {"ifname": "swp1", "ifindex": 8, "link_index": 3}}
    assert not network.is_plugged("fab0", node, "swp1", other)
