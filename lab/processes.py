"""Starting and ending supervisors, and knowing them again without trusting a PID alone."""

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lab import cgroups, shell
from lab.supervisor import CONFIG, LOG, PID, Supervised, boot_id, start_time
from remote.errors import RackformError
from remote.private_file import write_private

CHECKOUT = Path(__file__).resolve().parent.parent


class PidFile(BaseModel):
    """A process that can't be mistaken for a later one with the same PID."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    start_time: int
    boot_id: str

    @property
    def alive(self) -> bool:
        return self.boot_id == boot_id() and start_time(self.pid) == self.start_time


def this_process() -> PidFile:
    pid = os.getpid()
    return PidFile(pid=pid, start_time=start_time(pid) or 0, boot_id=boot_id())


def supervisor(folder: Path) -> int | None:
    """Return the PID of the machine's supervisor, if that very process runs."""
    try:
        found = PidFile.model_validate_json((folder / PID).read_text(encoding="ascii"))
    except (FileNotFoundError, ValidationError):
        return None
    return found.pid if found.alive else None


def start(folder: Path, namespace: str, what: Supervised) -> None:
    """Start the machine's supervisor in its namespace, unless it runs."""
    if supervisor(folder):
        return
    cgroups.kill(what.name)  # what a supervisor that was killed has left
    write_private(folder / CONFIG, json.dumps(asdict(what), indent=1))
    shell.run(
        [
            "nsenter",
            f"--net=/run/netns/{namespace}",
            sys.executable,
            "-m",
            "lab.supervisor",
            folder,
        ],
        purpose=f"start {what.name}",
        cwd=CHECKOUT,
    )


def stop(folder: Path, name: str, *, timeout_s: float) -> bool:
    """Ask the machine to end, and wait; false if it still runs after the time."""
    pid = supervisor(folder)
    if pid is None:
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    return wait_ended(folder, timeout_s=timeout_s) and not cgroups.processes(name, "machine")


def wait_ended(folder: Path, *, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while supervisor(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def cut(folder: Path, name: str) -> None:
    """End all of the machine at once, as when its plug is pulled."""
    cgroups.kill(name, "machine")
    pid = supervisor(folder)
    if pid is not None and not wait_ended(folder, timeout_s=1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not cgroups.kill(name):
        raise RackformError(
            f"processes of {name} don't end: {sorted(cgroups.processes(name))}; "
            "they wait in the kernel (see dmesg): try again, or reboot this machine"
        )
    (folder / PID).unlink(missing_ok=True)


def log_tail(folder: Path, lines: int = 12) -> str:
    """Return the last lines of the machine's console."""
    try:
        text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no console log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the console log is empty)"
