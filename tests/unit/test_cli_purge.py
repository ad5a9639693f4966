"""Data of a service goes only when nobody declares or runs it, and somebody says so."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import purge
from cli.purge import Kept
from remote import host_folders
from remote.errors import Unreachable
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Site
from tests.unit.site_examples import example


def data(name: str, node: str = "head", *, in_use: bool = False) -> Kept:
    return Kept(name=name, node=node, size_bytes=2_000_000, in_use=in_use)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Put a stack of two nodes in place, and return what is removed there."""
    gone: list[tuple[str, str]] = []
    hosts = {name: SimpleNamespace(connection=name) for name in ("head", "w1")}
    stack = SimpleNamespace(outputs=SimpleNamespace(expectations=SimpleNamespace(hosts=hosts)))
    monkeypatch.setattr(purge, "access", lambda _: stack)
    monkeypatch.setattr(purge, "_remove", lambda connection, name: gone.append((connection, name)))
    return gone


def keeping(monkeypatch: pytest.MonkeyPatch, *everything: Kept) -> None:
    monkeypatch.setattr(purge, "kept", lambda _: list(everything))


def test_data_is_removed_on_every_node_that_has_some(
    monkeypatch: pytest.MonkeyPatch, removed: list[tuple[str, str]]
) -> None:
    keeping(monkeypatch, data("open-webui"), data("open-webui", "w1"), data("prometheus"))
    assert len(purge.purge("lab", "open-webui", yes=True)) == 2
    assert removed == [("head", "open-webui"), ("w1", "open-webui")]


def test_what_is_declared_or_runs_is_never_removed(
    monkeypatch: pytest.MonkeyPatch, removed: list[tuple[str, str]]
) -> None:
    keeping(monkeypatch, data("open-webui", in_use=True), data("open-webui", "w1"))
    with pytest.raises(InputError, match=r"open-webui is still declared or runs on head, and"):
        purge.purge("lab", "open-webui", yes=True)
    assert removed == []


@pytest.mark.parametrize("name", ["open-web", "../etc", ".", "", "/"])
def test_what_nobody_keeps_is_refused(
    monkeypatch: pytest.MonkeyPatch, removed: list[tuple[str, str]], name: str
) -> None:
    keeping(monkeypatch, data("open-webui"), data(".."))
    with pytest.raises(InputError, match="no node keeps data of"):
        purge.purge("lab", name, yes=True)
    assert removed == []


def test_without_anybody_to_ask_nothing_is_removed(
    monkeypatch: pytest.MonkeyPatch, removed: list[tuple[str, str]]
) -> None:
    keeping(monkeypatch, data("open-webui"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(InputError, match="add --yes"):
        purge.purge("lab", "open-webui", yes=False)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert purge.purge("lab", "open-webui", yes=False) == []
    assert removed == []


def _site(**changes: object) -> Site:
    return load_site(example(changes))


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("registry", True), ("redis", True), ("edge", True), ("prometheus", True),
        ("before", True), ("metrics", True), ("watchdog", True),
        ("open-webui", True), ("anythingllm", False), ("somebody-elses", False),
    ],
)  # fmt: skip
def test_what_the_site_declares_is_in_use_whether_it_runs_or_not(name: str, declared: bool) -> None:  # noqa: FBT001 - a column
    changes = {"frontends.open_webui.node": "head", "monitoring.node": "head"}
    assert purge._line(_site(**changes), "head", f"7 no {name}").in_use == declared


def test_data_on_a_node_from_which_its_service_was_moved_is_free() -> None:
    moved = _site(**{"frontends.open_webui.node": "w1"})
    assert not purge._line(moved, "head", "7 no open-webui").in_use
    assert purge._line(moved, "head", "7 yes open-webui").in_use


def test_a_node_tells_what_it_keeps_and_what_its_containers_mount(tmp_path: Path) -> None:
    kept = tmp_path / "data"
    for name in ("open-webui", "open", "prometheus"):
        (kept / name).mkdir(parents=True)
    (kept / "open-webui" / "webui.db").write_bytes(bytes(5000))
    (kept / "link").symlink_to(kept / "open-webui")
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!/bin/sh\n[ $1 = ps ] && echo 1 && exit\n"
        f"printf '%s\\n' {kept}/open-webui {kept}/prometheus/x\n"
    )
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = purge._LIST.replace(host_folders.DATA, str(kept))
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    found = {line.split()[2]: line.split()[1] for line in done.stdout.splitlines()}
    assert found == {"open": "no", "open-webui": "yes", "prometheus": "yes"}
    sizes = {line.split()[2]: int(line.split()[0]) for line in done.stdout.splitlines()}
    assert sizes["open-webui"] >= 5000


def test_a_node_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise Unreachable("w1 can't be reached")

    monkeypatch.setattr(purge, "run", away)
    with pytest.raises(Unreachable, match="what w1 keeps is not known until then"):
        purge._on_node(_site(), "w1", SimpleNamespace())  # type: ignore[arg-type] # it is not asked
