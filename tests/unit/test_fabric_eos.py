"""The client against the daemon over SSH on loopback, and the daemon's sessions through netmiko."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import fabric.eos
from fabric.eos import Eos
from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Neighbour
from lab.switch_cli.core import CliError
from lab.switch_cli.lldp import frame, parse
from remote.errors import RackformError, Unreachable
from tests.unit.switch_twin import Twin, running_twin, write_keys

JUMBO = DesiredSwitch(
    ports={
        "Ethernet1": DesiredPort(mtu_bytes=9000, description="head.fab0", enabled=True),
        "Ethernet2": DesiredPort(mtu_bytes=9000),
    },
    lldp=True,
)
JUMBO_LINES = [
    "interface Ethernet1",
    "  - mtu 1500",
    "  + mtu 9000",
    "  + description head.fab0",
    "interface Ethernet2",
    "  - mtu 1500",
    "  + mtu 9000",
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with running_twin(tmp_path_factory.mktemp("switch")) as twin:
        yield twin


def test_an_undeclared_field_is_neither_reported_nor_touched(twin: Twin) -> None:
    twin.ports.set_mtu("Ethernet3", 4200)
    twin.ports.set_description("Ethernet2", "by hand")
    with open_switch("eos", twin.connection) as switch:
        assert switch.look(JUMBO).pending == JUMBO_LINES
        assert switch.apply(JUMBO, 60).changed == JUMBO_LINES
        state = switch.read()
    assert state.ports["Ethernet1"].model_dump() == {
        "mtu_bytes": 9000,
        "description": "head.fab0",
        "enabled": True,
        "connected": True,
    }
    assert state.ports["Ethernet2"].mtu_bytes == 9000
    assert twin.ports.links["Ethernet3"].mtu_bytes == 4200


def test_a_second_apply_has_nothing_to_do_and_the_change_survives_a_cold_start(twin: Twin) -> None:
    with open_switch("eos", twin.connection) as switch:
        switch.apply(JUMBO, 60)
        assert switch.look(JUMBO).pending == []
        assert switch.apply(JUMBO, 60).changed == []
    twin.ports.links.clear()
    twin.ports.__post_init__()
    twin.restart(world="boot/2")
    assert twin.ports.links["Ethernet1"].mtu_bytes == 9000
    with open_switch("eos", twin.connection) as switch:
        assert switch.look(JUMBO).pending == []


def test_drift_that_somebody_made_by_hand_on_the_port_is_named_exactly_and_repaired(
    twin: Twin,
) -> None:
    with open_switch("eos", twin.connection) as switch:
        switch.apply(JUMBO, 60)
        twin.ports.set_mtu("Ethernet2", 1500)
        drift = ["interface Ethernet2", "  - mtu 1500", "  + mtu 9000"]
        assert switch.look(JUMBO).pending == drift
        assert switch.apply(JUMBO, 60).changed == drift
    assert twin.ports.links["Ethernet2"].mtu_bytes == 9000


def test_a_configuration_that_runs_but_was_not_saved_is_told_and_saved(twin: Twin) -> None:
    desired = DesiredSwitch(ports={"Ethernet1": DesiredPort(mtu_bytes=9000)})
    with open_switch("eos", twin.connection) as switch:
        switch.apply(desired, 60)
        twin.switch.store.save_startup("hostname tor1\n")
        assert switch.look(desired).pending == ["startup-config", "  + write memory"]
        switch.apply(desired, 60)
        assert switch.look(desired).pending == []


def test_what_the_switch_refuses_is_told_in_a_sentence_and_nothing_is_left_behind(
    twin: Twin,
) -> None:
    too_big = DesiredSwitch(
        ports={
            "Ethernet1": DesiredPort(mtu_bytes=9000),
            "Ethernet2": DesiredPort(mtu_bytes=9300),
        }
    )
    with (
        open_switch("eos", twin.connection) as switch,
        pytest.raises(RackformError, match=r"refuses 'mtu 9300' \(Invalid input"),
    ):
        switch.apply(too_big, 60)
    assert twin.switch.sessions == {}
    assert twin.ports.links["Ethernet1"].mtu_bytes == 1500


def test_a_kernel_that_refuses_a_commit_leaves_every_port_as_it_was(twin: Twin) -> None:
    twin.ports.refused = 9000
    desired = DesiredSwitch(
        ports={
            "Ethernet1": DesiredPort(mtu_bytes=4200),
            "Ethernet2": DesiredPort(mtu_bytes=9000),
        }
    )
    with (
        open_switch("eos", twin.connection) as switch,
        pytest.raises(RackformError, match="refuses 'commit timer 00:01:00'"),
    ):
        switch.apply(desired, 60)
    assert {link.mtu_bytes for link in twin.ports.links.values()} == {1500}
    assert twin.switch.pending is None


def test_a_port_that_the_switch_lacks_is_named_with_those_it_has(twin: Twin) -> None:
    desired = DesiredSwitch(ports={"Ethernet7": DesiredPort(mtu_bytes=9000)})
    with (
        open_switch("eos", twin.connection) as switch,
        pytest.raises(RackformError, match=r"has no port Ethernet7 \(it has Ethernet1, "),
    ):
        switch.look(desired)


def test_a_change_that_cuts_the_switch_off_goes_back_by_itself(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_switch("eos", twin.connection) as switch:

        def cut_off(*_: object) -> None:
            raise Unreachable("no route to host")

        monkeypatch.setattr(fabric.eos, "_connect", cut_off)
        with pytest.raises(Unreachable, match="goes back to its former configuration within 60 s"):
            switch.apply(JUMBO, 60)
    assert twin.ports.links["Ethernet1"].mtu_bytes == 9000
    twin.clock.now += 61
    assert twin.switch.expire()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 1500
    assert twin.ports.links["Ethernet1"].alias == ""


def test_a_connection_that_breaks_in_the_very_commit_does_not_lose_the_change(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    do = Eos._do

    def breaks(self: Eos, command: str) -> None:
        do(self, command)
        if command.startswith("commit timer"):
            self.close()
            raise Unreachable("connection reset")

    monkeypatch.setattr(Eos, "_do", breaks)
    with open_switch("eos", twin.connection) as switch:
        assert switch.apply(JUMBO, 60).changed == JUMBO_LINES
        assert switch.look(JUMBO).pending == []
    assert twin.switch.pending is None


def test_a_commit_timer_runs_on_over_a_restart_of_the_daemon(twin: Twin) -> None:
    with Eos(twin.connection) as switch:
        switch._commit("rackform-0", ["interface Ethernet1", "mtu 9000"], 60)
    twin.restart()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 9000
    twin.clock.now += 59
    assert not twin.switch.expire()
    twin.clock.now += 2
    assert twin.switch.expire()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 1500


def test_leftovers_of_a_run_that_was_cut_off_are_aborted_and_undone(twin: Twin) -> None:
    with Eos(twin.connection) as cut_off:
        cut_off._do("configure session rackform-1")
        cut_off._do("interface Ethernet3")
        cut_off._do("mtu 2000")
        cut_off._do("end")
        cut_off._commit("rackform-2", ["interface Ethernet3", "mtu 3000"], 60)
    assert twin.ports.links["Ethernet3"].mtu_bytes == 3000
    with open_switch("eos", twin.connection) as switch:
        switch.apply(JUMBO, 60)
    assert twin.ports.links["Ethernet3"].mtu_bytes == 1500
    assert [s for s in twin.switch.sessions if s in {"rackform-1", "rackform-2"}] == []
    assert twin.switch.pending is None


def test_somebody_else_s_commit_timer_is_respected(twin: Twin) -> None:
    with Eos(twin.connection) as colleague:
        colleague._commit("night-shift", ["interface Ethernet3", "mtu 3000"], 60)
    with (
        open_switch("eos", twin.connection) as switch,
        pytest.raises(RackformError, match="somebody to confirm the configuration session night-"),
    ):
        switch.apply(JUMBO, 60)
    assert twin.ports.links["Ethernet3"].mtu_bytes == 3000


def test_lldp_neighbours_are_read_and_lldp_can_be_turned_off(twin: Twin) -> None:
    told = parse(frame(bytes(6), "fab0", "head", "Debian", 120))
    assert told
    twin.table.heard("Ethernet1", told)
    off = DesiredSwitch(ports={}, lldp=False)
    with open_switch("eos", twin.connection) as switch:
        heard = switch.read().neighbours
        assert heard == {"Ethernet1": [Neighbour(system_name="head", port_id="fab0")]}
        assert switch.apply(off, 60).changed == ["- lldp run", "+ no lldp run"]
        assert switch.read().lldp is False


def test_another_host_key_than_the_pinned_one_is_never_accepted(twin: Twin, tmp_path: Path) -> None:
    stranger, _ = write_keys(tmp_path)
    impostor = twin.connection.model_copy(update={"host_key": stranger})
    with pytest.raises(Unreachable, match="shows another host key than the pinned one"):
        open_switch("eos", impostor)


@pytest.mark.parametrize("user", ["admin", "root"])
def test_a_key_that_is_not_authorized_is_refused(twin: Twin, tmp_path: Path, user: str) -> None:
    _, key_file = write_keys(tmp_path)
    if user == "root":
        key_file = twin.connection.private_key_file
    intruder = twin.connection.model_copy(update={"private_key_file": key_file, "user": user})
    with pytest.raises(Unreachable, match=f"refuses user {user}"):
        open_switch("eos", intruder)


def test_a_missing_private_key_is_named(twin: Twin, tmp_path: Path) -> None:
    gone = twin.connection.model_copy(update={"private_key_file": tmp_path / "gone"})
    with pytest.raises(RackformError, match=r"switch tor1: the private key .*/gone isn't there"):
        open_switch("eos", gone)


def test_a_switch_that_is_down_is_told_with_its_address(twin: Twin) -> None:
    nobody = twin.connection.model_copy(update={"port": 1})
    with pytest.raises(Unreachable, match=r"switch tor1 at 127.0.0.1:1 can't be reached"):
        open_switch("eos", nobody)


def test_an_unknown_network_os_is_refused(twin: Twin) -> None:
    with pytest.raises(RackformError, match="os = junos, but only eos, "):
        open_switch("junos", twin.connection)


@pytest.mark.parametrize("text", ["a\nshutdown", "what?", " padded", "tab\there", "ä"])
def test_a_description_that_a_cli_would_misread_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="description"):
        DesiredPort(description=text)


def test_a_cable_plugged_in_again_gets_the_port_s_configuration(twin: Twin) -> None:
    with open_switch("eos", twin.connection) as switch:
        switch.apply(JUMBO, 60)
    fresh = replace(
        twin.ports.links["Ethernet1"], mac="02:00:00:00:00:99", mtu_bytes=1500, alias=""
    )
    twin.ports.links["Ethernet1"] = fresh
    twin.switch.reconcile()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 9000
    assert twin.ports.links["Ethernet1"].alias == "head.fab0"
    twin.ports.links["Ethernet1"] = replace(fresh, mac="02:00:00:00:00:98")
    twin.restart()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 9000


def test_a_rollback_that_the_kernel_refuses_is_tried_again(twin: Twin) -> None:
    with Eos(twin.connection) as switch:
        switch._commit("rackform-3", ["interface Ethernet1", "mtu 9000"], 60)
    twin.stop()
    twin.ports.refused = 1500
    twin.clock.now += 61
    with pytest.raises(CliError):
        twin.switch.expire()
    twin.ports.refused = None
    assert twin.switch.expire()
    assert twin.ports.links["Ethernet1"].mtu_bytes == 1500
