"""What an engine that was killed leaves in a file backend, put right before the next one starts."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from cli import backend
from cli.console import err
from cli.pulumi import Pulumi
from remote.errors import RackformError

_LONGEST_WAIT_S = 1800.0
_POLL_S = 0.5


def recover(stack: str) -> None:
    """Make the stack ready for a run: no engine holds it, and nothing counts as half made.

    An engine that works is waited for; the lock of a dead one is released. What it was making is
    dropped from its list: every resource of ours adopts what is there when it is made again.
    Of backends other than the file one, the engine tells by itself.

    Raises:
        RackformError: an engine on this machine still holds it after half an hour.

    """
    for lock, pid in _held_here(stack):
        _wait(lock, pid)
    if any(_held_here(stack)):
        err.print("[dim]releasing the lock of a run that was killed[/]")
        backend.mend()
        Pulumi(stack).unlock()
    if backend.holds_pending(stack):
        Pulumi(stack).clear_pending()


def _held_here(stack: str) -> Iterator[tuple[Path, int]]:
    """Yield each lock that a process of this machine took, with the process."""
    folder = backend.folder()
    if folder is None:
        return
    for lock in (folder / "locks").rglob("*.json"):
        if lock.parent.name == stack:
            holder = json.loads(lock.read_text(encoding="utf-8"))
            if holder.get("hostname") == socket.gethostname():
                yield lock, int(holder["pid"])


def _wait(lock: Path, pid: int) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT_S
    told = False
    while lock.exists() and _is_engine(pid):
        if time.monotonic() > deadline:
            raise RackformError(
                f"the engine of another run (process {pid}) has held the stack for half an hour:"
                f" end it with 'kill -INT {pid}', then run this again"
            )
        if not told:
            err.print(
                f"[dim]waiting for the engine of another run (process {pid}) to finish what is"
                " under way[/]"
            )
            told = True
        time.sleep(_POLL_S)


def _is_engine(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "pulumi"
    except (FileNotFoundError, ProcessLookupError):
        return False
