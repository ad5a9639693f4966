"""Each network OS in the words of its switches: what the scenarios enter there and see."""

from dataclasses import dataclass

from fabric.protocol import DesiredPort, DesiredSwitch, Roce
from tests.unit.switch_twin import PORTS, System


@dataclass(frozen=True)
class Case:
    """One network OS: how it words what the scenarios do and see."""

    system: System
    heading: str
    mtu: str
    pfc: str
    """The line that is missing where PFC is."""
    without_pfc: tuple[str, ...]
    """What somebody enters to turn PFC off on the first port."""
    unrelated: tuple[str, ...]
    listed: str
    """How an operator's unrelated line is listed."""
    kept: str
    """The same in the file that the switch starts with."""
    save: tuple[str, ...]
    opened: tuple[str, ...]
    """What leaves a change of somebody else on trial."""
    refusal: str
    ended: tuple[str, ...]
    """What its owner enters to end it."""
    session: tuple[str, ...]
    """What leaves a terminal open in the middle of something that isn't in force."""
    told: str
    """How that is named: who, what, and since when where the switch tells."""
    largest: int
    vlan: str
    """How it is said that there is a VLAN."""
    member: str
    """How it is said that a port is in one."""
    alone: int | None
    """The VLAN of a port as delivered; None: it forwards to no other."""
    moved: tuple[str, ...]
    """What somebody enters to put the second port into VLAN 20."""
    occupied: tuple[str, ...]
    """What somebody enters that keeps the first port from any VLAN."""
    obstacle: str
    """How that is named, with the command that ends it."""
    freed: tuple[str, ...]

    @property
    def ports(self) -> tuple[str, ...]:
        return PORTS[self.system]


EOS = Case(
    system="eos",
    heading="interface {}",
    mtu="mtu {}",
    pfc="  + priority-flow-control priority 3 no-drop",
    without_pfc=(
        "enable",
        "configure",
        "interface Ethernet1",
        "no priority-flow-control priority 3 no-drop",
    ),
    unrelated=("enable", "configure", "interface Ethernet1", "switchport access vlan 20"),
    listed="Ethernet1: switchport access vlan 20",
    kept="switchport access vlan 20",
    save=("enable", "write memory"),
    opened=(
        "enable",
        "configure session night",
        "interface Ethernet3",
        "mtu 3000",
        "commit timer 00:10:00",
    ),
    refusal=(
        "somebody to confirm the configuration session night (of colleague on vty99) within "
        "0:10:00: confirm it there with 'configure session night commit'"
    ),
    ended=("enable", "configure session night commit"),
    session=("enable", "configure session evening", "interface Ethernet3", "mtu 3000"),
    told=(
        "the configuration session evening (of colleague on vty99) open: committed after this "
        "change it takes the change back"
    ),
    largest=9214,
    vlan="vlan {}",
    member="switchport access vlan {}",
    alone=1,
    moved=("enable", "configure", "vlan 20", "interface Ethernet2", "switchport access vlan 20"),
    occupied=("enable", "configure", "interface Ethernet1", "switchport mode trunk"),
    obstacle=(
        "Ethernet1 has 'switchport mode trunk', and a port is put into that VLAN only if it "
        "carries nothing else: enter 'interface Ethernet1; switchport mode access' on tor1"
    ),
    freed=("enable", "configure", "interface Ethernet1", "switchport mode access"),
)
CUMULUS = Case(
    system="cumulus",
    heading="interface {}",
    mtu="link mtu {}",
    pfc="+ qos roce mode lossless",
    without_pfc=("nv unset qos roce",),
    unrelated=("nv set bridge domain br_default vlan 20", "nv config apply -y"),
    listed="bridge domain br_default vlan 20",
    kept='"20"',
    save=("nv config save",),
    opened=("nv set interface swp3 link mtu 3000", "nv config apply -y --confirm 10m -m night"),
    refusal="somebody to confirm revision 3 (of colleague, night): confirm it there with",
    ended=("nv config apply 3 --confirm-yes",),
    session=("nv set interface swp3 link mtu 3000",),
    told="the pending revision 3 (of colleague), begun from what ran before this change",
    largest=9216,
    vlan="bridge domain br_default vlan {}",
    member="bridge domain br_default access {}",
    alone=None,
    moved=(
        "nv set bridge domain br_default vlan 20",
        "nv set interface swp2 bridge domain br_default access 20",
        "nv config apply -y",
    ),
    occupied=("nv set interface swp1 ip address 10.0.0.1/31", "nv config apply -y"),
    obstacle=(
        "swp1 has 'interface swp1 ip address 10.0.0.1/31', and a port is put into that VLAN only "
        "if it carries nothing else: enter 'nv unset interface swp1 ip address 10.0.0.1/31' on tor1"
    ),
    freed=("nv unset interface swp1 ip address 10.0.0.1/31", "nv config apply -y"),
)
ONYX = Case(
    system="onyx",
    heading="interface ethernet {0[3]}/{0[5]}",
    mtu="mtu {}",
    pfc="  + dcb priority-flow-control mode on (priority 3)",
    without_pfc=(
        "enable",
        "configure terminal",
        "no interface ethernet 1/1 dcb priority-flow-control mode force",
    ),
    unrelated=("vlan 20", "interface ethernet 1/1 switchport access vlan 20"),
    listed="Eth1/1: switchport access vlan 20",
    kept="switchport access vlan 20",
    save=("enable", "configure terminal", "configuration write"),
    opened=(
        "enable",
        "configure terminal",
        "job 7 name night",
        'job 7 command 1 "interface ethernet 1/3 mtu 3000 force"',
        "job 7 schedule type once",
        "job 7 schedule once time 23:00:00 date 2030/01/01",
        "job 7 enable",
    ),
    refusal=(
        "has job 7 (night) of somebody else waiting to enter 'interface ethernet 1/3 mtu 3000 "
        "force' at 2030/01/01 23:00:00 +0000: remove it there with 'no job 7'"
    ),
    ended=("enable", "configure terminal", "no job 7"),
    session=("enable", "configure terminal"),
    told="colleague logged in on pts/99 from 10.77.0.9, idle for 0d0h5m0s",
    largest=9216,
    vlan="vlan {}",
    member="switchport access vlan {}",
    alone=1,
    moved=(
        "enable",
        "configure terminal",
        "vlan 20",
        "interface ethernet 1/2 switchport access vlan 20",
    ),
    occupied=("enable", "configure terminal", "interface ethernet 1/1 switchport mode trunk"),
    obstacle=(
        "Eth1/1 has 'switchport mode trunk', and a port is put into that VLAN only if it carries "
        "nothing else: enter 'interface ethernet 1/1 switchport mode access' on tor1"
    ),
    freed=("enable", "configure terminal", "interface ethernet 1/1 switchport mode access"),
)
SONIC = Case(
    system="sonic",
    heading="{}",
    mtu="mtu {}",
    pfc="  + pfc_enable 3",
    without_pfc=("sudo config interface pfc priority Ethernet0 3 off",),
    unrelated=("sudo config vlan add 20",),
    listed="VLAN|Vlan20: vlanid 20",
    kept="Vlan20",
    save=("sudo config save -y",),
    opened=(
        "sudo config checkpoint before-night",
        "sudo systemd-run --unit=night --on-active=600 config rollback before-night",
    ),
    refusal="which somebody else scheduled as night.timer on Mon 1970-01-12 13:46:40 UTC: stop it",
    ended=("sudo systemctl stop night.timer",),
    session=("sudo config reload",),
    told=(
        "locked by '/usr/bin/python3 /usr/local/bin/config reload' on vty99 since Mon Jan 12 "
        "13:46:40 1970"
    ),
    largest=9216,
    vlan="VLAN Vlan{}",
    member="VLAN_MEMBER Vlan{} untagged",
    alone=None,
    moved=(
        "sudo config vlan add 20",
        "sudo config vlan member del 78 Ethernet4",
        "sudo config vlan member add -u 20 Ethernet4",
    ),
    occupied=("sudo config interface ip add Ethernet0 10.0.0.0/31",),
    obstacle=(
        "Ethernet0 has 'INTERFACE|Ethernet0|10.0.0.0/31', and a port is put into that VLAN only if "
        "it carries nothing else: enter 'sudo config interface ip remove Ethernet0 10.0.0.0/31' on "
        "tor1"
    ),
    freed=("sudo config interface ip remove Ethernet0 10.0.0.0/31",),
)
CASES = {case.system: case for case in (EOS, CUMULUS, ONYX, SONIC)}


def declared(case: Case, mtu_bytes: int = 9000) -> DesiredSwitch:
    first, second, _ = case.ports
    return DesiredSwitch(
        ports={
            first: DesiredPort(
                mtu_bytes=mtu_bytes, description="head.fab0", enabled=True, roce=Roce()
            ),
            second: DesiredPort(mtu_bytes=mtu_bytes, description="w1.fab0", roce=Roce()),
        },
        lldp=True,
    )
