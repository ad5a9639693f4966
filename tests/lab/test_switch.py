"""The switch in a real network namespace: two hosts on a bridge, the daemon, the client."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Roce
from remote.connection import Connection
from tests.unit.switch_twin import MAX_MTU_BYTES, PORTS, System, write_keys

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
TAG = f"eos{os.getpid() % 100000}"
SWITCH, HOSTS = f"{TAG}-sw", (f"{TAG}-a", f"{TAG}-b")
HERE, THERE = "169.254.213.1", "169.254.213.2"
JUMBO = DesiredSwitch(
    ports={
        "Ethernet1": DesiredPort(mtu_bytes=9000, description="a.fab0", enabled=True),
        "Ethernet2": DesiredPort(mtu_bytes=9000, description="b.fab0", enabled=True),
    },
    lldp=True,
)
REPLY = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 9))
print("listening", flush=True)
while True:
    _, sender = s.recvfrom(65535)
    s.sendto(b"heard", sender)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER = IP_PMTUDISC_DO: never fragment
s.settimeout(0.5)
s.sendto(bytes(int(sys.argv[1])), ("10.99.0.2", 9))
s.recv(100)
"""
SEND_LLDP = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from lab.switch_cli.lldp import ETHERTYPE, frame
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("fab0", ETHERTYPE))
s.send(frame(s.getsockname()[4], "fab0", "node-a", "Debian", 120))
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


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def plug(host: str, port: str) -> None:
    """Lay the cable between a host's fab0 and a switch port, as a node's start does."""
    ip("link", "add", "fab0", "netns", host, "type", "veth", "peer", port, "netns", SWITCH)
    ip("-n", SWITCH, "link", "set", port, "master", "br0")
    ip("-n", host, "link", "set", "fab0", "mtu", "9000", "up")


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.05)


@dataclass
class Lab:
    """The namespaces, and the daemon among them."""

    config: Path
    connection: Connection
    daemon: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.daemon = subprocess.Popen(
            [
                *("ip", "netns", "exec", SWITCH),
                *(sys.executable, "-m", "lab.switch_cli", "--config", str(self.config)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.daemon.stdout
        assert self.daemon.stdout.readline() == "ready\n"

    def stop(self, *, kill: bool = False) -> int:
        assert self.daemon
        if kill:
            self.daemon.kill()
        else:
            self.daemon.terminate()
        return self.daemon.wait(10)

    def mtu(self, port: str) -> int:
        return int(ip("-n", SWITCH, "link", "show", port).split(" mtu ")[1].split()[0])

    def passes(self, payload: int) -> bool:
        """Return whether an unfragmented datagram of that many bytes reaches the other host."""
        return self.on_host(HOSTS[0], ASK, str(payload)).wait(10) == 0

    def on_host(self, host: str, program: str, argument: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-c", program, argument],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    system: System = getattr(request, "param", "eos")
    first, second, _ = PORTS[system]
    host_key, key_file = write_keys(tmp_path)
    config = tmp_path / "cli.json"
    config.write_text(
        f"""{{"os": "{system}", "hostname": "tor1", "address": "{THERE}", "port": 22,
        "host_key_file": "{tmp_path}/host_key",
        "authorized_keys_file": "{tmp_path}/authorized_keys", "state_dir": "{tmp_path}/state",
        "ports": {{"{first}": "swp1", "{second}": "swp2"}},
        "max_mtu_bytes": {MAX_MTU_BYTES[system]}}}"""
    )
    connection = Connection(
        name="tor1", address=THERE, user="admin", private_key_file=key_file, host_key=host_key
    )
    lab = Lab(config, connection)
    try:
        for namespace in (SWITCH, *HOSTS):
            ip("netns", "add", namespace)
        ip("link", "add", TAG, "type", "veth", "peer", "mgmt0", "netns", SWITCH)
        ip("address", "add", f"{HERE}/30", "dev", TAG)
        ip("link", "set", TAG, "up")
        ip("-n", SWITCH, "address", "add", f"{THERE}/30", "dev", "mgmt0")
        ip("-n", SWITCH, "link", "set", "mgmt0", "up")
        ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "br0", "up")
        for number, host in enumerate(HOSTS, start=1):
            plug(host, f"swp{number}")
            ip("-n", host, "address", "add", f"10.99.0.{number}/24", "dev", "fab0")
            ip("-n", SWITCH, "link", "set", f"swp{number}", "up")
        lab.start()
        replier = lab.on_host(HOSTS[1], REPLY, "")
        try:
            assert replier.stdout
            assert replier.stdout.readline() == "listening\n"
            yield lab
        finally:
            replier.kill()
            replier.wait(10)
    finally:
        if lab.daemon and lab.daemon.poll() is None:
            lab.stop()
        for namespace in (SWITCH, *HOSTS):
            subprocess.run(["ip", "netns", "delete", namespace], check=False)
        subprocess.run(["ip", "link", "delete", TAG], check=False, capture_output=True)


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
        assert switch.pending(JUMBO) == drift
        assert switch.apply(JUMBO, 60) == drift
        assert switch.pending(JUMBO) == []
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
        assert switch.pending(JUMBO) == []


def test_lldp_is_heard_and_sent_on_the_ports(lab: Lab) -> None:
    sender = lab.on_host(HOSTS[0], SEND_LLDP, str(ROOT))
    assert sender.wait(10) == 0
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
    )
    with open_switch(system, lab.connection) as switch:
        switch.apply(wanted, 60)
        assert lab.passes(8972)
        assert switch.read().ports[first].connected
        ip("-n", SWITCH, "link", "set", "swp2", "mtu", "1500")
        assert not lab.passes(8972)
        assert any("9000" in line for line in switch.pending(wanted))
        switch.apply(wanted, 60)
        assert switch.pending(wanted) == []
        sender = lab.on_host(HOSTS[0], SEND_LLDP, str(ROOT))
        assert sender.wait(10) == 0
        [neighbour] = switch.read().neighbours[first]
        assert (neighbour.system_name, neighbour.port_id) == ("node-a", "fab0")
    assert lab.passes(8972)
    assert lab.stop() == 0
    lab.start()
    with open_switch(system, lab.connection) as switch:
        assert switch.pending(wanted) == []
