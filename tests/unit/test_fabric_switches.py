"""What every switch does, whatever it runs: each client against its twin, over SSH on loopback."""

import pytest

from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Neighbour
from remote.errors import RackformError
from tests.unit.switch_cases import Case, declared
from tests.unit.switch_twin import Twin


def test_a_switch_is_converged_saved_and_read_back(twin: Twin, case: Case) -> None:
    wanted = declared(case)
    with open_switch(case.system, twin.connection) as switch:
        lines = switch.look(wanted).pending
        assert switch.apply(wanted, 60).changed == lines
        assert switch.look(wanted).pending == []
        assert switch.apply(wanted, 60).changed == []
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
        assert switch.look(declared(case)).pending == []
    assert not twin.switch.waits()


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
        switch.look(wanted)


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
