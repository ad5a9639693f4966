"""Generations: read from the engine's history, compared, and gone back to."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import gc, generations, history, rollback
from cli.pulumi import Pulumi
from images import builder
from stack.changes import Edit, changes, edits
from stack.errors import InputError

SECRET = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "v1",
}


def entry(number: int, site: object, result: str = "succeeded", kind: str = "update") -> Any:
    return {
        "version": 0,
        "kind": kind,
        "result": result,
        "startTime": f"2026-01-0{number}T10:00:00.000Z",
        "endTime": f"2026-01-0{number}T10:05:00.000Z",
        "message": f"change {number}",
        "environment": {"git.head": f"{number}" * 40, "git.dirty": "true" if number == 2 else ""},
        "config": {"rackform:site": {"value": json.dumps(site), "objectValue": site}},
        "resourceChanges": {"same": 5, "update": number},
    }


def resource(kind: str, name: str, inputs: object, outputs: object = None) -> dict[str, object]:
    urn = f"urn:pulumi:lab::rackform::rackform:index:{kind}::{name}"
    return {
        "urn": urn,
        "type": f"rackform:index:{kind}",
        "inputs": inputs,
        "outputs": outputs or {},
    }


def state(mtu: int, caddy: str, key: str) -> list[dict[str, object]]:
    return [
        {
            "urn": "urn:pulumi:lab::rackform::pulumi:pulumi:Stack::rackform-lab",
            "type": "pulumi:pulumi:Stack",
            "outputs": {"closure": f"sha256:{key}", "api_keys": SECRET},
        },
        resource(
            "OciImage",
            "edge-build",
            {
                "image": "edge", "variant": "default", "lock_sha256": key,
                "packages": {"debian/caddy": caddy, "debian/libc6": "2.36"},
            },
            {"digest": f"sha256:{key}", "size_bytes": 40_000_000 + mtu, "input_hash": key},
        ),
        resource(
            "HostState", "w1-host", {"deploys": {"fabric_link": {"mtu_bytes": mtu}, "a": SECRET}}
        ),
        resource(
            "SwitchConfig",
            "tor1-config",
            {"ports": {"Ethernet1": {"mtu_bytes": mtu, "description": "w1.fab0", "enabled": True}}},
        ),
    ]  # fmt: skip


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a file backend with two finished updates and one that failed between them."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("RACKFORM_STORE", str(tmp_path / "store"))
    folder = tmp_path / ".pulumi" / "history" / "rackform" / "lab"
    folder.mkdir(parents=True)
    entries = [
        entry(1, {"fabric": {"mtu_bytes": 9000}}),
        entry(2, {"fabric": {"mtu_bytes": 1}}, result="failed"),
        entry(3, {"fabric": {"mtu_bytes": 4200}}),
    ]
    states = [state(9000, "2.6.2-5", "a" * 64), [], state(4200, "2.6.3-1", "b" * 64)]
    for number, (update, resources) in enumerate(zip(entries, states, strict=True)):
        stem = f"lab-100{number}"
        (folder / f"{stem}.history.json").write_text(json.dumps(update | {"endTime": number}))
        (folder / f"{stem}.history.json.attrs").write_text("")
        checkpoint = {"checkpoint": {"latest": {"resources": resources}}}
        (folder / f"{stem}.checkpoint.json").write_text(json.dumps(checkpoint))
        (folder / f"{stem}.checkpoint.json.attrs").write_text("")
    monkeypatch.setattr(Pulumi, "history", lambda _: list(reversed(entries)))
    return tmp_path / ".pulumi"


def test_every_finished_up_is_a_generation_and_no_other(backend: Path) -> None:
    assert backend.exists()
    first, second = history.generations("lab")
    assert (first.number, first.commit, first.changed) == (1, "1" * 40, 1)
    assert (second.number, second.message) == (2, "change 3")
    assert second.site == {"fabric": {"mtu_bytes": 4200}}
    assert [each.closure for each in generations.listed("lab")] == [
        f"sha256:{'a' * 64}", f"sha256:{'b' * 64}",
    ]  # fmt: skip


def test_two_generations_differ_in_packages_settings_and_switch_lines(backend: Path) -> None:
    assert backend.exists()
    found = generations.difference("lab", 1, 2)
    assert found.images["edge/default"].packages == ["debian/caddy: 2.6.2-5 → 2.6.3-1, +0 B"]
    assert found.images["edge/default"].size_bytes == -4800
    assert found.nodes == {"w1": ["fabric_link.mtu_bytes: 9000 → 4200"]}
    assert found.switches == {"tor1": ["interface Ethernet1", "  - mtu 9000", "  + mtu 4200"]}
    assert found.site == ["fabric.mtu_bytes: 9000 → 4200"]
    told = list(generations.lines(found))
    assert told[1].startswith("image edge/default  aaaaaaaaaaaa → bbbbbbbbbbbb  -4.8 kB")
    assert generations.difference("lab", 2, 2).nodes == {}


def test_the_vlan_of_a_switch_differs_between_generations() -> None:
    ports = {"Ethernet1": {"mtu_bytes": 9000, "description": "w1.fab0", "enabled": True}}
    one, other, none = (
        [history.Resource.model_validate(resource("SwitchConfig", "tor1-config", inputs))]
        for inputs in ({"ports": ports, "vlan": 20}, {"ports": ports, "vlan": 78}, {"ports": ports})
    )
    moved = [
        "interface Ethernet1",
        "  - switchport access vlan 20",
        "  + switchport access vlan 78",
    ]
    assert dict(generations._switches(one, other)) == {"tor1": ["+ vlan 78", *moved]}
    assert dict(generations._switches(other, other)) == {}
    assert dict(generations._switches(one, none)) == {}


def test_a_secret_is_never_told(backend: Path) -> None:
    assert backend.exists()
    found = history.resources("lab", history.generation("lab", 1))
    assert history.outputs(found)["api_keys"] == "(secret)"
    assert "v1" not in str(found)


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_generation_that_never_was_is_refused(backend: Path, number: int) -> None:
    assert backend.exists()
    with pytest.raises(InputError, match=rf"{number} is no generation.*there are 1 to 2"):
        history.generation("lab", number)


def test_a_rollback_pins_only_images_that_are_declared_otherwise_now(
    backend: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.exists()
    chosen = history.generation("lab", 1)
    monkeypatch.setattr(rollback, "_declared", lambda *_: "a" * 64)
    assert rollback.pins_of("lab", chosen) == {}
    monkeypatch.setattr(rollback, "_declared", lambda *_: "c" * 64)
    monkeypatch.setattr(builder, "expected", lambda *_: None)
    monkeypatch.setattr(builder, "check", lambda *_: [])
    assert rollback.pins_of("lab", chosen) == {"edge/default": "a" * 64}


def test_only_the_last_generations_states_are_kept(backend: Path) -> None:
    assert [p.name for p in history.past_checkpoints(backend, "lab", 1)] == [
        "lab-1002.checkpoint.json"
    ]
    assert len(history.past_checkpoints(backend, "lab", 9)) == 2
    assert history.past_checkpoints(backend, "lab", 0) == []


def test_what_a_generation_runs_is_needed(backend: Path) -> None:
    needed = builder.Needed()
    for file in history.past_checkpoints(backend, "lab", 1):
        gc._add(needed, history.read_checkpoint(file))
    assert needed.images == {"b" * 64}
    assert needed.digests == {f"sha256:{'b' * 64}"}


def test_edits_are_paths_that_pulumi_takes() -> None:
    old: Any = {"a": {"b": 1, "c": [1, 2]}, "ports": {"Ethernet1/1": "w1.x"}}
    new: Any = {"a": {"b": 2, "c": [2, 3]}, "ports": {}}
    found = list(edits(old, new))
    assert [edit.notation for edit in found] == ["a.b", "a.c", 'ports["Ethernet1/1"]']
    assert changes(old, new) == [
        "a.b: 1 → 2", "a.c: - 1", "a.c: + 3", 'ports["Ethernet1/1"]: w1.x → nothing',
    ]  # fmt: skip
    assert Edit(("x",), [1, 2], [2, 1]).lines() == ["x: another order"]


def test_a_whole_section_is_set_leaf_by_leaf() -> None:
    edit = Edit(("edge",), None, {"port": 443, "host_names": ["a.b"]})
    assert rollback._leaves(edit) == [
        ('rackform:site.edge["port"]', 443), ('rackform:site.edge["host_names"][0]', "a.b"),
    ]  # fmt: skip
    assert rollback._leaves(Edit(("edge",), {}, None)) == []
