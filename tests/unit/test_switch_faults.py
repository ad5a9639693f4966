"""What goes wrong with a switch: preview, up and verify of its resource, for each network OS.

Each runs against its twin's command line over SSH on loopback.
"""

from collections import Counter

import pytest

from fabric.open import open_switch
from fabric.trial import TrialSwitch
from remote.errors import RackformError, Unreachable
from tests.unit.switch_cases import Case, declared
from tests.unit.switch_stack import Stack, stack_of
from tests.unit.switch_twin import Twin


@pytest.fixture
def stack(twin: Twin, case: Case) -> Stack:
    first, second, _ = case.ports
    return stack_of(twin.connection, case.system, {first: "head.fab0", second: "w1.fab0"})


def counted(monkeypatch: pytest.MonkeyPatch, kind: type) -> Counter[str]:
    """Return how often a kind of switch reads its configurations, and is asked each command."""
    asked: Counter[str] = Counter()

    def count(name: str, *, by_words: bool) -> None:
        method = getattr(kind, name)

        def counting(switch: TrialSwitch, *given: object, **options: object) -> object:
            asked[" ".join(map(str, given)) if by_words else name] += 1
            return method(switch, *given, **options)

        monkeypatch.setattr(kind, name, counting)

    count("_running", by_words=False)
    count("_startup", by_words=False)
    count("_ask" if hasattr(kind, "_ask") else "_run", by_words=True)
    return asked


def indented(*lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines)


def test_a_switch_is_read_once_by_a_preview_and_before_and_after_a_change(
    twin: Twin, case: Case, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_switch(case.system, twin.connection) as switch:
        kind = type(switch)
    asked = counted(monkeypatch, kind)

    def read() -> tuple[int, int]:
        running, startup = asked.pop("_running"), asked.pop("_startup")
        asked.clear()
        return running, startup

    assert "would configure" in stack.preview()
    assert {command: times for command, times in asked.items() if times > 1} == {}
    assert read() == (1, 1)
    assert "configured" in stack.up()
    assert read() == (2, 1)
    assert stack.verify() == []
    assert {command: times for command, times in asked.items() if times > 1} == {}
    assert read() == (1, 1)
    assert stack.up() == ""
    assert read() == (1, 1)


def test_a_wrong_mtu_on_one_port_is_named_exactly_and_repaired(
    twin: Twin, case: Case, stack: Stack
) -> None:
    second = case.ports[1]
    stack.up()
    twin.ports.set_mtu(second, 1500)
    drift = [
        case.heading.format(second),
        f"  - {case.mtu.format(1500)}",
        f"  + {case.mtu.format(9000)}",
    ]
    assert stack.verify() == drift
    assert f"would configure on tor1:\n{indented(*drift)}" in stack.preview()
    assert f"configured:\n{indented(*drift)}" in stack.up()
    assert twin.ports.links[second].mtu_bytes == 9000
    assert stack.verify() == []


def test_missing_pfc_is_named_and_an_operator_s_unrelated_lines_are_left_and_listed(
    twin: Twin, case: Case, stack: Stack
) -> None:
    stack.up()
    printed = twin.type(*case.without_pfc, *case.unrelated) + twin.type(*case.save)
    assert [line for line in printed if "rror" in line or line.startswith("%")] == []
    assert [line for line in stack.verify() if "+" in line] == [case.pfc]
    would, _, left = stack.preview().partition("left as it is on tor1:\n")
    assert case.pfc in would
    assert f"    {case.listed}" in left.splitlines()
    assert case.pfc in stack.up()
    assert stack.verify() == []
    with open_switch(case.system, twin.connection) as switch:
        assert case.listed in switch.look(declared(case)).left_alone


def test_lines_that_somebody_did_not_save_are_named_and_not_saved_with_ours(
    twin: Twin, case: Case, stack: Stack
) -> None:
    stack.up()
    twin.type(*case.without_pfc, *case.unrelated)
    named = f"+ {case.listed}"
    warned, _, _ = stack.preview().partition("\nwould configure")
    assert "warning: switch tor1 runs lines that somebody entered and didn't save (+ " in warned
    assert named in warned
    assert named in stack.up()
    twin.ports.set_mtu(case.ports[0], 1500)
    assert named in stack.up()
    assert case.kept not in (twin.switch.store.startup() or "")
    assert twin.ports.links[case.ports[0]].mtu_bytes == 9000
    with open_switch(case.system, twin.connection) as switch:
        assert case.listed in switch.look(declared(case)).left_alone
    twin.type(*case.save)
    assert stack.verify() == []


def test_two_swapped_cables_are_named_with_both_ports(twin: Twin, case: Case, stack: Stack) -> None:
    first, second, _ = case.ports
    stack.up()
    assert stack.preview() == ""
    twin.hear(first, "w1", "fab0")
    twin.hear(second, "head", "fab0")
    swapped = (
        f"warning: the cables in tor1's {first} and {second} are swapped: LLDP hears w1.fab0 on "
        f"{first} and head.fab0 on {second}: swap the cables, or the two lines in "
        "switches.tor1.ports"
    )
    assert stack.preview() == swapped
    assert stack.up() == swapped
    for port, name in ((first, "head"), (second, "w1")):
        twin.table.clear(port)
        twin.hear(port, name, "fab0")
    assert stack.preview() == ""


def test_a_change_that_cuts_the_management_path_goes_back_by_itself(
    twin: Twin, case: Case, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.up()
    first = case.ports[0]
    twin.ports.set_mtu(first, 4200)
    with open_switch(case.system, twin.connection) as switch:
        kind = type(switch)

    def cut_off(_: TrialSwitch) -> None:
        raise Unreachable("no route to host")

    monkeypatch.setattr(kind, "_reconnect", cut_off)
    with pytest.raises(Unreachable, match="goes back to its former configuration within 60 s"):
        stack.up()
    monkeypatch.undo()
    assert twin.ports.links[first].mtu_bytes == 9000
    twin.clock.now += 61
    assert twin.switch.expire()
    assert twin.ports.links[first].mtu_bytes == 4200
    assert f"  - {case.mtu.format(4200)}" in stack.verify()
    stack.up()
    assert twin.ports.links[first].mtu_bytes == 9000
    assert stack.verify() == []


def test_somebody_else_s_change_on_trial_is_named_and_respected(
    twin: Twin, case: Case, stack: Stack
) -> None:
    stack.up()
    twin.type(*case.opened)
    twin.ports.set_mtu(case.ports[0], 1500)
    warned, _, _ = stack.preview().partition("\nwould configure")
    assert warned.startswith("warning: switch tor1 ")
    assert case.refusal in warned
    assert "didn't save" not in warned
    with pytest.raises(RackformError) as refused:
        stack.up()
    assert case.refusal in str(refused.value)
    assert twin.ports.links[case.ports[0]].mtu_bytes == 1500
    assert twin.switch.waits()
    twin.type(*case.ended)
    stack.up()
    assert twin.ports.links[case.ports[0]].mtu_bytes == 9000


def test_a_session_that_somebody_else_left_open_is_named_and_left(
    twin: Twin, case: Case, stack: Stack
) -> None:
    stack.up()
    colleague = twin.login("colleague", "vty99", "10.77.0.9")
    for line in case.session:
        colleague.run(line)
    twin.clock.now += 300
    twin.ports.set_mtu(case.ports[0], 1500)
    assert case.told in stack.preview()
    if case.system == "sonic":
        with pytest.raises(RackformError, match="answer or end that command there"):
            stack.up()
        assert twin.ports.links["Ethernet0"].mtu_bytes == 1500
        assert colleague.run("n") == ["Aborted!", "Released lock on /etc/sonic/reload.lock"]
        assert "locked" not in stack.up()
    else:
        assert case.told in stack.up()
    assert twin.ports.links[case.ports[0]].mtu_bytes == 9000
    assert twin.ports.links[case.ports[2]].mtu_bytes != 3000
    assert [line for line in stack.verify() if "mtu" in line] == []


@pytest.fixture
def joined(twin: Twin, case: Case) -> Stack:
    """The same with its ports in one VLAN."""
    first, second, _ = case.ports
    ends = {first: "head.fab0", second: "w1.fab0"}
    return stack_of(twin.connection, case.system, ends, vlan=78)


def test_a_port_in_the_wrong_vlan_is_named_exactly_and_put_back(
    twin: Twin, case: Case, joined: Stack
) -> None:
    first, second, third = case.ports
    assert f"    + {case.vlan.format(78)}" in joined.preview().splitlines()
    joined.up()
    assert joined.preview() == ""
    assert {port: twin.ports.links[port].vlan for port in case.ports} == {
        first: 78,
        second: 78,
        third: 1,
    }
    printed = twin.type(*case.moved) + twin.type(*case.save)
    assert [line for line in printed if "rror" in line or line.startswith("%")] == []
    assert twin.ports.links[second].vlan == 20
    drift = [
        case.heading.format(second),
        f"  - {case.member.format(20)}",
        f"  + {case.member.format(78)}",
    ]
    assert joined.verify() == drift
    assert f"would configure on tor1:\n{indented(*drift)}" in joined.preview()
    assert f"configured:\n{indented(*drift)}" in joined.up()
    assert joined.verify() == []
    twin.ports.links.clear()
    twin.ports.__post_init__()
    twin.restart(world="boot/2")
    assert [twin.ports.links[port].vlan for port in case.ports] == [78, 78, 1]


def test_a_port_that_carries_something_else_is_refused_before_anything_changes(
    twin: Twin, case: Case, joined: Stack
) -> None:
    before = dict(twin.ports.links)
    printed = twin.type(*case.occupied)
    assert [line for line in printed if "rror" in line or line.startswith("%")] == []
    assert f"warning: switches.tor1.vlan = 78, but {case.obstacle}" in joined.preview()
    with pytest.raises(RackformError) as refused:
        joined.up()
    assert case.obstacle in str(refused.value)
    assert twin.ports.links == before
    assert not twin.switch.waits()
    twin.type(*case.freed)
    joined.up()
    assert twin.ports.links[case.ports[0]].vlan == 78
    assert [line for line in joined.verify() if case.member.format(78) in line] == []


def test_a_vlan_that_cuts_the_management_path_goes_back_with_its_ports(
    twin: Twin, case: Case, stack: Stack, joined: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.up()
    with open_switch(case.system, twin.connection) as switch:
        kind, vlans = type(switch), switch.read().vlans

    def cut_off(_: TrialSwitch) -> None:
        raise Unreachable("no route to host")

    monkeypatch.setattr(kind, "_reconnect", cut_off)
    with pytest.raises(Unreachable, match="goes back to its former configuration within 60 s"):
        joined.up()
    monkeypatch.undo()
    assert twin.ports.links[case.ports[0]].vlan == 78
    twin.clock.now += 61
    assert twin.switch.expire()
    assert twin.ports.links[case.ports[0]].vlan == 1
    with open_switch(case.system, twin.connection) as switch:
        assert switch.read().vlans == vlans
        assert switch.read().membership[case.ports[0]].vlan == case.alone
    assert stack.verify() == []


def test_ports_without_a_declared_vlan_stay_where_they_are(
    twin: Twin, case: Case, stack: Stack, joined: Stack
) -> None:
    joined.up()
    assert stack.preview() == ""
    assert stack.up() == ""
    assert twin.ports.links[case.ports[0]].vlan == 78
