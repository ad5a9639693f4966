"""Which boot a host is in, and the wait until another one answers."""

import time
from collections.abc import Callable

from remote import ssh
from remote.connection import Connection
from remote.end_boot import BOOT_ID
from remote.errors import RackformError

RETURN_S = 1200
"""A server with much memory tests it for up to a quarter of an hour."""
POLL_S = 2.0


def boot_id(connection: Connection) -> str:
    return ssh.run(connection, ["cat", BOOT_ID], timeout_s=ssh.CONNECT_TIMEOUT_S).stdout.strip()


def wait_for_another(
    connection: Connection,
    ended: str,
    progress: Callable[[str], None],
    timeout_s: float = RETURN_S,
) -> str:
    """Return the host's boot as soon as it is another than `ended` and SSH answers.

    Raises:
        RackformError: it did not come back, or never went down.

    """
    deadline = time.monotonic() + timeout_s
    said = ""
    while True:
        try:
            found = boot_id(connection)
        except RackformError as error:
            ssh.forget(connection)
            state = "does not answer yet"
            why = f"it does not answer: {error}"
        else:
            if found != ended:
                return found
            state = "is shutting down"
            why = "it still runs: see 'systemctl list-jobs' there for what holds the reboot up"
        if time.monotonic() > deadline:
            raise RackformError(
                f"{connection.name} is not back {timeout_s:g} s after it was told to reboot, "
                f"since {why}; look at its console, then run up again"
            )
        if state != said:
            progress(f"{connection.name} {state}")
            said = state
        time.sleep(POLL_S)
