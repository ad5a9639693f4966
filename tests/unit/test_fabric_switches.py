"""What every switch does, whatever it runs: each client against its twin, over SSH on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Neighbour, Roce
from remote.errors import RackformError, Unreachable
from tests.unit.switch_twin import PORTS, System, Twin, running_twin


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
    opened: tuple[str, ...]
    """What leaves a change of somebody else half done."""
    refusal: str
    largest: int

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
    opened=(
        "enable",
        "configure session night",
        "interface Ethernet3",
        "mtu 3000",
        "commit timer 00:10:00",
    ),
    refusal="somebody to confirm the configuration session night",
    largest=9214,
)
CUMULUS = Case(
    system="cumulus",
    heading="interface {}",
    mtu="link mtu {}",
    pfc="+ qos roce mode lossless",
    without_pfc=("nv unset qos roce",),
    unrelated=("nv set bridge domain br_default vlan 20", "nv config apply -y"),
    listed="bridge domain br_default vlan 20",
    opened=("nv set interface swp3 link mtu 3000", "nv config apply -y --confirm 10m -m night"),
    refusal="somebody to confirm revision 2 .night.",
    largest=9216,
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
    opened=(
        "enable",
        "configure terminal",
        "job 7 name night",
        'job 7 command 1 "interface ethernet 1/3 mtu 3000 force"',
        "job 7 schedule type once",
        "job 7 schedule once time 23:00:00 date 2030/01/01",
        "job 7 enable",
    ),
    refusal="has job 7 .night. of somebody else waiting to enter 'interface ethernet 1/3 mtu 3000",
    largest=9216,
)
SONIC = Case(
    system="sonic",
    heading="{}",
    mtu="mtu {}",
    pfc="  + pfc_enable 3",
    without_pfc=("sudo config interface pfc priority Ethernet0 3 off",),
    unrelated=("sudo config vlan add 20",),
    listed="VLAN|Vlan20: vlanid 20",
    opened=(
        "sudo config checkpoint before-night",
        "sudo systemd-run --unit=night --on-active=600 config rollback before-night",
    ),
    refusal="which somebody else scheduled as night.timer",
    largest=9216,
)
CASES = {case.system: case for case in (EOS, CUMULUS, ONYX, SONIC)}


@pytest.fixture(scope="module", params=list(CASES))
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twin]:
    with running_twin(tmp_path_factory.mktemp("switch"), request.param) as twin:
        yield twin


@pytest.fixture
def twin(daemon: Twin) -> Twin:
    daemon.renew()
    return daemon


@pytest.fixture
def case(twin: Twin) -> Case:
    return CASES[twin.settings.os]


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


def test_a_switch_is_converged_saved_and_read_back(twin: Twin, case: Case) -> None:
    wanted = declared(case)
    with open_switch(case.system, twin.connection) as switch:
        lines = switch.pending(wanted)
        assert switch.apply(wanted, 60) == lines
        assert switch.pending(wanted) == []
        assert switch.apply(wanted, 60) == []
        state = switch.read()
    first, second, third = case.ports
    assert state.ports[first].model_dump() == {
        "mtu_bytes": 9000,
        "description": "head.fab0",
        "enabled": True,
        "connected": True,
    }
    assert twin.ports.links[second].mtu_bytes == 9000
    assert twin.ports.links[third].alias == ""
    twin.ports.links.clear()
    twin.ports.__post_init__()
    twin.restart(world="boot/2")
    assert twin.ports.links[first].mtu_bytes == 9000


def test_a_wrong_mtu_on_one_port_is_named_exactly_and_repaired(twin: Twin, case: Case) -> None:
    wanted, second = declared(case), case.ports[1]
    with open_switch(case.system, twin.connection) as switch:
        switch.apply(wanted, 60)
        twin.ports.set_mtu(second, 1500)
        drift = [
            case.heading.format(second),
            f"  - {case.mtu.format(1500)}",
            f"  + {case.mtu.format(9000)}",
        ]
        assert switch.pending(wanted) == drift
        assert switch.apply(wanted, 60) == drift
    assert twin.ports.links[second].mtu_bytes == 9000


def test_missing_pfc_is_named_and_an_operator_s_unrelated_lines_are_left_and_listed(
    twin: Twin, case: Case
) -> None:
    wanted = declared(case)
    with open_switch(case.system, twin.connection) as switch:
        switch.apply(wanted, 60)
        refused = [line for line in twin.type(*case.without_pfc, *case.unrelated) if "rror" in line]
        assert refused == []
        assert [line for line in switch.pending(wanted) if "+" in line] == [case.pfc]
        assert case.listed in switch.left_alone(wanted)
        switch.apply(wanted, 60)
        assert switch.pending(wanted) == []
        assert case.listed in switch.left_alone(wanted)


def test_a_change_that_cuts_the_management_path_goes_back_by_itself(
    twin: Twin, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.ports[0]
    before = twin.ports.links[first].mtu_bytes
    with open_switch(case.system, twin.connection) as switch:

        def cut_off(_: object) -> None:
            raise Unreachable("no route to host")

        monkeypatch.setattr(type(switch), "_reconnect", cut_off)
        with pytest.raises(Unreachable, match="goes back to its former configuration within 60 s"):
            switch.apply(declared(case, 4200), 60)
    assert twin.ports.links[first].mtu_bytes == 4200
    twin.clock.now += 61
    assert twin.switch.expire()
    assert twin.ports.links[first].mtu_bytes == before
    monkeypatch.undo()
    with open_switch(case.system, twin.connection) as switch:
        switch.apply(declared(case), 60)
    assert twin.ports.links[first].mtu_bytes == 9000


def test_what_a_run_that_was_cut_off_has_left_is_undone_by_the_next(
    twin: Twin, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_switch(case.system, twin.connection) as switch:

        def killed(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(type(switch), "_reconnect", killed)
        with pytest.raises(KeyboardInterrupt):
            switch.apply(declared(case, 4200), 60)
    monkeypatch.undo()
    with open_switch(case.system, twin.connection) as switch:
        switch.apply(declared(case), 60)
        assert switch.pending(declared(case)) == []
    assert not twin.switch.waits()


def test_somebody_else_s_change_in_progress_is_respected(twin: Twin, case: Case) -> None:
    twin.type(*case.opened)
    with (
        open_switch(case.system, twin.connection) as switch,
        pytest.raises(RackformError, match=case.refusal),
    ):
        switch.apply(declared(case), 60)
    assert twin.ports.links[case.ports[0]].alias == ""


def test_a_value_that_the_switch_refuses_changes_nothing(twin: Twin, case: Case) -> None:
    before = dict(twin.ports.links)
    with (
        open_switch(case.system, twin.connection) as switch,
        pytest.raises(RackformError, match=r"switch tor1 refuses '.*' \("),
    ):
        switch.apply(declared(case, case.largest + 1), 60)
    assert twin.ports.links == before
    assert not twin.switch.waits()


def test_a_port_that_the_switch_lacks_is_named(twin: Twin, case: Case) -> None:
    wanted = DesiredSwitch(ports={"nowhere": DesiredPort(mtu_bytes=9000)})
    with (
        open_switch(case.system, twin.connection) as switch,
        pytest.raises(RackformError, match=rf"no port nowhere \(it has {case.ports[0]}, "),
    ):
        switch.pending(wanted)


def test_neighbours_are_heard_while_lldp_runs(twin: Twin, case: Case) -> None:
    twin.hear(case.ports[0], "head", "fab0")
    with open_switch(case.system, twin.connection) as switch:
        switch.apply(DesiredSwitch(ports={}, lldp=True), 60)
        heard = {case.ports[0]: [Neighbour(system_name="head", port_id="fab0")]}
        assert switch.read().neighbours == heard


def test_an_unknown_command_is_an_error(twin: Twin) -> None:
    assert twin.type("frobnicate the fabric")


@pytest.mark.parametrize("daemon", ["cumulus"], indirect=True)
def test_what_somebody_set_under_the_same_login_and_did_not_apply_is_not_applied_with_ours(
    twin: Twin, case: Case
) -> None:
    twin.login("admin", "vty98").run("nv set interface swp3 link mtu 3000")
    with (
        open_switch(case.system, twin.connection) as switch,
        pytest.raises(RackformError, match=r"didn.t apply .nv set interface swp3 link mtu 3000"),
    ):
        switch.apply(declared(case), 60)
    assert twin.ports.links["swp3"].mtu_bytes == 1500
