"""What `show … | json` prints, for the commands that NAPALM's `eos` driver asks over SSH.

Shapes: napalm-automation/napalm, test/eos/mocked_data; a running commit timer as EOS 4.32 and later
tell it (`commitTimerSessionName`, `commitTimerExpireTime` in seconds of uptime).
"""

import re
import time
from pathlib import Path

from pydantic import JsonValue

from lab.eos_cli import show
from lab.eos_cli.engine import Switch
from lab.eos_cli.model import MODEL, VERSION
from lab.switch_cli.lldp import Table
from lab.switch_cli.matching import Command
from lab.switch_cli.ports import Counters

_BANDWIDTH_BIT_S = 10_000_000_000
_STARTED = time.monotonic()


def uptime_s() -> float:
    return time.monotonic() - _STARTED


def memory_kb() -> tuple[int, int]:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = dict(re.findall(r"(\w+):\s+(\d+) kB", text))
    return int(found["MemTotal"]), int(found["MemFree"])


def system_mac(switch: Switch) -> str:
    """Return the address of the first port, for which the switch is known as a whole."""
    links = switch.ports.read()
    return next((links[p].mac for p in switch.context.ports if p in links), "00:00:00:00:00:00")


def _version(switch: Switch) -> dict[str, JsonValue]:
    return {
        "modelName": MODEL,
        "version": VERSION,
        "internalVersion": VERSION,
        "architecture": "x86_64",
        "serialNumber": "",
        "systemMacAddress": system_mac(switch),
        "uptime": uptime_s(),
        "bootupTimestamp": time.time() - uptime_s(),
    }


def _sessions(switch: Switch) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = {
        "maxSavedSessions": 1,
        "maxOpenSessions": 5,
        "mergeOnCommit": False,
        "saveToStartupConfigOnCommit": False,
        "sessions": {
            s.name: {"state": str(s.state), "description": "", "instances": {}}
            for s in switch.sessions.values()
        },
    }
    if switch.pending:
        left = switch.pending.deadline - switch.clock()
        told["commitTimerSessionName"] = switch.pending.session
        told["commitTimerExpireTime"] = uptime_s() + left
    return told


def _counters(received: Counters, sent: Counters) -> dict[str, JsonValue]:
    return {
        "inOctets": received.bytes,
        "outOctets": sent.bytes,
        "inUcastPkts": received.packets - received.multicast,
        "outUcastPkts": sent.packets - sent.multicast,
        "inMulticastPkts": received.multicast,
        "outMulticastPkts": sent.multicast,
        "inBroadcastPkts": 0,
        "outBroadcastPkts": 0,
        "inDiscards": received.dropped,
        "outDiscards": sent.dropped,
        "totalInErrors": received.errors,
        "totalOutErrors": sent.errors,
    }


def _interfaces(switch: Switch, only: str | None) -> dict[str, JsonValue]:
    links = switch.ports.read()
    found: dict[str, JsonValue] = {}
    for port, config in switch.running().interfaces.items():
        link = links.get(port)
        if only not in {None, port}:
            continue
        up = bool(link and link.carrier and not config.shutdown)
        found[port] = {
            "name": port,
            "interfaceStatus": show.status(config, link),
            "lineProtocolStatus": "up" if up else "down",
            "hardware": "ethernet",
            "physicalAddress": link.mac if link else "00:00:00:00:00:00",
            "description": config.description,
            "bandwidth": _BANDWIDTH_BIT_S,
            "mtu": link.mtu_bytes if link else config.port_mtu_bytes,
            "interfaceCounters": _counters(link.received, link.sent) if link else {},
        }
    return {"interfaces": found}


def _neighbors(switch: Switch, table: Table) -> dict[str, JsonValue]:
    rows: list[JsonValue] = [
        {
            "port": port,
            "neighborDevice": n.announcement.system_name or n.announcement.chassis_id,
            "neighborPort": n.announcement.port_id,
            "ttl": n.announcement.ttl_s,
        }
        for port in switch.context.ports
        for n in table.neighbours(port)
    ]
    return {
        "tablesLastChangeTime": time.time(),
        "tablesInserts": table.inserts,
        "tablesDeletes": table.deletes,
        "tablesAgeOuts": table.age_outs,
        "tablesDrops": 0,
        "lldpNeighbors": rows,
    }


def answer(command: Command, switch: Switch, table: Table) -> dict[str, JsonValue] | None:
    """Return a command's output as EOS structures it, or None where only text is known."""
    match command.form:
        case "show version":
            return _version(switch)
        case "show hostname":
            hostname = switch.declared.hostname
            return {"hostname": hostname, "fqdn": hostname}
        case "show configuration sessions" | "show configuration sessions detail":
            return _sessions(switch)
        case "show interfaces" | "show interfaces <interface>":
            return _interfaces(switch, command.arguments.get("interface"))
        case "show lldp neighbors":
            return _neighbors(switch, table)
        case _:
            return None
