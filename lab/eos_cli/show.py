"""What the `show` commands print, in EOS's formats.

Formats: tests/arista_eos/show_{interfaces,interfaces_status,interfaces_description,lldp_neighbors,
lldp_neighbors_detail,version} in networktocode/ntc-templates, whose templates read all of these;
`show configuration sessions detail` as EOS 4.35 prints it, with the header line that names the
session whose commit timer runs.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence

from lab.eos_cli.engine import Session, SessionState, Switch
from lab.eos_cli.model import MODEL, VERSION, Config, Interface, render, short
from lab.switch_cli.core import CliError
from lab.switch_cli.lldp import Neighbour, Table
from lab.switch_cli.ports import Link

_SUBTYPES = {"chassis": {4: "MAC address", 5: "Network address", 7: "Locally assigned"}}
_SUBTYPES["port"] = {3: "MAC address", 5: "Interface name", 7: "Locally assigned"}


def dotted(mac: str) -> str:
    """Return 00:11:22:33:44:55 as 0011.2233.4455."""
    digits = mac.replace(":", "")
    return ".".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def span(seconds: float) -> str:
    """Return a time span as 0:01:11, or `2 days, 0:01:11`."""
    return str(dt.timedelta(seconds=int(seconds)))


def moment(epoch: float) -> str:
    return dt.datetime.fromtimestamp(epoch, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def running_config(config: Config, command: str = "show running-config") -> list[str]:
    head = [f"! Command: {command}", f"! device: {config.hostname} ({MODEL}, EOS-{VERSION})", "!"]
    return [*head, *render(config)]


def blocks(lines: Sequence[str]) -> list[list[str]]:
    """Return the top-level lines, each with the indented ones below it."""
    found: list[list[str]] = []
    for line in lines:
        if line.startswith((" ", "\t")) and found:
            found[-1].append(line)
        elif line not in {"!", "end"} and not line.startswith("! "):
            found.append([line])
    return found


def section(lines: Sequence[str], pattern: str) -> list[str]:
    """Return the blocks of which a line holds the pattern, without regard to case."""
    wanted = pattern.lower()
    chosen = [block for block in blocks(lines) if any(wanted in line.lower() for line in block)]
    return [line for block in chosen for line in block]


def piped(lines: Sequence[str], pipe: str) -> list[str]:
    """Return the output of a command after `| include X` and the like.

    Raises:
        CliError: the filter isn't known.

    """
    verb, _, pattern = pipe.strip().partition(" ")
    if verb == "no-more":
        return list(lines)
    if verb == "section" and pattern:
        return section(lines, pattern.strip())
    try:
        wanted = re.compile(pattern.strip(), re.IGNORECASE)
    except re.error as error:
        raise CliError(f"% Invalid regular expression: {error}") from error
    if verb in {"include", "inc", "i"} and pattern:
        return [line for line in lines if wanted.search(line)]
    if verb in {"exclude", "exc"} and pattern:
        return [line for line in lines if not wanted.search(line)]
    if verb == "begin" and pattern:
        start = next((i for i, line in enumerate(lines) if wanted.search(line)), len(lines))
        return list(lines[start:])
    raise CliError(f"% Invalid input (at token 0: '{verb}')")


def version(mac: str, uptime_s: float, memory_kb: tuple[int, int]) -> list[str]:
    hours, minutes = divmod(int(uptime_s) // 60, 60)
    address = dotted(mac)
    return [
        f"Arista {MODEL}",
        "Hardware version: ",
        "Serial number: ",
        f"Hardware MAC address: {address}",
        f"System MAC address: {address}",
        "",
        f"Software image version: {VERSION}",
        "Architecture: x86_64",
        f"Internal build version: {VERSION}",
        "Image format version: 1.0",
        "Image optimization: None",
        "",
        f"Uptime: {hours} hours and {minutes} minutes",
        f"Total memory: {memory_kb[0]} kB",
        f"Free memory: {memory_kb[1]} kB",
    ]


def status(interface: Interface, link: Link | None) -> str:
    if interface.shutdown:
        return "disabled"
    return "connected" if link and link.carrier else "notconnect"


def interfaces_status(config: Config, links: Mapping[str, Link], ports: Sequence[str]) -> list[str]:
    lines = ["Port       Name               Status       Vlan     Duplex Speed  Type"]
    for port in ports:
        interface = config.interfaces[port]
        lines.append(
            f"{short(port):<10} {interface.description[:18]:<18} "
            f"{status(interface, links.get(port)):<12} {_vlan(interface):<8} {'full':<6} "
            f"{'10G':<6} 10GBASE-T"
        )
    return lines


def _vlan(interface: Interface) -> str:
    return "trunk" if interface.trunk else str(interface.access_vlan)


def interfaces_description(config: Config, links: Mapping[str, Link]) -> list[str]:
    lines = ["Interface                      Status         Protocol           Description"]
    for port, interface in config.interfaces.items():
        state, protocol = _states(interface, links.get(port))
        lines.append(f"{short(port):<30} {state:<14} {protocol:<18} {interface.description}")
    return [line.rstrip() for line in lines]


def _states(interface: Interface, link: Link | None) -> tuple[str, str]:
    if interface.shutdown:
        return "admin down", "down"
    if link is None:
        return "down", "notpresent"
    return ("up", "up") if link.carrier else ("down", "lowerlayerdown")


def interface(port: str, config: Interface, link: Link | None) -> list[str]:
    """Return one port of `show interfaces`."""
    state, protocol = _states(config, link)
    state = "administratively down" if config.shutdown else state
    mac = dotted(link.mac) if link else "0000.0000.0000"
    received, sent = (link.received, link.sent) if link else (None, None)
    lines = [
        f"{port} is {state}, line protocol is {protocol} ({status(config, link)})",
        f"  Hardware is Ethernet, address is {mac} (bia {mac})",
    ]
    if config.description:
        lines.append(f"  Description: {config.description}")
    mtu = link.mtu_bytes if link else config.port_mtu_bytes
    lines += [
        f"  Ethernet MTU {mtu} bytes , BW 10000000 kbit",
        "  Full-duplex, 10Gb/s, auto negotiation: off, uni-link: n/a",
        '  Last clearing of "show interface" counters never',
    ]
    if received is None or sent is None:
        return lines
    return [
        *lines,
        f"     {received.packets} packets input, {received.bytes} bytes",
        f"     Received 0 broadcasts, {received.multicast} multicast",
        "     0 runts, 0 giants",
        (
            f"     {received.errors} input errors, 0 CRC, 0 alignment, 0 symbol, "
            f"{received.dropped} input discards"
        ),
        "     0 PAUSE input",
        f"     {sent.packets} packets output, {sent.bytes} bytes",
        f"     Sent 0 broadcasts, {sent.multicast} multicast",
        f"     {sent.errors} output errors, 0 collisions",
        f"     0 late collision, 0 deferred, {sent.dropped} output discards",
        "     0 PAUSE output",
    ]


def lldp_neighbors(table: Table, ports: Sequence[str]) -> list[str]:
    rows = [(port, n) for port in ports for n in table.neighbours(port)]
    changed = f"{span(table.clock() - table.changed)} ago" if table.changed is not None else "never"
    return [
        f"Last table change time   : {changed}",
        f"Number of table inserts  : {table.inserts}",
        f"Number of table deletes  : {table.deletes}",
        "Number of table drops    : 0",
        f"Number of table age-outs : {table.age_outs}",
        "",
        "Port          Neighbor Device ID       Neighbor Port ID    TTL",
        "---------- ------------------------ ---------------------- ---",
        *(
            f"{short(port):<10} {n.announcement.system_name or n.announcement.chassis_id:<24} "
            f"{n.announcement.port_id:<22} {n.announcement.ttl_s}"
            for port, n in rows
        ),
        "",
    ]


def _neighbour(neighbour: Neighbour, now: float) -> list[str]:
    told = neighbour.announcement
    age, known = int(now - neighbour.last_seen), span(now - neighbour.first_seen)
    chassis = _SUBTYPES["chassis"].get(told.chassis_subtype, "Unknown")
    port = _SUBTYPES["port"].get(told.port_subtype, "Unknown")
    lines = [
        f'  Neighbor {told.chassis_id}/"{told.port_id}", age {age} seconds',
        f"  Discovered {known} ago; Last changed {known} ago",
        f"  - Chassis ID type: {chassis} ({told.chassis_subtype})",
        f"    Chassis ID     : {told.chassis_id}",
        f"  - Port ID type: {port} ({told.port_subtype})",
        f'    Port ID     : "{told.port_id}"',
        f"  - Time To Live: {told.ttl_s} seconds",
    ]
    if told.port_description:
        lines.append(f'  - Port Description: "{told.port_description}"')
    if told.system_name:
        lines.append(f'  - System Name: "{told.system_name}"')
    if told.system_description:
        lines.append(f'  - System Description: "{told.system_description}"')
    return [*lines, ""]


def lldp_neighbors_detail(table: Table, ports: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for port in ports:
        found = table.neighbours(port)
        lines += [f"Interface {port} detected {len(found)} LLDP neighbors:", ""]
        for neighbour in found:
            lines += _neighbour(neighbour, table.clock())
    return lines


def _session_row(session: Session, widths: Sequence[int]) -> str:
    done = moment(session.completed) if session.completed is not None else ""
    cells = (session.name, session.state, session.user, session.terminal, done)
    return "  " + " ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=False))


def sessions(switch: Switch, *, detail: bool) -> list[str]:
    """Return the sessions; with `detail` also how long a commit timer still runs."""
    lines = [
        "Maximum number of completed sessions: 1",
        "Maximum number of pending sessions: 5",
        "Merge on commit is disabled",
        "Autosave to startup-config on commit is disabled",
        "",
    ]
    if detail and switch.pending:
        left = max(0.0, switch.pending.deadline - switch.clock())
        lines += [
            f"Session with pending commit timer: {switch.pending.session}",
            f"Time left until commit timer expiry: in {span(left)}",
            "",
        ]
    rows = list(switch.sessions.values())
    if switch.pending and switch.pending.session not in switch.sessions:
        # Committed before the daemon was restarted: only its timer is left of it.
        lost = Session(switch.pending.session, switch.running(), SessionState.COMMITTED)
        rows.append(lost)
    name = max([len(s.name) for s in rows], default=4)
    heads = ["Name", "State", "User", "Terminal"] + (["Completed Time"] if detail else [])
    widths = [max(name, 4), 9, 10, 10] + ([19] if detail else [])
    lines.append("  " + " ".join(f"{h:<{w}}" for h, w in zip(heads, widths, strict=True)))
    lines.append("  " + " ".join("-" * w for w in widths))
    return [line.rstrip() for line in [*lines, *(_session_row(s, widths) for s in rows)]]
