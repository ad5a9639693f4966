"""The running twin: brought up once for all tests that need it, taken down after the last."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.access import access
from lab import nodes as lab_nodes
from lab import switch
from lab import twin as twins
from lab.layout import Twin
from pyinfra_deploys.client import HostWorker
from remote.connection import Connection
from stack.paths import ROOT, state_dir, store_dir
from tests.lab.appliance import STACK, rackform, up
from tests.lab.two_hosts import claimed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that make small twins of their own before the one that needs the whole stack."""
    items.sort(key=lambda item: item.get_closest_marker("twin") is not None)


@pytest.fixture(scope="session")
def stack_file() -> Iterator[Path]:
    """Give the stack's file back as it was, but for the salt of a stack that is left up."""
    file = ROOT / "stack" / f"Pulumi.{STACK}.yaml"
    before = _settings(file)
    yield file
    salt = [line for line in file.read_text().splitlines(keepends=True) if _is_salt(line)]
    file.write_text("".join([*before, *salt]))


def _settings(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines(keepends=True) if not _is_salt(line)]


def _is_salt(line: str) -> bool:
    return line.startswith("encryptionsalt:")


@pytest.fixture(scope="session")
def report(stack_file: Path) -> Iterator[dict[str, Any]]:
    """Bring the twin up; what `up --json` said. A twin that was up before is left up."""
    assert stack_file.exists()
    was_up = bool(twins.status(Twin(state_dir(), store_dir())).nodes)
    yield up()
    if was_up:
        return
    done = rackform("down", "--keep-images")
    assert done.status == 0, done.text


@pytest.fixture
def nodes(report: dict[str, Any]) -> dict[str, Connection]:
    outputs = access(report["stack"]).outputs
    return {name: host.connection for name, host in outputs.expectations.hosts.items()}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Make one host of a twin of its own, with its switch."""
    with claimed(tmp_path_factory.mktemp("state"), rails=True) as lab:
        switch.create(lab.twin, lab.tor)
        yield lab_nodes.create(lab.twin, lab.specs[0])


@pytest.fixture(scope="module")
def worker() -> Iterator[HostWorker]:
    with HostWorker() as it:
        it.start()
        yield it
