"""Keeps one process of the twin (a host's nspawn, a switch's command line) running.

Started as `python -m lab.supervisor FOLDER`, inside the machine's network namespace. It leaves the
process that started it, so it takes nothing but the standard library and little memory.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Literal

from lab import cgroups

CONFIG, LOCK, LOG, PID = "supervisor.json", "supervisor.lock", "console.log", "supervisor.pid"
LOG_MAX_BYTES = 4 << 20
REBOOT = 133  # what systemd-nspawn ends with when the guest asked for a reboot
QUICK_S, QUICK_MAX = 2.0, 5
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Supervised:
    """What to keep running.

    Attributes:
        name: the machine's name: its control group.
        argv: the process.
        env: its whole environment.
        restart: `reboot`: when the guest asks for it, as a machine does; `always`: however it ends.
        before: commands each time before it starts (the links come up).
        after: commands each time after it ended (the links go down).

    """

    name: str
    argv: list[str]
    env: dict[str, str]
    restart: Literal["reboot", "always"]
    before: list[list[str]]
    after: list[list[str]]


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine's boot; None: no process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def main(folder: Path) -> int:
    """Leave the caller; return 0 to it once the supervisor has its lock and its PID file."""
    config = Supervised(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as answer:
            said = answer.read()
        if said == "ok":
            return 0
        sys.stderr.write(said or "the supervisor died while it started\n")
        return 1
    os.close(reader)
    try:
        os.setsid()
        lock = _lock(folder)
        cgroups.join(config.name, "keeper")
        _write_pid(folder)
        _detach(folder)
    except OSError as error:
        os.write(writer, f"{error}\n".encode())
        os._exit(1)
    os.write(writer, b"ok")
    os.close(writer)
    with lock:
        _keep(config)
        (folder / PID).unlink(missing_ok=True)
    return 0


def _lock(folder: Path) -> IO[str]:
    """Take the machine's lock; one that is about to end may still hold it for a moment."""
    handle = (folder / LOCK).open("w")
    deadline = time.monotonic() + 10
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return handle


def _write_pid(folder: Path) -> None:
    pid = os.getpid()
    record = {"pid": pid, "start_time": start_time(pid), "boot_id": boot_id()}
    temporary = folder / f".{PID}"
    temporary.write_text(json.dumps(record), encoding="ascii")
    temporary.replace(folder / PID)


def _detach(folder: Path) -> None:
    log = folder / LOG
    if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    os.close(null)


def _keep(config: Supervised) -> None:
    stopping = False
    child: subprocess.Popen[bytes] | None = None

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child is not None and child.returncode is None:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    quick = 0
    while not stopping:
        _commands(config.before)
        began = time.monotonic()
        child = subprocess.Popen(
            config.argv,
            env=config.env,
            stdin=subprocess.DEVNULL,
            preexec_fn=_child(config.name),  # noqa: PLW1509 - there is one thread here
        )
        if stopping:
            child.terminate()
        status = child.wait()
        _say(f"{config.argv[0]} ended with status {status}")
        _commands(config.after)
        quick = quick + 1 if time.monotonic() - began < QUICK_S else 0
        if config.restart == "reboot" and status != REBOOT:
            return
        if quick >= QUICK_MAX:
            _say(f"gave up: it ended {quick} times within {QUICK_S:.0f} s of its start")
            return
        if config.restart == "always" and not stopping:
            time.sleep(0.2 * (quick + 1))


def _child(name: str) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        cgroups.join(name, "machine")

    return prepare


def _commands(commands: list[list[str]]) -> None:
    for argv in commands:
        subprocess.run(argv, stdin=subprocess.DEVNULL, check=False)


def _say(text: str) -> None:
    sys.stdout.write(f"rackform: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
