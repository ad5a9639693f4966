"""What `./rackform down --preview` tells of real machines."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from cli import down
from pyinfra_deploys.client import HostWorker, Operation
from remote.connection import Connection
from remote.errors import RackformError, Unreachable
from tests.unit.sites import changed


class Worker(HostWorker):
    """One host has a record, one has none, the others can't be reached."""

    def plan(
        self,
        connection: Connection,
        deploys: Mapping[str, Mapping[str, JsonValue]],
        *,
        timeout_s: float = 120,
    ) -> list[Operation]:
        _ = timeout_s
        assert deploys == {
            "restore": {
                "management_address": connection.address,
                "registry": "192.168.20.11:5000",
            }
        }
        if connection.name == "n1":
            lines = ["/etc/nccl.conf: removed: it was not there", "left on the host: nothing"]
            return [Operation(deploy="restore", name="x", commands=lines)]
        if connection.name == "n2":
            return []
        raise Unreachable(f"{connection.name} can't be reached")


def test_each_machine_s_way_back_is_told_though_some_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = changed("homelab-4x2", "registry", {"port": 5000})
    reached = {
        name: Connection(
            name=name,
            address=node["address"],
            private_key_file=Path("/keys/id"),
            host_key="ssh-ed25519 AAAA",
        )
        for name, node in raw["nodes"].items()
    }
    monkeypatch.setattr(down, "read_stack", lambda _: raw)
    monkeypatch.setattr(down, "machines", lambda _: reached)
    monkeypatch.setattr(down, "HostWorker", Worker)
    with pytest.raises(RackformError, match=r"n3 can't be reached; n4 can't be reached"):
        down.foretell("homelab-4x2")
    assert capsys.readouterr().out == (
        "n1:\n"
        "    /etc/nccl.conf: removed: it was not there\n"
        "    left on the host: nothing\n"
        "n2:\n"
        "    no change by Rackform is recorded: it stays as it is\n"
    )


def test_a_twin_has_nothing_to_be_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    down.foretell("lab")
    assert "its machines go, with all that is on them" in capsys.readouterr().out
