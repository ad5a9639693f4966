"""What several unit tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.switch_cases import CASES, Case
from tests.unit.switch_twin import Twin, running_twin
from tests.unit.wrapper_checkout import Checkout, link_tools


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Let nothing wait until its file is on the disk: a thousand such waits are seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return link_tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def checkout(tmp_path: Path, tools: Path) -> Checkout:
    return Checkout(tmp_path, tools)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """Give a checkout whose Python environment is there already."""
    checkout.make_environment()
    return checkout


@pytest.fixture(scope="module", params=list(CASES))
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twin]:
    """Run a switch's daemon for a file of tests: each network OS in turn, or those asked for."""
    with running_twin(tmp_path_factory.mktemp("switch"), request.param) as twin:
        yield twin


@pytest.fixture
def twin(daemon: Twin) -> Twin:
    """Return the daemon as if it had just been unpacked: no state, ports at their defaults."""
    daemon.renew()
    return daemon


@pytest.fixture
def case(twin: Twin) -> Case:
    return CASES[twin.settings.os]
