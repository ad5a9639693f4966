"""Each link between two hosts, measured in both directions with the tools of the trade."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from commission.model import LinkResult, Tool
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from stack.schema import FABRIC

STREAMS = 4
_PORT = 5299
_IB_PORT = 18599
_IB_ROW = re.compile(r"^\s*\d+\s+\d+\s+[\d.]+\s+(?P<average>[\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class End:
    """One host, as the fabric knows it."""

    connection: Connection
    fabric_address: str
    rdma_device: str | None = None
    network: str = FABRIC
    rails: Mapping[str, "End"] = field(default_factory=dict)
    """The same host on its other links, by their networks."""

    def on(self, network: str) -> "End | None":
        return self if network == self.network else self.rails.get(network)

    @property
    def name(self) -> str:
        return self.connection.name


def told_to_nccl(connection: Connection) -> list[str]:
    """Return the RDMA devices that NCCL is told on a host, as its file has them."""
    ask = "sed -n 's/^NCCL_IB_HCA=*//p' /etc/nccl.conf 2>/dev/null || true"
    said = ssh.run(connection, ask).stdout.strip()
    return [device for device in said.split(",") if device]


def device_of(connection: Connection, interface: str) -> str | None:
    """Return the RDMA device of a host's interface, where it has one."""
    ask = f"ls /sys/class/net/{interface}/device/infiniband 2>/dev/null | head -n 1 || true"
    return ssh.run(connection, ask).stdout.strip() or None


def iperf3(text: str) -> tuple[float, int]:
    """Return Gbit/s received and segments sent again, of what `iperf3 -J` prints.

    Raises:
        RackformError: it failed; its own words.

    """
    try:
        told = json.loads(text)
        end = told["end"]
        rate = float(end["sum_received"]["bits_per_second"]) / 1e9
        return rate, int(end["sum_sent"].get("retransmits", 0))
    except (ValueError, KeyError, TypeError) as error:
        said = re.search(r'"error":\s*"([^"]+)"', text)
        reason = said[1] if said else text.strip()[:80] or "it printed nothing"
        raise RackformError(
            f"iperf3 measured nothing ({reason}): see that the firewall leaves the fabric open"
        ) from error


def ib_write_bw(text: str) -> float:
    """Return the average in Gbit/s of what `ib_write_bw --report_gbits` prints.

    Raises:
        RackformError: it failed; its last line.

    """
    rows = _IB_ROW.findall(text)
    if not rows:
        last = text.strip().splitlines()[-1:] or ["it printed nothing"]
        raise RackformError(
            f"ib_write_bw measured nothing ({last[0]}): see 'ibv_devinfo' on both hosts"
        )
    return max(float(row) for row in rows)


def missing(end: End, tool: Tool) -> bool:
    """Return whether a tool isn't on a host."""
    done = ssh.run(end.connection, f"command -v {tool.value}", check=False)
    return done.returncode != 0


def _behind(command: str) -> str:
    """Return shell that leaves a server behind; both tools need a moment until they listen."""
    return f"nohup {command} >/dev/null 2>&1 </dev/null & sleep 1"


def measure(sender: End, receiver: End, tool: Tool, seconds: int) -> LinkResult:
    """Measure one direction. The server ends by itself after one client.

    Raises:
        RackformError: a tool failed.

    """
    if tool is Tool.IPERF3:
        serve = f"timeout {seconds + 30} iperf3 -s -1 -B {receiver.fabric_address} -p {_PORT}"
        ask = f"iperf3 -J -c {receiver.fabric_address} -p {_PORT} -P {STREAMS} -t {seconds}"
        ssh.run(receiver.connection, _behind(serve))
        done = ssh.run(sender.connection, ask, timeout_s=seconds + 60, check=False)
        rate, again = iperf3(done.stdout)
    else:
        flags = f"--report_gbits -F -D {seconds} -p {_IB_PORT}"
        serve = f"timeout {seconds + 30} ib_write_bw -d {receiver.rdma_device} {flags}"
        ssh.run(receiver.connection, _behind(serve))
        ask = f"ib_write_bw -d {sender.rdma_device} {flags} {receiver.fabric_address}"
        done = ssh.run(sender.connection, ask, timeout_s=seconds + 60, check=False)
        rate, again = ib_write_bw(done.stdout + done.stderr), 0
    return LinkResult(
        sender=sender.name,
        receiver=receiver.name,
        network=receiver.network,
        tool=tool,
        gbit_s=round(rate, 2),
        retransmits=again,
    )
