"""Asks machines over SSH, side by side. Reads, and changes nothing."""

import time
from collections.abc import Sequence

from discover.machine import machine
from discover.model import Machine
from discover.probe import SCRIPT, sections
from remote import ssh
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError
from remote.together import ask_each
from stack.errors import InputError

TIMEOUT_S = 120


def ask(connection: Connection, script: str = SCRIPT) -> Machine:
    """Return what a machine tells of itself.

    Raises:
        Unreachable: no connection, another host key, or a refused login.
        RackformError: it has no shell that runs the questions.

    """
    ssh.run(connection, ["true"], timeout_s=TIMEOUT_S, check=False)  # its time is not the clock's
    before = time.time()
    done = ssh.run(connection, script, timeout_s=TIMEOUT_S, check=False)
    told = sections(done.stdout)
    if "uname" not in told:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no answer"]
        raise RackformError(
            f"{connection.name} runs no command for user {connection.user} ({last[0]}): log in by "
            "hand to see why; a plain POSIX shell is needed"
        )
    took = time.time() - before
    return machine(connection.address, told, now=before + took / 2 if took < 30 else None)  # noqa: PLR2004 - seconds


def ask_all(connections: Sequence[Connection]) -> list[Machine]:
    """Return what each machine tells, in the same order.

    Raises:
        InputError: all that tell nothing show another host key, or don't take the user or the key.
        RackformError: else, with a sentence for each that tells nothing.

    """
    answers = ask_each(ask, connections)
    errors = [each for each in answers if isinstance(each, RackformError)]
    if errors:
        wrong = all(isinstance(each, LoginRefused | OtherHostKey) for each in errors)
        raise (InputError if wrong else RackformError)("\n".join(map(str, errors)))
    return [each for each in answers if isinstance(each, Machine)]
