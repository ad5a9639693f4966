"""Who only looks waits once for a machine that is not there, however much of it there is to see."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from remote.errors import Unreachable

REMEMBERED_S = 60
"""For how long a machine that did not answer is taken to be away by who only looks."""

_looking = ContextVar("looking", default=False)
_missed: dict[str, tuple[float, Unreachable]] = {}


@contextlib.contextmanager
def looking() -> Iterator[None]:
    """Let the block only look: what is away was told by whoever found it so a moment ago."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


def missed(machine: str, error: Unreachable) -> None:
    """Note that a machine did not answer."""
    _missed[machine] = (time.monotonic(), error)


def check(machine: str) -> None:
    """Raise what was noted of the machine, where the caller only looks and it was just now."""
    if _looking.get() and machine in _missed:
        when, error = _missed[machine]
        if time.monotonic() - when < REMEMBERED_S:
            raise error
