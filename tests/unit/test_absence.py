import subprocess
from pathlib import Path

import pytest

from remote import absence, ssh
from remote.connection import Connection
from remote.errors import RackformError, Unreachable
from remote.together import ask_each


@pytest.fixture
def away(tmp_path: Path) -> Connection:
    """Return a machine where no sshd listens."""
    return Connection(
        name="w2",
        address="127.0.0.1",
        port=9,
        user="root",
        host_key="ssh-ed25519 AAAA",
        private_key_file=tmp_path / "key",
    )


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls = list[str]()
    run = subprocess.run

    def counted(argv: list[str], **more: object) -> object:
        calls.append(argv[0])
        return run(argv, **more)  # type: ignore[call-overload]  # as the caller gave them

    monkeypatch.setattr(subprocess, "run", counted)
    monkeypatch.setattr(absence, "_missed", {})
    return calls


def test_who_only_looks_dials_a_machine_that_is_away_once(
    away: Connection, dialled: list[str]
) -> None:
    with absence.looking():
        for _ in range(3):
            with pytest.raises(Unreachable, match="w2"):
                ssh.run(away, ["true"])
    assert dialled == ["ssh"]


def test_machines_that_are_asked_side_by_side_are_only_looked_at_too(
    away: Connection, dialled: list[str]
) -> None:
    def ask(connection: Connection) -> str:
        return ssh.run(connection, ["true"]).stdout

    with absence.looking():
        answers = ask_each(ask, [away] * 4)
    assert [type(answer) for answer in answers] == [Unreachable] * 4
    assert dialled == ["ssh"]


def test_who_changes_something_dials_again(away: Connection, dialled: list[str]) -> None:
    with absence.looking(), pytest.raises(RackformError):
        ssh.run(away, ["true"])
    with pytest.raises(Unreachable):
        ssh.run(away, ["true"])
    assert dialled == ["ssh", "ssh"]


def test_after_a_while_who_looks_dials_again(
    away: Connection, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absence, "REMEMBERED_S", -1)
    with absence.looking():
        for _ in range(2):
            with pytest.raises(Unreachable):
                ssh.run(away, ["true"])
    assert dialled == ["ssh", "ssh"]
