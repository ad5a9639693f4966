"""What outlives the daemon: the startup configuration, the running one, and a commit timer."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class PendingRollback(BaseModel):
    """A commit that is undone at `deadline` (seconds since the epoch) unless it is confirmed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    deadline: float
    checkpoint: str


class Memory(BaseModel):
    """What a switch holds in RAM: kept over the daemon's restart, lost with its namespace.

    `devices` are those that have the configuration: port → the device's identity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: str
    running: str
    devices: dict[str, str]
    pending: PendingRollback | None = None


def world() -> str:
    """Return what stays the same while the machine and this network namespace live."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/net').stat().st_ino}"


def write(path: Path, text: str) -> None:
    """Write a whole file or nothing of it, for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


class Store:
    """The files of one switch, in its state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def startup(self) -> str | None:
        return self.flash("startup-config")

    def save_startup(self, text: str) -> None:
        self.save_flash("startup-config", text)

    def flash(self, name: str) -> str | None:
        try:
            return (self._folder / "flash" / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def save_flash(self, name: str, text: str) -> None:
        write(self._folder / "flash" / name, text)

    def delete_flash(self, name: str) -> None:
        (self._folder / "flash" / name).unlink(missing_ok=True)

    def flash_names(self, prefix: str) -> list[str]:
        return sorted(file.name for file in (self._folder / "flash").glob(f"{prefix}*"))

    def memory(self, current_world: str) -> Memory | None:
        """Return what this very switch had in RAM, or None after a cold start."""
        path = self._folder / "memory.json"
        if not path.exists():
            return None
        memory = Memory.model_validate_json(path.read_text(encoding="utf-8"))
        return memory if memory.world == current_world else None

    def save_memory(self, memory: Memory) -> None:
        write(self._folder / "memory.json", memory.model_dump_json(indent=2) + "\n")
