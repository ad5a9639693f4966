"""The switch in a real network namespace: two hosts on a bridge, the daemon, the client."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fabric.linux
import fabric.terminal
from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Roce
from remote import ssh
from remote.errors import Unreachable
from tests.lab.switch_lab import HOSTS, ROOT, SWITCH, Lab, ip, plug, switch_lab, wait_until
from tests.unit.switch_stack import stack_of
from tests.unit.switch_twin import PORTS, System

pytestmark = pytest.mark.root

JUMBO = DesiredSwitch(
    ports={
        "Ethernet1": DesiredPort(mtu_bytes=9000, description="a.fab0", enabled=True),
        "Ethernet2": DesiredPort(mtu_bytes=9000, description="b.fab0", enabled=True),
    },
    lldp=True,
)
SEND_LLDP = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from lab.switch_cli.lldp import ETHERTYPE, frame
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("fab0", ETHERTYPE))
s.send(frame(s.getsockname()[4], "fab0", sys.argv[2], "Debian", 120))
"""
HEAR_LLDP = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from lab.switch_cli.lldp import ETHERTYPE, parse
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
s.bind(("fab0", ETHERTYPE))
s.settimeout(10)
print("listening", flush=True)
told = parse(s.recv(2000))
print(told.system_name, told.port_id)
"""


def lay(lab: Lab, host: str, port: str) -> None:
    """Lay a host's cable to a port, and wait until the switch has taken it in."""
    plug(host, port)
    wait_until(lambda: lab.mtu(port) == 9000, "the new device gets the port's configuration")


def announce(lab: Lab, host: str, name: str) -> None:
    """Send what a host's lldpd says of it once, over its fab0."""
    assert lab.on_host(host, SEND_LLDP, str(ROOT), name).wait(10) == 0


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with switch_lab(tmp_path, getattr(request, "param", "eos")) as made:
        yield made


def test_a_wrong_mtu_on_a_switch_port_breaks_the_fabric_and_the_client_repairs_it(
    lab: Lab,
) -> None:
    assert lab.passes(56)
    assert not lab.passes(8972)
    with open_switch("eos", lab.connection) as switch:
        switch.apply(JUMBO, 60)
        assert lab.passes(8972)
        assert switch.read().ports["Ethernet1"].connected
        ip("-n", SWITCH, "link", "set", "swp2", "mtu", "1500")
        assert not lab.passes(8972)
        drift = ["interface Ethernet2", "  - mtu 1500", "  + mtu 9000"]
        assert switch.look(JUMBO).pending == drift
        assert switch.apply(JUMBO, 60).changed == drift
        assert switch.look(JUMBO).pending == []
    assert lab.passes(8972)


def test_a_port_that_is_shut_down_carries_nothing_until_it_is_opened_again(lab: Lab) -> None:
    closed = DesiredSwitch(ports={"Ethernet1": DesiredPort(enabled=False)})
    with open_switch("eos", lab.connection) as switch:
        switch.apply(closed, 60)
        assert not lab.passes(56)
        assert not switch.read().ports["Ethernet1"].connected
        switch.apply(JUMBO, 60)
    wait_until(lambda: lab.passes(56), "the port forwards again")


def test_a_commit_that_is_not_confirmed_is_undone_though_the_daemon_was_killed(lab: Lab) -> None:
    with open_switch("eos", lab.connection) as switch:
        switch._commit("rackform-0", ["interface Ethernet1", "mtu 9000"], 3)  # type: ignore[attr-defined]
    assert lab.mtu("swp1") == 9000
    lab.stop(kill=True)
    lab.start()
    assert lab.mtu("swp1") == 9000
    wait_until(lambda: lab.mtu("swp1") == 1500, "the commit timer runs out")


def test_configuration_survives_an_orderly_restart_and_a_cable_that_is_laid_anew(lab: Lab) -> None:
    with open_switch("eos", lab.connection) as switch:
        switch.apply(JUMBO, 60)
    assert lab.stop() == 0
    lab.start()
    assert lab.passes(8972)
    ip("-n", HOSTS[1], "link", "delete", "fab0")
    plug(HOSTS[1], "swp2")
    ip("-n", HOSTS[1], "address", "add", "10.99.0.2/24", "dev", "fab0")
    ip("-n", HOSTS[0], "neighbour", "flush", "dev", "fab0")  # the new device has another MAC
    wait_until(lambda: lab.mtu("swp2") == 9000, "the new device gets the port's configuration")
    wait_until(lambda: lab.passes(8972), "the new cable carries jumbo frames")
    with open_switch("eos", lab.connection) as switch:
        assert switch.look(JUMBO).pending == []


def test_lldp_is_heard_and_sent_on_the_ports(lab: Lab) -> None:
    announce(lab, HOSTS[0], "node-a")
    with open_switch("eos", lab.connection) as switch:
        [neighbour] = switch.read().neighbours["Ethernet1"]
        assert (neighbour.system_name, neighbour.port_id) == ("node-a", "fab0")
    listener = lab.on_host(HOSTS[0], HEAR_LLDP, str(ROOT))
    assert listener.stdout
    assert listener.stdout.readline() == "listening\n"
    ip("-n", SWITCH, "link", "set", "swp1", "down")
    time.sleep(0.3)
    ip("-n", SWITCH, "link", "set", "swp1", "up")
    assert listener.stdout.read() == "tor1 Ethernet1\n"


@pytest.mark.parametrize("lab", ["onyx", "cumulus", "sonic"], indirect=True)
def test_each_network_system_lands_on_real_ports(lab: Lab, request: pytest.FixtureRequest) -> None:
    system: System = request.node.callspec.params["lab"]
    first, second, _ = PORTS[system]
    ends = {first: "a.fab0", second: "b.fab0"}
    wanted = DesiredSwitch(
        ports={
            port: DesiredPort(mtu_bytes=9000, description=end, enabled=True, roce=Roce())
            for port, end in ends.items()
        },
        lldp=True,
        vlan=78,
    )
    with open_switch(system, lab.connection) as switch:
        switch.apply(DesiredSwitch(ports={first: DesiredPort()}, vlan=78), 60)
        assert not lab.passes(56)
        switch.apply(wanted, 60)
        assert lab.passes(8972)
        assert switch.read().ports[first].connected
        ip("-n", SWITCH, "link", "set", "swp2", "mtu", "1500")
        assert not lab.passes(8972)
        assert any("9000" in line for line in switch.look(wanted).pending)
        switch.apply(wanted, 60)
        assert switch.look(wanted).pending == []
        announce(lab, HOSTS[0], "node-a")
        [neighbour] = switch.read().neighbours[first]
        assert (neighbour.system_name, neighbour.port_id) == ("node-a", "fab0")
    assert lab.passes(8972)
    assert lab.stop() == 0
    lab.start()
    with open_switch(system, lab.connection) as switch:
        assert switch.look(wanted).pending == []


@pytest.mark.parametrize("lab", list(PORTS), indirect=True)
def test_two_cables_that_are_really_swapped_are_named_in_the_preview(
    lab: Lab, request: pytest.FixtureRequest
) -> None:
    system: System = request.node.callspec.params["lab"]
    first, second, _ = PORTS[system]
    stack = stack_of(lab.connection, system, {first: "node-a.fab0", second: "node-b.fab0"})
    stack.up()
    for host in HOSTS:
        ip("-n", host, "link", "delete", "fab0")
    lay(lab, HOSTS[0], "swp2")
    lay(lab, HOSTS[1], "swp1")
    swapped = (
        f"warning: the cables in tor1's {first} and {second} are swapped: LLDP hears node-b.fab0 "
        f"on {first} and node-a.fab0 on {second}: swap the cables, or the two lines in "
        "switches.tor1.ports"
    )

    def named() -> bool:
        """Announce as lldpd does, again and again: the switch listens soon after a link is up."""
        announce(lab, HOSTS[0], "node-a")
        announce(lab, HOSTS[1], "node-b")
        return stack.preview() == swapped

    wait_until(named, "the preview names the two cables")


@pytest.mark.parametrize("system", PORTS)
def test_a_commit_that_really_cuts_the_management_path_goes_back_by_itself(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch is reached over its third port, which the change shuts down."""
    for module, name in (
        (ssh, "CONNECT_TIMEOUT_S"),
        (fabric.terminal, "CONNECT_TIMEOUT_S"),
        (fabric.terminal, "READ_TIMEOUT_S"),
        (fabric.linux, "COMMAND_TIMEOUT_S"),
    ):
        monkeypatch.setattr(module, name, 3)
    first, second, third = PORTS[system]
    jumbo = DesiredPort(mtu_bytes=9000)
    cut = DesiredSwitch(ports={first: jumbo, third: DesiredPort(enabled=False)})
    with switch_lab(tmp_path, system, in_band=True) as lab:
        with (
            open_switch(system, lab.connection) as switch,
            pytest.raises(Unreachable, match="goes back to its former configuration within 12 s"),
        ):
            switch.apply(cut, 12)
        assert lab.mtu("swp1") == 9000
        wait_until(lambda: lab.mtu("swp1") == 1500, "the switch goes back", timeout_s=15)
        wait_until(lab.answers, "the switch is reached again")
        monkeypatch.undo()
        wanted = DesiredSwitch(ports={first: jumbo, second: jumbo})
        with open_switch(system, lab.connection) as switch:
            assert switch.look(wanted).under_way == []
            switch.apply(wanted, 60)
            assert switch.look(wanted).pending == []
        assert lab.passes(8972)
