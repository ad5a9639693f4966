"""Configurations: rendered, parsed, compared, edited."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric import eos_text
from fabric.changes import Running
from fabric.protocol import DesiredPort, DesiredSwitch, Roce
from lab.eos_cli.editor import Draft, edit, load
from lab.eos_cli.engine import overlay
from lab.eos_cli.grammar import match
from lab.eos_cli.model import Config, Interface, diff, factory, render
from lab.eos_cli.show import running_config
from lab.switch_cli.core import CliError, Context
from lab.switch_cli.ports import Link

PORTS = ("Ethernet1", "Ethernet2", "Ethernet10")
CONTEXT = Context(ports=PORTS, max_mtu_bytes=9214)

mtus = st.integers(68, 9214)
descriptions = st.from_regex(r"(?:[!->@-~]([ ->@-~]{0,40}[!->@-~])?)?", fullmatch=True)
interfaces = st.builds(
    Interface,
    mtu_bytes=mtus | st.just(1500),
    l2_mtu_bytes=st.none() | mtus,
    description=descriptions,
    shutdown=st.booleans(),
    access_vlan=st.sampled_from([1, 20]),
    trust_dscp=st.booleans(),
    pfc_on=st.booleans(),
    pfc=st.frozensets(st.integers(0, 7), max_size=3),
    ecn=st.dictionaries(st.sampled_from([2, 3]), st.just((150, 1500)) | st.just((500, 1550))),
)
configs = st.builds(
    Config,
    hostname=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    # in the ports' own order, as a switch has them; fixed_dictionaries would shuffle it
    interfaces=st.tuples(*[interfaces] * len(PORTS)).map(
        lambda each: dict(zip(PORTS, each, strict=True))
    ),
    lldp=st.booleans(),
)
desired_ports = st.builds(
    DesiredPort,
    mtu_bytes=st.none() | mtus,
    description=st.none() | descriptions,
    enabled=st.none() | st.booleans(),
    roce=st.none() | st.builds(Roce, mode=st.sampled_from(["lossless", "lossy"])),
)
desireds = st.builds(
    DesiredSwitch,
    ports=st.dictionaries(st.sampled_from(PORTS), desired_ports),
    lldp=st.none() | st.booleans(),
)


def patched(lines: list[str], patch: list[str]) -> list[str]:
    """Apply a unified diff, as patch(1) does, with every context line checked."""
    result: list[str] = []
    position = 0
    for line in patch[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1].lstrip("-").partition(",")
            begin = int(start) - 1 if count != "0" else int(start)
            result += lines[position:begin]
            position = begin
            continue
        if line[0] in " -":
            assert lines[position] == line[1:]
            position += 1
        if line[0] in " +":
            result.append(line[1:])
    return result + lines[position:]


@settings(max_examples=30)
@given(configs)
def test_what_is_rendered_is_parsed_to_the_same_configuration(config: Config) -> None:
    assert load("\n".join(render(config)), "other", CONTEXT) == config
    assert load("\n".join(running_config(config)), "other", CONTEXT) == config


@settings(max_examples=30)
@given(configs, configs)
def test_the_diff_applied_to_the_running_configuration_gives_the_candidate(
    running: Config, candidate: Config
) -> None:
    lines = diff(running, candidate, "x")
    assert patched(render(running), lines) == render(candidate)
    assert bool(lines) == (running != candidate)


@settings(max_examples=30)
@given(configs, desireds)
def test_the_client_s_lines_entered_on_the_switch_leave_no_difference_and_touch_nothing_else(
    config: Config, desired: DesiredSwitch
) -> None:
    def state(of: Config) -> Running:
        return eos_text.running("\n".join(running_config(of)))

    draft = Draft(config)
    due = eos_text.differences(state(config), desired)
    for line in eos_text.commands(due):
        if line == "exit":
            draft = Draft(draft.config)
            continue
        edited = edit(draft, match(line, draft.level, CONTEXT))
        assert edited is not None
        draft = edited
    assert eos_text.differences(state(draft.config), desired) == []
    for port in PORTS:
        wanted = desired.ports.get(port, DesiredPort())
        before, after = config.interfaces[port], draft.config.interfaces[port]
        assert after.l2_mtu_bytes == before.l2_mtu_bytes
        if wanted.mtu_bytes is None:
            assert after.mtu_bytes == before.mtu_bytes
        if wanted.description is None:
            assert after.description == before.description
        assert after.access_vlan == before.access_vlan
        assert after.pfc - {3} == before.pfc - {3}
        assert after.ecn.get(2) == before.ecn.get(2)
        if wanted.enabled is None:
            assert after.shutdown == before.shutdown
    if desired.lldp is None:
        assert draft.config.lldp == config.lldp
    assert bool(due) == (draft.config != config)


@given(interfaces, mtus, st.booleans())
def test_what_the_kernel_says_wins_over_what_was_configured(
    declared: Interface,
    mtu: int,
    enabled: bool,  # noqa: FBT001 - hypothesis gives it by position
) -> None:
    running = overlay(declared, Link(1, mtu, enabled=enabled, carrier=enabled, mac=""))
    assert running.port_mtu_bytes == mtu
    assert running.shutdown is not enabled
    if mtu == declared.port_mtu_bytes:
        assert replace(running, shutdown=declared.shutdown) == declared


def test_the_first_bad_line_of_a_configuration_is_named() -> None:
    with pytest.raises(
        CliError, match=r"% Invalid input \(at token 0: 'spanning-tree'\) at line 2"
    ):
        load("hostname x\nspanning-tree mode mstp\n", "x", CONTEXT)


def test_an_untouched_switch_renders_as_its_names_alone() -> None:
    assert render(factory("tor1", ["Ethernet1"])) == [
        "hostname tor1",
        "!",
        "interface Ethernet1",
        "!",
        "end",
    ]
