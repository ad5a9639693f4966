"""The twin's control groups, on a v1, hybrid or pure v2 machine. Standard library only.

Each machine has `rackform/NAME/keeper` (its supervisor) and `rackform/NAME/machine` (everything
else), in every hierarchy: so it survives the session that made it, and all of it can be ended.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = "rackform"
MOUNTS = Path("/proc/self/mounts")
SKIPPED = {"cpuset"}
"""A new group of cpuset takes no process before its CPUs are set."""


@dataclass(frozen=True)
class Hierarchy:
    path: Path
    unified: bool
    controllers: frozenset[str]

    def group(self, name: str) -> Path:
        return self.path / ROOT / name


def parse_mounts(text: str) -> list[Hierarchy]:
    """Return the hierarchies in a mount table."""
    found = []
    for line in text.splitlines():
        _, path, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.append(Hierarchy(Path(path), unified=True, controllers=frozenset()))
        elif kind == "cgroup":
            controllers = frozenset(options.split(",")) - {"rw", "relatime", "nosuid", "nodev"}
            if not controllers & SKIPPED:
                found.append(Hierarchy(Path(path), unified=False, controllers=controllers))
    return found


def hierarchies() -> list[Hierarchy]:
    return parse_mounts(MOUNTS.read_text())


def join(name: str, leaf: str) -> None:
    """Move the calling process into the machine's group `leaf`, in every hierarchy."""
    for hierarchy in hierarchies():
        group = hierarchy.group(name) / leaf
        group.mkdir(parents=True, exist_ok=True)
        if hierarchy.unified:
            _delegate(hierarchy, name)
        (group / "cgroup.procs").write_text(str(os.getpid()))


def _delegate(hierarchy: Hierarchy, name: str) -> None:
    for group in (hierarchy.path, hierarchy.path / ROOT, hierarchy.group(name)):
        for controller in (group / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):  # one that can't be delegated is no loss but its own
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def limit_memory(name: str, limit_bytes: int) -> bool:
    """Limit what the machine may use; false where this kernel offers no memory controller."""
    limited = False
    for hierarchy in hierarchies():
        group = hierarchy.group(name)
        group.mkdir(parents=True, exist_ok=True)
        file = group / ("memory.max" if hierarchy.unified else "memory.limit_in_bytes")
        if hierarchy.unified:
            _delegate(hierarchy, name)
        if file.exists():
            file.write_text(str(limit_bytes))
            limited = True
    return limited


def processes(name: str, leaf: str = "") -> set[int]:
    """Return the machine's processes (those of one leaf, or of all)."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for group in _groups(hierarchy.group(name) / leaf):
            with contextlib.suppress(OSError):
                found |= {int(line) for line in (group / "cgroup.procs").read_text().split()}
    return found - {0}


def kill(name: str, leaf: str = "", timeout_s: float = 20) -> bool:
    """Kill every process of the machine; false if some are still there after the time."""
    deadline = time.monotonic() + timeout_s
    while left := processes(name, leaf):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def remove(name: str) -> None:
    """Remove the machine's empty groups; those in use stay."""
    for hierarchy in hierarchies():
        for group in reversed(list(_groups(hierarchy.group(name)))):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            (hierarchy.path / ROOT).rmdir()


def names() -> set[str]:
    """Return the machines that have a group anywhere."""
    found: set[str] = set()
    for hierarchy in hierarchies():
        with contextlib.suppress(FileNotFoundError):
            found |= {p.name for p in (hierarchy.path / ROOT).iterdir() if p.is_dir()}
    return found


def _groups(top: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(top):
        yield Path(folder)
