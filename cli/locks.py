"""Locks that a killed `up` leaves in a file backend: found by their dead process and released."""

import json
import os
import socket
from pathlib import Path

from cli import backend
from cli.console import err
from cli.pulumi import Pulumi


def release_stale_lock(stack: str) -> None:
    """Release the stack's lock if the process that took it, on this machine, is gone.

    Only the file backend keeps locks as files; of other backends the engine tells by itself.
    """
    for lock in _locks(stack):
        holder = json.loads(lock.read_text(encoding="utf-8"))
        if holder.get("hostname") == socket.gethostname() and not _alive(int(holder["pid"])):
            err.print("[dim]releasing the lock of an interrupted run[/]")
            Pulumi(stack).unlock()
            return


def _locks(stack: str) -> list[Path]:
    folder = backend.folder()
    if folder is None:
        return []
    return [lock for lock in (folder / "locks").rglob("*.json") if lock.parent.name == stack]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
