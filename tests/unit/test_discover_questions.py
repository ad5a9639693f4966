"""What discovery asks a person: only what no machine tells, and until it can use the answer."""

from collections.abc import Callable, Iterator

import pytest

from cli.discover_questions import completed
from discover.model import Machine
from discover.wishes import CableWish, CircuitWish, SwitchWish
from tests.unit.test_discover_parsers import a_machine
from tests.unit.test_discover_stack import second, wishes

Answering = Callable[..., list[str]]
TOR = SwitchWish("tor1", "sonic", "192.168.20.5")


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Put a person at a terminal who gives these answers; what was asked is in the list."""
    asked: list[str] = []

    def sit(*answers: str) -> list[str]:
        given: Iterator[str] = iter(answers)

        def prompt(question: str, *, default: str, **_: object) -> str:
            asked.append(question)
            return next(given) or default

        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("typer.prompt", prompt)
        return asked

    return sit


def two() -> list[Machine]:
    return [a_machine(), second()]


def test_nobody_at_the_terminal_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: pytest.fail("somebody was asked"))
    asked_for = wishes(switches=[TOR])
    assert completed(two(), asked_for) == asked_for


def test_a_person_who_only_agrees_gets_what_would_be_assumed(answering: Answering) -> None:
    asked = answering("", "")
    found = completed(two(), wishes())
    assert found.head == "gpu1"
    assert found.circuits == []
    assert [question.split()[0] for question in asked] == ["Which", "Power"]


def test_an_answer_that_can_not_be_used_is_asked_for_again(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering("gpu9", "gpu2", "16 amps", "a=230x16:gpu1", "b=230x16:gpu2", "")
    found = completed(two(), wishes())
    assert found.head == "gpu2"
    assert found.circuits == [
        CircuitWish("a", 230, 16, ["gpu1"]), CircuitWish("b", 230, 16, ["gpu2"]),
    ]  # fmt: skip
    told = " ".join(capsys.readouterr().err.split())
    assert "gpu9 is none of the machines" in told
    assert "--circuit 16 amps: write NAME=VOLTSxAMPS" in told


def test_a_circuit_that_feeds_all_is_the_last(answering: Answering) -> None:
    asked = answering("a=230x16")
    found = completed([a_machine()], wishes())
    assert found.circuits == [CircuitWish("a", 230, 16)]
    assert len(asked) == 1


def test_ports_are_asked_for_only_where_lldp_tells_none(answering: Answering) -> None:
    answering("", "Ethernet4", "", "")
    found = completed(two(), wishes(switches=[TOR]))
    assert found.cables == [CableWish("tor1", "Ethernet4", "gpu1")]
    given = [CableWish("tor1", "Ethernet0", "gpu1")]
    answering("", "")
    assert completed(two(), wishes(switches=[TOR], cables=given)).cables == given
