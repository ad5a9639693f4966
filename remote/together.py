"""One question to many machines at a time, whose failures don't end the others'."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from remote.connection import Connection
from remote.errors import RackformError

_MOST_AT_A_TIME = 16
_Answer = TypeVar("_Answer")


def ask_each(
    ask: Callable[[Connection], _Answer], connections: Sequence[Connection]
) -> list[_Answer | RackformError]:
    """Return what each machine answers or why it doesn't, in the same order."""

    def asked(connection: Connection) -> _Answer | RackformError:
        try:
            return ask(connection)
        except RackformError as error:
            return error

    with ThreadPoolExecutor(_MOST_AT_A_TIME) as pool:
        # A thread has the caller's context only if it is given it: whether it merely looks.
        jobs = [pool.submit(copy_context().run, asked, each) for each in connections]
        return [job.result() for job in jobs]
