"""What holds for every tier of tests."""

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: nothing here is timed, and every run tries the same few examples.
# New ones are looked for with './rackform test unit --hypothesis-profile=explore'.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _UNTIMED, max_examples=30, derandomize=True)
settings.register_profile("explore", _UNTIMED, max_examples=1000)
settings.load_profile("same")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what collecting brings in, some 200,000 objects, from being searched for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure() -> None:
    """Let SIGINT work in what the tests start, which a shell ignores in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
