"""What the twin's Onyx, Cumulus and SONiC print: a golden session each, byte for byte."""

import os
from pathlib import Path

import pytest

from lab.switch import GREETING
from lab.switch_cli.lldp import Table
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store
from lab.switch_cli.systems import Speaking, World, speaking
from tests.unit.switch_twin import MAX_MTU_BYTES, PORTS, Clock, FakePorts, System, announced

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "switches"
SESSIONS: dict[System, str] = {
    "onyx": """\
show running-config
enable
no cli session paging enable
show clock
configure terminal
lldp
interface ethernet 1/1 mtu 9216 force
interface ethernet 1/1 mtu 1400
interface ethernet 1/9 mtu 9216
interface ethernet 1/1 description "head fab0"
interface ethernet 1/1 qos trust L3
dcb priority-flow-control enable force
dcb priority-flow-control priority 3 enable
interface ethernet 1/1 dcb priority-flow-control mode on force
interface ethernet 1/1 traffic-class 3 congestion-control ecn minimum-absolute 150 \
maximum-absolute 1500
vlan 20
job 900 name rackform-1
job 900 command 1 "no interface ethernet 1/1 description"
job 900 schedule type once
job 900 schedule once time 13:48:40 date 1970/01/12
job 900 enable
show jobs
show users
job 900 execute
show running-config
configuration write
show configuration
show interfaces ethernet status | json-print
show lldp interfaces ethernet remote
no job 900
no job 900
spanning-tree mode rpvst
int eth 1/1 sh
exit
exit
""",
    "cumulus": """\
nv show interface -o json
nv config show -r applied -o json
nv set interface swp1 link mtu 9216
nv set interface swp1 description head.fab0
nv set interface swp9 link mtu 9216
nv set interface swp1 link mtu 100
nv set interface swp1 link colour blue
nv set qos roce mode lossless
nv set bridge domain br_default vlan 20
nv config diff -o commands
nv config apply -y --confirm 90s -m rackform-1
nv config revision -o json
nv config apply 7 --confirm-yes
nv config apply 2 --confirm-yes
nv config save
nv unset qos roce
nv config diff -o commands
nv config revision -o json
nv config detach
nv config apply -y
nv config show -r startup -o json
sudo lldpctl -f json0
systemctl list-units --type=service --state=active --plain --no-legend lldpd.service
net show configuration
exit
""",
    "sonic": """\
show interfaces status
show lldp table
sudo config interface mtu Ethernet0 9216
sudo config interface mtu Ethernet0 99999
sudo config interface mtu Ethernet1 9216
config interface mtu Ethernet0 9100
sudo config interface pfc priority Ethernet0 4 off
sudo config vlan add 20
sudo config checkpoint rackform-1
sudo config list-checkpoints
sudo systemd-run --unit=rackform-1 --on-active=60 --timer-property=AccuracySec=1s \
config rollback rackform-1
systemctl list-units --type=timer --all --full --plain --no-legend
systemctl show --property=ActiveEnterTimestamp --value rackform-1.timer
sudo systemctl stop rackform-1.timer
sudo systemctl stop rackform-1.timer
sudo config rollback rackform-2
sudo config rollback rackform-1
sudo config delete-checkpoint rackform-1
sudo config apply-patch /tmp/nothing.json
sudo config save -y
sudo cat /etc/sonic/reload.lock
sudo config reload
n
sudo cat /etc/sonic/reload.lock
ps -o tty=,lstart=,args= -p 4242
sudo show runningconfiguration all
show version
show spanning-tree
sudo config spanning-tree enable
configure terminal
exit
""",
}

VLANS: dict[System, str] = {
    "eos": """\
enable
configure session rackform-1
vlan 78
exit
interface Ethernet1
switchport access vlan 78
switchport access vlan 4095
show session-config diffs
commit timer 00:01:00
configure session rackform-1 commit
show interfaces status
configure
interface Ethernet2
switchport mode trunk
show running-config section Ethernet2
no switchport mode
no vlan 78
end
exit
""",
    "onyx": """\
enable
configure terminal
no cli session prefix-modes enable
vlan 78
vlan 4095
interface ethernet 1/1 switchport access vlan 78
interface ethernet 1/2 switchport mode trunk
show running-config
no interface ethernet 1/1 switchport access vlan
interface ethernet 1/2 switchport mode access
no vlan 78
show running-config
exit
exit
""",
    "cumulus": """\
nv set bridge domain br_default vlan 78
nv set interface swp1 bridge domain br_default access 78
nv set interface swp1 bridge domain br_default access 4095
nv set interface swp2 bridge domain br_default
nv set interface swp3 ip address 10.0.0.1/31
nv set interface swp3 ip colour blue
nv config diff -o commands
nv config apply -y
nv config show -r applied -o json
nv unset interface swp1 bridge domain br_default access
nv config diff -o commands
exit
""",
    "sonic": """\
sudo config vlan add 1
sudo config vlan add 78
sudo config vlan member add -u 78 Ethernet0
sudo config vlan member add 78 Ethernet4
sudo config vlan member add -u 20 Ethernet8
sudo config interface ip add Ethernet0 10.0.0.0/31
sudo config interface ip add Ethernet8 10.0.0.0/31
sudo config vlan member add -u 78 Ethernet8
sudo config interface ip remove Ethernet8 10.0.0.0/31
sudo config vlan member add -u 78 Ethernet8
sudo config vlan member del 78 Ethernet0
sudo config vlan member del 78
exit
""",
}
PLAYED = [*((system, "", lines) for system, lines in SESSIONS.items())]
PLAYED += [(system, "-vlan", lines) for system, lines in VLANS.items()]


def made(system: System, folder: Path) -> tuple[Speaking, Table]:
    clock = Clock()
    table, ports = Table(clock), FakePorts(PORTS[system])
    settings = Settings.model_validate(
        {
            "os": system,
            "hostname": "tor1",
            "address": "127.0.0.1",
            "host_key_file": "unused",
            "authorized_keys_file": "unused",
            "state_dir": "unused",
            "ports": dict.fromkeys(PORTS[system], "unused"),
            "max_mtu_bytes": MAX_MTU_BYTES[system],
        }
    )
    return speaking(settings, World(ports, Store(folder), "boot/1", table, clock)), table


@pytest.mark.parametrize(("system", "about", "lines"), PLAYED)
def test_a_session_prints_what_it_always_printed(
    system: System, about: str, lines: str, tmp_path: Path
) -> None:
    spoken, table = made(system, tmp_path)
    terminal = spoken.login("admin", "vty1")
    table.heard(PORTS[system][0], announced("head", "fab0"))
    transcript = []
    for line in lines.splitlines():
        transcript += [f"{terminal.prompt}{line}", *terminal.run(line)]
    text = "\n".join(transcript) + "\n"
    file = GOLDEN / f"{system}{about}.txt"
    if os.environ.get("RACKFORM_GOLDEN") == "write":
        file.write_text(text)
    assert terminal.closed
    assert text == file.read_text()


@pytest.mark.parametrize("system", PORTS)
def test_every_switch_answers_what_the_twin_greets_it_with(system: System, tmp_path: Path) -> None:
    spoken, _ = made(system, tmp_path)
    assert spoken.login("admin", "vty1").execute(GREETING[system], "").status == 0
