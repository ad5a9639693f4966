"""What the switch's CLI prints: a golden session, read again by ntc-templates."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ntc_templates.parse import parse_output  # type: ignore[import-untyped]  # publishes no types

from lab.eos_cli.shell import Shell
from lab.switch_cli.lldp import Table, frame, parse
from lab.switch_cli.ports import Counters
from tests.unit.eos_switch import make_switch
from tests.unit.switch_twin import Clock, FakePorts

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "eos" / "session.txt"
SESSION = """\
show running-config
enable
terminal length 0
terminal width 511
show hostname
show running-config
show startup-config
configure session rackform-1
interface Ethernet1
description head.fab0
mtu 9000
mtu 9300
show session-config diffs
interface et2
shutdown
exit
show session-config named rackform-1 diffs
commit timer 00:02:00
show configuration sessions detail
configure session other
no lldp run
commit
abort
configure session rackform-1 commit
show configuration sessions
show running-config section Ethernet1
show running-config | include mtu
write memory
show interfaces status
show interfaces description
show interfaces Ethernet1
show lldp neighbors
show lldp neighbors detail
configure terminal
interface Ethernet3
l2 mtu 9000
spanning-tree portfast
no l2 mtu
description
default interface Ethernet1
end
show interfaces ?
show bogus
show conf
co
configure replace flash:nothing
disable
exit
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    ports, clock = FakePorts(), Clock()
    busy = Counters(packets=12, bytes=3456, multicast=2)
    ports.links["Ethernet1"] = replace(ports.links["Ethernet1"], received=busy, sent=busy)
    table = Table(clock)
    told = parse(frame(bytes.fromhex("001c7312b056"), "fab0", "head", "Debian GNU/Linux 12", 120))
    assert told
    table.heard("Ethernet1", told)
    clock.now += 12
    return Shell(make_switch(tmp_path, ports, clock), table, user="admin", terminal="vty1")


def test_a_session_prints_what_it_always_printed(shell: Shell) -> None:
    transcript = []
    for line in SESSION.splitlines():
        transcript += [f"{shell.prompt}{line}", *shell.run(line)]
    text = "\n".join(transcript) + "\n"
    if os.environ.get("RACKFORM_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert shell.closed
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "show interfaces status",
            {"port": "Et1", "name": "a b", "status": "connected", "vlan_id": "1"},
        ),
        (
            "show interfaces",
            {
                "interface": "Ethernet1",
                "link_status": "up",
                "protocol_status": "up (connected)",
                "mac_address": "0200.0000.0001",
                "description": "a b",
                "mtu": "9000",
            },
        ),
        (
            "show interfaces description",
            {"port": "Et1", "status": "up", "protocol": "up", "description": "a b"},
        ),
        (
            "show lldp neighbors",
            {"local_interface": "Et1", "neighbor_name": "head", "neighbor_interface": "fab0"},
        ),
        (
            "show lldp neighbors detail",
            {
                "local_interface": "Ethernet1",
                "neighbor_name": "head",
                "neighbor_interface": "fab0",
                "chassis_id": "001c.7312.b056",
                "neighbor_description": "Debian GNU/Linux 12",
            },
        ),
        ("show version", {"model": "cEOSLab", "image": "4.35.0F", "sys_mac": "0200.0000.0001"}),
        ("show hostname", {"hostname": "tor1", "fqdn": "tor1"}),
    ],
)
def test_ntc_templates_read_every_table(
    shell: Shell, command: str, expected: dict[str, str]
) -> None:
    for line in ("enable", "configure", "interface e1", "mtu 9000", "description a b", "end"):
        assert shell.run(line) == []
    text = "\n".join(shell.run(command)) + "\n"
    rows = parse_output(platform="arista_eos", command=command, data=text)
    assert {key: rows[0][key] for key in expected} == expected


def test_a_description_may_hold_a_pipe_and_words_of_commands(shell: Shell) -> None:
    for line in ("enable", "configure", "interface e1", "description a | b shutdown"):
        assert shell.run(line) == []
    shown = shell.run("show running-config interfaces Ethernet1")
    assert shown == ["interface Ethernet1", "   description a | b shutdown"]


def test_a_session_that_is_gone_takes_its_terminal_back_to_the_prompt(shell: Shell) -> None:
    for line in ("enable", "configure session x", "interface e1"):
        assert shell.run(line) == []
    shell.switch.abort("x")
    assert shell.run("mtu 9000") == ["% Session x does not exist"]
    assert shell.prompt == "tor1#"


def test_only_five_sessions_may_be_open(shell: Shell) -> None:
    shell.run("enable")
    for number in range(5):
        assert shell.run(f"configure session s{number}") == []
    [refused] = shell.run("configure session s5")
    assert re.match("% Maximum number of pending sessions", refused)


def test_a_candidate_can_be_wiped_and_a_saved_configuration_put_back(shell: Shell) -> None:
    lines = """enable
configure session x
interface e1
mtu 9000
commit
write memory
copy startup-config flash:rollback-0
configure session y
rollback clean-config
hostname tor1
commit"""
    for line in lines.splitlines():
        shell.run(line)
    assert shell.switch.ports.read()["Ethernet1"].mtu_bytes == 1500
    assert shell.run("configure replace flash:rollback-0") == []
    assert shell.switch.ports.read()["Ethernet1"].mtu_bytes == 9000


def test_the_commands_that_napalm_asks_for_are_answered_as_json(shell: Shell) -> None:
    for line in ("enable", "configure session napalm_1", "interface e2", "shutdown"):
        assert shell.run(line) == []
    assert shell.run("commit timer 00:02:00") == []

    def ask(command: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads("\n".join(shell.run(f"{command} | json")))
        return answer

    sessions = ask("show configuration sessions detail")
    assert sessions["commitTimerSessionName"] == "napalm_1"
    left = sessions["commitTimerExpireTime"] - ask("show version")["uptime"]
    assert left == pytest.approx(120, abs=1)
    interface = ask("show interfaces Ethernet2")["interfaces"]["Ethernet2"]
    assert (interface["interfaceStatus"], interface["lineProtocolStatus"]) == ("disabled", "down")
    [neighbour] = ask("show lldp neighbors")["lldpNeighbors"]
    assert (neighbour["port"], neighbour["neighborDevice"]) == ("Ethernet1", "head")
    assert ask("show hostname")["hostname"] == "tor1"
    assert shell.run("show clock | json") == ["% This is an unconverted command"]
