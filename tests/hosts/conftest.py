"""The machines under test: those of the stack whose expectations `./rackform verify` hands over.

The same files verify the twin and real machines. Each test that takes `host` runs once a node.
"""

import os
from functools import cache
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from remote.ssh import write_ssh_files
from stack.expectations import Expectations, ExpectedHost
from tests.hosts.way import Way

_VARIABLE = "RACKFORM_EXPECTATIONS"


@cache
def _expectations() -> Expectations:
    return Expectations.model_validate_json(Path(os.environ[_VARIABLE]).read_text(encoding="utf-8"))


def pytest_ignore_collect() -> bool | None:
    """Collect nothing where no stack was named: these tests are about one stack's machines."""
    return None if _VARIABLE in os.environ else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        metafunc.parametrize("node", list(_expectations().hosts))
    if "way" in metafunc.fixturenames:
        hosts = _expectations().hosts
        ways = [
            Way(source, target, network)
            for source, one in hosts.items()
            for target, other in hosts.items()
            for network in one.links
            if source != target and network in other.links
        ]
        metafunc.parametrize("way", ways, ids=str)


@pytest.fixture(scope="session")
def expectations() -> Expectations:
    return _expectations()


@pytest.fixture(scope="session")
def ssh_config(expectations: Expectations, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ssh")
    return write_ssh_files(folder, [host.connection for host in expectations.hosts.values()])


@pytest.fixture
def host(node: str, ssh_config: Path) -> Host:
    return testinfra.get_host(f"ssh://{node}", ssh_config=str(ssh_config))


@pytest.fixture
def head(expectations: Expectations, ssh_config: Path) -> Host:
    return testinfra.get_host(f"ssh://{expectations.head}", ssh_config=str(ssh_config))


@pytest.fixture
def expected(node: str, expectations: Expectations) -> ExpectedHost:
    return expectations.hosts[node]
