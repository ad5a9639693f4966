"""EOS's outputs, as switches of several versions print them."""

from fabric import eos_text
from fabric.eos_text import Session
from fabric.protocol import Neighbour

# Shapes: networktocode/ntc-templates, tests/arista_eos/show_{lldp_neighbors,interfaces_status};
# the sessions of 4.2x as told by saidvandeklundert.net (2019), of 4.35 as by cEOS 4.35.0F.
OLD_SESSIONS = """\
Maximum number of completed sessions: 0
Maximum number of pending sessions: 5

  Name          State               User   Terminal  PID  Commit Time Left  Description
  ------------- ------------------- ------ --------- ---- ----------------- -----------
  acl-change    pendingCommitTimer                        4m56s
"""
NEW_SESSIONS = """\
Maximum number of completed sessions: 1
Maximum number of pending sessions: 5
Merge on commit is disabled
Autosave to startup-config on commit is disabled

Session with pending commit timer: rackform-1
Time left until commit timer expiry: in 0:01:59

  Name             State     User  Terminal Completed Time      Committed By
- ---------------- --------- ----- -------- ------------------- ------------
  rackform-1       committed                2026-09-20 23:35:15 admin
  forgotten        pending   admin vty8
* s1               aborted   admin vty9     2026-09-20 22:19:28
"""
LLDP = """\
Last table change time   : 0:00:02 ago
Number of table inserts  : 2

Port       Neighbor Device ID             Neighbor Port ID           TTL
Et1        localhost                      Ethernet1                  120
Et3/1      tg104.sjc.example.com          Ethernet3/2                120
Ma1/1      dc1 rack11 tor1                1/1                        120
"""
STATUS = """\
Port       Name                   Status       Vlan        Duplex  Speed Type
Et1        I am connected, really connected    trunk       a-full  a-40G 40GBASE-CR4
Et2                               connected    1           a-full  a-40G 40GBASE-CR4
Et3        PORTNAME               notconnect   trunk       a-full  a-10G 40GBASE-SR
Et4                               disabled     1           a-full  a-10G 40GBASE-SR
"""
CONFIG = """\
! Command: show running-config
! device: leaf1 (DCS-7050CX3-32S, EOS-4.28.3M)
!
no lldp run
!
interface Ethernet1
   description head.fab0
   mtu 9214
   no switchport
!
interface Ethernet2
   shutdown
   mtu 9000
   l2 mtu 9000
!
interface Management1
   mtu 1400
!
router bgp 65000
   neighbor 10.0.0.1 description mtu 1500
!
end
"""


def test_a_running_commit_timer_is_seen_in_old_and_new_eos() -> None:
    assert eos_text.sessions(OLD_SESSIONS) == [Session("acl-change", timed=True, left="4m56s")]
    assert eos_text.sessions(NEW_SESSIONS) == [
        Session("forgotten", timed=False, user="admin", terminal="vty8"),
        Session("rackform-1", timed=True, left="0:01:59"),
    ]
    assert eos_text.most_sessions(NEW_SESSIONS) == 5


def test_neighbours_are_read_with_and_without_spaces_in_their_names() -> None:
    assert eos_text.neighbours(LLDP) == {
        "Ethernet1": [Neighbour(system_name="localhost", port_id="Ethernet1")],
        "Ethernet3/1": [Neighbour(system_name="tg104.sjc.example.com", port_id="Ethernet3/2")],
        "Ma1/1": [Neighbour(system_name="dc1 rack11 tor1", port_id="1/1")],
    }


def test_a_port_counts_as_connected_by_its_status_and_not_by_its_name() -> None:
    assert eos_text.connected(STATUS) == {"Ethernet1", "Ethernet2"}
    named = STATUS.replace("PORTNAME  ", "connected ")
    assert eos_text.connected(named) == {"Ethernet1", "Ethernet2"}


def test_only_ethernet_ports_are_read_and_other_sections_do_not_leak_into_them() -> None:
    read = eos_text.running(CONFIG)
    assert read.lldp is False
    assert {name: (p.mtu_bytes, p.description, p.enabled) for name, p in read.ports.items()} == {
        "Ethernet1": (9214, "head.fab0", True),
        "Ethernet2": (9000, "", False),
    }


def test_a_commit_timer_is_written_in_hours_minutes_and_seconds() -> None:
    assert [eos_text.timer(s) for s in (1, 120, 3661)] == ["00:00:01", "00:02:00", "01:01:01"]


def test_a_routed_port_trusts_dscp_without_saying_so() -> None:
    text = "interface Ethernet1\n   no switchport\ninterface Ethernet2\n   qos trust cos\n"
    roce = eos_text.running(text).roce
    assert roce["Ethernet1"].trust_dscp
    assert not roce["Ethernet2"].trust_dscp
    assert eos_text.running(text).rest == [("Ethernet1", "no switchport")]
