"""What a lock pins: every package by version and sha256, and no address of a mirror or an index."""

import hashlib
import json
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from images.builder.declaration import LOCK, Definition
from remote.errors import RackformError


class Locked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DebianPackage(Locked):
    name: str
    version: str
    arch: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        return f"{self.name}_{quote(self.version, safe='+.~-')}_{self.arch}.deb"


class Wheel(Locked):
    name: str
    version: str
    file: str
    sha256: str
    size: int


class Lock(Locked):
    """One variant's lock."""

    definition: str = Field(description="checksum of the declaration that was resolved")
    debian: list[DebianPackage]
    tools: list[DebianPackage] = []
    wheels: list[Wheel] = []

    @property
    def sha256(self) -> str:
        return hashlib.sha256(_canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def packages(self) -> dict[str, str]:
        """Return everything that ends in the image: `debian/NAME` or `python/NAME` → version."""
        found = {f"debian/{p.name}": p.version for p in self.debian}
        return found | {f"python/{w.name}": w.version for w in self.wheels}


class LockChange(Locked):
    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, tuple[str, str]]


def read(definition: Definition, *, replaced_by: Path | None = None) -> Lock:
    """Return the lock of a definition, refusing a missing or stale one.

    Args:
        definition: what is declared.
        replaced_by: folder that may hold a lock made on this machine because the mirrors no longer
            have what the repository's lock names; it counts only while it replaces that very lock.

    """
    file = definition.folder / LOCK
    remedy = f"run './rackform lock {definition.name}'"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))["variants"][definition.variant]
    except (FileNotFoundError, KeyError):
        raise RackformError(
            f"image {definition.name} (variant {definition.variant}) has no lock: {remedy}"
        ) from None
    lock = Lock.model_validate(stored)
    if lock.definition != definition.checksum:
        raise RackformError(
            f"images/{definition.name}/{LOCK} was made for another declaration (checksum "
            f"{lock.definition[:12]}, now {definition.checksum[:12]}): {remedy}"
        )
    if replaced_by and (local := _local_file(replaced_by, definition)).exists():
        held = json.loads(local.read_text(encoding="utf-8"))
        if held["replaces"] == lock.sha256:
            return Lock.model_validate(held["lock"])
    return lock


def write(definition: Definition, lock: Lock) -> LockChange:
    """Put a lock into the repository and tell what it changes."""
    file = definition.folder / LOCK
    document = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"variants": {}}
    before = document["variants"].get(definition.variant)
    document["variants"][definition.variant] = lock.model_dump(mode="json")
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(file)
    return difference(Lock.model_validate(before) if before else None, lock)


def write_local(folder: Path, definition: Definition, replaced: Lock, lock: Lock) -> None:
    """Keep a lock that stands in, on this machine, for the repository's."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _local_file(folder, definition)
    held = {"replaces": replaced.sha256, "lock": lock.model_dump(mode="json")}
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(file)


def difference(before: Lock | None, after: Lock) -> LockChange:
    old, new = before.packages() if before else {}, after.packages()
    return LockChange(
        added={k: v for k, v in new.items() if k not in old},
        removed={k: v for k, v in old.items() if k not in new},
        changed={k: (old[k], v) for k, v in new.items() if k in old and old[k] != v},
    )


def _local_file(folder: Path, definition: Definition) -> Path:
    return folder / f"{definition.name}-{definition.variant}.json"


def _canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
