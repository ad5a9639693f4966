"""Which VLAN a port is in and what keeps it from one, as each network OS writes that."""

import pytest

from fabric import cumulus_text, eos_text, onyx_text, sonic_text
from fabric.changes import Running, left_alone
from fabric.membership import apart, in_the_way, managed_vlan, numbered
from fabric.protocol import DesiredPort, DesiredSwitch, Membership, PortState

# EOS: documentation of aristanetworks/avd; Onyx: a recorded startup configuration (vlan 101-116);
# Cumulus: startup.yaml in NVUE's user guide, and interfaces together as NVUE writes them.
EOS = """\
vlan 20
   name storage
!
vlan 30-31,78
!
interface Ethernet1
   switchport access vlan 78
!
interface Ethernet2
   switchport trunk native vlan 78
   switchport mode trunk
!
interface Ethernet3
   no switchport
   ip address 10.0.0.0/31
!
interface Ethernet4
   channel-group 5 mode active
!
interface Ethernet5
!
interface Vlan1
   ip address 10.77.0.2/24
"""
ONYX = """\
no cli default prefix-modes enable
##
## VLAN configuration
##
   vlan 101-103
   interface ethernet 1/1 switchport access vlan 101
   interface ethernet 1/2 switchport mode hybrid
   interface ethernet 1/3 no switchport force
   interface ethernet 1/3 ip address 10.0.0.0/31 primary
   interface ethernet 1/4 mlag-channel-group 5 mode active
"""
CUMULUS: dict[str, object] = {
    "bridge": {"domain": {"br_default": {"vlan": {"10,78": {}}}}},
    "interface": {
        "swp1-2": {"bridge": {"domain": {"br_default": {"access": 78}}}, "type": "swp"},
        "swp3,4": {"bridge": {"domain": {"br_default": {}}}, "type": "swp"},
        "swp5": {"bridge": {"domain": {"br_default": {"vlan": {"10": {}}}}}},
        "swp2": {"description": "w1.fab0"},
        "bond1": {"bond": {"member": {"swp6": {}}}},
        "vlan10": {"ip": {"address": {"10.77.0.2/24": {}}}, "type": "svi"},
    },
    "vrf": {"default": {"router": {"bgp": {"neighbor": {"swp7": {"type": "unnumbered"}}}}}},
}
SONIC: dict[str, object] = {
    "PORT": {f"Ethernet{number}": {"admin_status": "up"} for number in (0, 4, 8, 12, 16)},
    "INTERFACE": {"Ethernet4": {}, "Ethernet4|10.0.0.0/31": {}},
    "PORTCHANNEL_MEMBER": {"PortChannel1|Ethernet8": {}},
    "VLAN": {"Vlan20": {"vlanid": "20"}, "Vlan78": {"vlanid": "78"}},
    "VLAN_MEMBER": {
        "Vlan78|Ethernet0": {"tagging_mode": "untagged"},
        "Vlan78|Ethernet12": {"tagging_mode": "untagged"},
        "Vlan20|Ethernet12": {"tagging_mode": "tagged"},
    },
    "VLAN_INTERFACE": {"Vlan20": {}, "Vlan20|10.77.0.2/24": {}},
}


def ways(found: Running) -> dict[str, int | None]:
    return {port: each.vlan for port, each in found.membership.items()}


def carried(found: Running) -> dict[str, str]:
    return {port: each.carries for port, each in found.membership.items() if each.carries}


def remedies(found: Running) -> list[str]:
    return [each.remedy for each in found.membership.values() if each.carries or each.tagged]


def test_eos_has_ports_in_vlan_1_trunks_with_a_native_vlan_and_ports_that_are_in_none() -> None:
    found = eos_text.running(EOS)
    assert found.vlans == {1, 20, 30, 31, 78}
    assert list(ways(found).values()) == [78, 78, None, None, 1]
    assert carried(found) == {
        "Ethernet2": "switchport mode trunk",
        "Ethernet3": "ip address 10.0.0.0/31",
        "Ethernet4": "channel-group 5 mode active",
    }
    assert remedies(found)[1:] == [
        "interface Ethernet3; switchport",
        "interface Ethernet4; no channel-group",
    ]


def test_where_eos_has_its_ports_routed_by_default_one_has_to_say_that_it_is_not() -> None:
    text = "switchport default mode routed\ninterface Ethernet1\ninterface Ethernet2\n   switchport"
    assert ways(eos_text.running(text)) == {"Ethernet1": None, "Ethernet2": 1}


def test_onyx_writes_its_vlans_as_ranges() -> None:
    found = onyx_text.running(ONYX, [f"Eth1/{number}" for number in range(1, 6)])
    assert found.vlans == {1, 101, 102, 103}
    assert list(ways(found).values()) == [101, 1, None, None, 1]
    assert carried(found)["Eth1/2"] == "switchport mode hybrid"
    assert remedies(found) == [
        "interface ethernet 1/2 switchport mode access",
        "interface ethernet 1/3 switchport",
        "interface ethernet 1/4 no mlag-channel-group",
    ]


def test_nvue_s_ports_are_read_one_by_one_also_where_it_writes_them_together() -> None:
    found = cumulus_text.running(CUMULUS, [f"swp{number}" for number in range(1, 9)], lldp=True)
    assert found.vlans == {1, 10, 78}
    assert list(ways(found).values()) == [78, 78, 1, 1, None, None, None, None]
    assert found.membership["swp3"].tagged == {10, 78}
    assert found.ports["swp2"].description == "w1.fab0"
    assert carried(found) == {
        "swp5": "interface swp5 bridge domain br_default vlan 10",
        "swp6": "interface bond1 bond member swp6",
        "swp7": "vrf default router bgp neighbor swp7 type unnumbered",
    }
    assert remedies(found) == [
        "nv set interface swp3 bridge domain br_default access 1",
        "nv set interface swp4 bridge domain br_default access 1",
        "nv unset interface swp5 bridge domain br_default vlan",
        "nv unset interface bond1 bond member swp6",
        "nv unset vrf default router bgp neighbor swp7",
    ]
    assert managed_vlan(found.rest, "10.77.0.2") == 10


def test_sonic_has_ports_in_no_vlan_and_such_as_are_tagged_in_one() -> None:
    found = sonic_text.running(SONIC)
    assert found.vlans == {20, 78}
    assert list(ways(found).values()) == [78, None, None, 78, None]
    assert found.membership["Ethernet12"].tagged == {20}
    assert remedies(found) == [
        "sudo config interface ip remove Ethernet4 10.0.0.0/31",
        "sudo config portchannel member del PortChannel1 Ethernet8",
        "sudo config vlan member del 20 Ethernet12",
    ]
    assert managed_vlan(found.rest, "10.77.0.2") == 20


def test_a_port_that_sonic_s_command_line_calls_routed_is_called_access() -> None:
    config: dict[str, object] = {"PORT": {"Ethernet0": {"admin_status": "up", "mode": "routed"}}}
    wanted = DesiredSwitch(ports={"Ethernet0": DesiredPort()}, vlan=78)
    due = eos_text.differences(sonic_text.running(config), wanted)
    assert sonic_text.patch(config, due) == [
        {"op": "add", "path": "/VLAN", "value": {"Vlan78": {"vlanid": "78"}}},
        {
            "op": "add",
            "path": "/VLAN_MEMBER",
            "value": {"Vlan78|Ethernet0": {"tagging_mode": "untagged"}},
        },
        {"op": "add", "path": "/PORT/Ethernet0/mode", "value": "access"},
    ]


def test_what_says_the_vlan_of_a_declared_port_is_no_line_of_others() -> None:
    found = eos_text.running(EOS)
    declared = DesiredSwitch(ports={"Ethernet1": DesiredPort()}, vlan=20)
    left = left_alone(found, declared)
    assert "Ethernet1: switchport access vlan 78" not in left
    assert "vlan 20" not in left
    assert "vlan 20: name storage" in left
    assert "Ethernet2: switchport mode trunk" in left
    assert {"vlan 30", "vlan 31", "vlan 78"} <= set(left)
    others = left_alone(found, DesiredSwitch(ports={"Ethernet1": DesiredPort()}))
    assert {"Ethernet1: switchport access vlan 78", "vlan 20"} <= set(others)


@pytest.mark.parametrize(
    ("membership", "said"),
    [
        (Membership(vlan=78), None),
        (Membership(vlan=78, carries="switchport mode trunk"), None),
        (Membership(vlan=1, tagged=frozenset({78})), None),
        (Membership(vlan=1, tagged=frozenset({10, 78}), remedy="end it"), "but a has VLAN 10 tag"),
        (Membership(carries="bond member", remedy="end it"), "but a has 'bond member', and a port"),
    ],
)
def test_a_port_that_is_in_the_vlan_already_is_not_asked_what_it_carries_beside(
    membership: Membership, said: str | None
) -> None:
    port = PortState(mtu_bytes=1500, description="", enabled=True, connected=False)
    found = Running(ports={"a": port}, lldp=True, membership={"a": membership})
    wanted = DesiredSwitch(ports={"a": DesiredPort()}, vlan=78)
    due = eos_text.differences(found, wanted)
    told = [each.sentence for each in in_the_way("tor1", "10.77.0.2", found, wanted, due)]
    assert [said in sentence for sentence in told if said] == ([True] if said else [])
    assert bool(told) == bool(said)


def test_a_switch_that_is_reached_over_a_vlan_cautions_of_ports_that_leave_it() -> None:
    found = eos_text.running(EOS)
    wanted = DesiredSwitch(ports={"Ethernet5": DesiredPort()}, vlan=78)
    due = eos_text.differences(found, wanted)
    [caution] = in_the_way("tor1", "10.77.0.2", found, wanted, due)
    assert not caution.blocks
    assert caution.sentence.startswith(
        "switch tor1 is reached at 10.77.0.2 in VLAN 1, which Ethernet5 shall leave for VLAN 78"
    )
    assert in_the_way("tor1", "10.77.0.22", found, wanted, due) == []


def test_ports_are_apart_that_are_in_other_vlans_in_none_or_in_one_that_there_is_not() -> None:
    seen = {"a": Membership(vlan=1), "b": Membership(vlan=20), "c": Membership()}
    assert apart(seen, frozenset({1, 20}), ["a", "b", "c"]) == ["b", "c"]
    assert apart(seen, frozenset({1, 20}), ["a"]) == []
    assert apart(seen, frozenset(), ["a", "c"]) == ["a", "c"]


def test_names_with_ranges_are_written_out_and_others_left() -> None:
    assert numbered("swp1-3,7") == ["swp1", "swp2", "swp3", "swp7"]
    assert numbered("swp1s0-1") == ["swp1s0", "swp1s1"]
    assert numbered("10-12,20") == ["10", "11", "12", "20"]
    assert numbered("peerlink.4094") == ["peerlink.4094"]
    assert numbered("br_default") == ["br_default"]
