"""Going back: an image, a host setting and a switch port return as they were, from the store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.paths import ROOT, store_dir
from tests.lab.appliance import STACK, configure, on, pulumi, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

EDGE = ROOT / "images" / "edge"


def _generations() -> list[dict[str, Any]]:
    done = rackform("generations", "--json")
    assert done.status == 0, done.text
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def _edge_image() -> str:
    return on("head", "docker inspect --format '{{.Image}}' edge").out.strip()


def _mtus() -> set[str]:
    return {on(node, "cat /sys/class/net/fab0/mtu").out.strip() for node in ("head", "w1", "w2")}


def _switch_lines() -> str:
    shown = rackform("ssh", "tor1", stdin="enable\nshow running-config\nexit\n")
    assert shown.status == 0, shown.text
    return "\n".join(line for line in shown.out.splitlines() if "mtu" in line)


def _packages() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (store_dir() / "debs").iterdir()}


@pytest.fixture
def edge_declaration() -> Iterator[Path]:
    """Give the edge image's declaration and lock back as they were."""
    files = {path: path.read_bytes() for path in (EDGE / "image.toml", EDGE / "lock.json")}
    yield EDGE / "image.toml"
    for path, content in files.items():
        path.write_bytes(content)


def test_a_rollback_brings_image_host_setting_and_switch_port_back(
    report: dict[str, Any], edge_declaration: Path
) -> None:
    first = _generations()[-1]
    assert first["closure"] == report["closure"]
    image, lines = _edge_image(), _switch_lines()
    assert _mtus() == {"9000"}

    text = edge_declaration.read_text()
    edge_declaration.write_text(text.replace('title" = "rackform edge"', 'title" = "another edge"'))
    refused = rackform("up")
    assert refused.status != 0
    assert 'labels["org.opencontainers.image.title"]: rackform edge → another edge' in refused.text
    assert rackform("lock", "edge").status == 0
    configure("fabric.mtu_bytes", "4200")
    up()
    second = _generations()[-1]
    assert second["number"] == first["number"] + 1
    assert second["closure"] != first["closure"]
    assert _edge_image() != image
    assert _mtus() == {"4200"}

    numbers = (str(first["number"]), str(second["number"]))
    told = rackform("diff", *numbers, "--json")
    assert told.status == 0, told.text
    difference = json.loads(told.out)
    assert set(difference["images"]) == {"edge/default"}
    assert difference["nodes"]["w1"] == ["fabric_link.mtu_bytes: 9000 → 4200"]
    assert difference["switches"]["tor1"].count("  + mtu 4200") == 3
    assert difference["site"] == ["fabric.mtu_bytes: 9000 → 4200"]

    shown = rackform("rollback", numbers[0], "--dry-run")
    assert shown.status == 0, shown.text
    assert "mtu 9000" in shown.text
    assert _mtus() == {"4200"}
    assert rackform("rollback", numbers[0]).status == 2, "nobody was there to agree"

    packages = _packages()
    done = rackform("rollback", numbers[0], "--yes", "--json")
    assert done.status == 0, done.text
    assert "making layer" not in done.text
    assert "downloading" not in done.text
    assert _packages() == packages
    assert _edge_image() == image
    assert _mtus() == {"9000"}
    assert _switch_lines() == lines
    assert "mtu_bytes: 9000" in (ROOT / "stack" / f"Pulumi.{STACK}.yaml").read_text()
    verified = rackform("verify")
    assert verified.status == 0, verified.text
    third = _generations()[-1]
    assert third["number"] == second["number"] + 1
    assert third["message"] == f"rollback to generation {numbers[0]}"
    assert third["closure"] == first["closure"]
    assert json.loads(done.out.splitlines()[-1])["closure"] == first["closure"]


def test_the_pins_of_a_rollback_are_given_up_by_taking_them_out(report: dict[str, Any]) -> None:
    assert report
    removed = pulumi("config", "rm", "rackform:pinned", "--stack", STACK)
    assert removed.status == 0, removed.text
    assert up()["closure"] == report["closure"]


def test_a_generation_that_never_was_is_refused(report: dict[str, Any]) -> None:
    assert report
    done = rackform("rollback", "999", "--yes")
    assert done.status == 2
    assert "999 is no generation of stack lab: there are 1 to " in done.err
