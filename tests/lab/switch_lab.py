"""A switch of the twin between two hosts, in real network namespaces: the daemon and the client."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.connection import Connection
from tests.unit.switch_twin import MAX_MTU_BYTES, PORTS, System, write_keys

ROOT = Path(__file__).resolve().parents[2]
TAG = f"eos{os.getpid() % 100000}"
SWITCH, HOSTS = f"{TAG}-sw", (f"{TAG}-a", f"{TAG}-b")
HERE, THERE = "169.254.213.1", "169.254.213.2"
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

    def answers(self) -> bool:
        """Return whether the switch takes a connection."""
        try:
            socket.create_connection((self.connection.address, self.connection.port), 1).close()
        except OSError:
            return False
        return True

    def on_host(self, host: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


@contextlib.contextmanager
def switch_lab(tmp_path: Path, system: System, *, in_band: bool = False) -> Iterator[Lab]:
    """Make the namespaces and start the daemon; `in_band`: it is reached over its third port."""
    first, second, third = PORTS[system]
    ports = {first: "swp1", second: "swp2", **({third: "mgmt0"} if in_band else {})}
    host_key, key_file = write_keys(tmp_path)
    config = tmp_path / "cli.json"
    config.write_text(
        f"""{{"os": "{system}", "hostname": "tor1", "address": "{THERE}", "port": 22,
        "host_key_file": "{tmp_path}/host_key",
        "authorized_keys_file": "{tmp_path}/authorized_keys", "state_dir": "{tmp_path}/state",
        "ports": {json.dumps(ports)},
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
