"""What `discover` learns of a switch by asking it, each network OS against its twin."""

from dataclasses import replace

import pytest

import cli.discover as work
from discover.switches import proposed
from discover.wishes import SwitchWish
from fabric.membership import apart
from fabric.protocol import Membership
from tests.unit.switch_cases import Case
from tests.unit.switch_twin import Twin


def asked(twin: Twin, case: Case, monkeypatch: pytest.MonkeyPatch) -> SwitchWish:
    connection = twin.connection
    monkeypatch.setattr(work, "SSH_PORT", connection.port)
    wish = SwitchWish("tor1", case.system, connection.address, connection.user)
    return work._asked(wish, connection.private_key_file, connection.host_key)


def test_ports_that_a_fresh_switch_leaves_alone_are_seen_to_be_apart(
    twin: Twin, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(twin.ports.links)
    found = asked(twin, case, monkeypatch)
    assert found.seen
    away = apart(found.seen.membership, found.seen.vlans, case.ports)
    assert away == ([] if case.alone == 1 else list(case.ports))
    assert proposed(found.seen, case.ports) == 78
    assert found.seen.membership[case.ports[0]] == Membership(vlan=case.alone)
    assert twin.ports.links == before


def test_a_switch_that_refuses_the_login_is_said_to_have_told_nothing(
    twin: Twin, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(twin, connection=twin.connection.model_copy(update={"user": "nobody"}))
    (twin.folder / "authorized_keys").rename(twin.folder / "kept")
    (twin.folder / "authorized_keys").write_text("")
    try:
        found = asked(wrong, case, monkeypatch)
    finally:
        (twin.folder / "kept").replace(twin.folder / "authorized_keys")
    assert found.seen is None
    assert found.unseen.startswith("switch tor1 ")
