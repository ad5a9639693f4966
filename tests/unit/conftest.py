"""What several unit tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
