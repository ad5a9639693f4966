"""What a lock pins: every package by version and sha256, and no address of a mirror or an index."""

import hashlib
import json
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from images.builder.declaration import LOCK, Definition
from images.builder.store import Store
from remote.errors import RackformError
from stack.changes import changes, edits
from stack.errors import InputError

_NAMED = 12
"""Differences that an error names; the rest is counted."""


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


class UpstreamImage(Locked):
    """An image that somebody else builds."""

    version: str
    digest: str = Field(description="sha256:… of its manifest for this architecture")
    size: int = Field(description="bytes of its layers as they are pulled")


class Lock(Locked):
    """One variant's lock."""

    definition: str = Field(description="checksum of the declaration that was resolved")
    declared: dict[str, JsonValue] = Field(
        description="that declaration, so that a stale lock can tell what has changed since"
    )
    debian: list[DebianPackage] = []
    tools: list[DebianPackage] = []
    wheels: list[Wheel] = []
    upstream: UpstreamImage | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(_canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def packages(self) -> dict[str, str]:
        """Return everything that ends in the image: `debian/NAME` or `python/NAME` → version."""
        found = {f"debian/{p.name}": p.version for p in self.debian}
        found |= {f"python/{w.name}": w.version for w in self.wheels}
        return found | ({"upstream": self.upstream.version} if self.upstream else {})

    def sizes(self) -> dict[str, int]:
        """Return the same names → bytes to download."""
        found = {f"debian/{p.name}": p.size for p in self.debian}
        found |= {f"python/{w.name}": w.size for w in self.wheels}
        return found | ({"upstream": self.upstream.size} if self.upstream else {})

    def pins(self) -> dict[str, str]:
        """Return every pin, the builder's own tools too: name → version and sha256."""
        found = {f"debian/{p.name}": f"{p.version} {p.sha256}" for p in self.debian}
        found |= {f"tools/{p.name}": f"{p.version} {p.sha256}" for p in self.tools}
        found |= {f"python/{w.name}": f"{w.version} {w.sha256}" for w in self.wheels}
        if self.upstream:
            found["upstream"] = f"{self.upstream.version} {self.upstream.digest}"
        return found


class LockChange(Locked):
    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, tuple[str, str]]

    def lines(self) -> list[str]:
        """Return a line for each package that differs: `debian/curl 7.88 → 7.89`."""
        return [
            *(f"{name} {old} → {new}" for name, (old, new) in self.changed.items()),
            *(f"{name} {version} added" for name, version in self.added.items()),
            *(f"{name} {version} removed" for name, version in self.removed.items()),
        ]


def read(definition: Definition, *, store: Path, replaced_by: Path | None = None) -> Lock:
    """Return the lock of a definition, refusing a missing, a stale and a tampered one.

    Args:
        definition: what is declared.
        store: it remembers locks by their checksum, so that a tampered one can be compared.
        replaced_by: folder that may hold a lock made on this machine because the mirrors no longer
            have what the repository's lock names; it counts only while it replaces that very lock.

    """
    lock = _read_file(definition, store)
    if lock.definition != definition.checksum:
        since = _declared_changes(lock.declared, definition.declared)
        raise InputError(
            f"images/{definition.name}/{LOCK} ({definition.variant}) is stale, since "
            f"its declaration was changed after it ({_told(since)}): {_remedy(definition)}"
        )
    if replaced_by and (local := _local_file(replaced_by, definition)).exists():
        held = json.loads(local.read_text(encoding="utf-8"))
        if held["replaces"] == lock.sha256:
            return Lock.model_validate(held["lock"])
    return lock


def last(definition: Definition) -> Lock | None:
    """Return the lock of a definition however old it is; None where there is none that is whole."""
    try:
        return _parsed(definition)[0]
    except RackformError:
        return None


def _read_file(definition: Definition, store: Path) -> Lock:
    lock, claimed = _parsed(definition)
    if lock.sha256 != claimed:
        what = "its checksum doesn't hold"
        if before := recall(claimed, store):
            altered = _pin_changes(before, lock)
            altered += _declared_changes(before.declared, lock.declared)
            what = _told(altered)
        raise InputError(
            f"images/{definition.name}/{LOCK} ({definition.variant}) was altered since it was "
            f"written ({what}): take it back from version control, or {_remedy(definition)}"
        )
    return lock


def _parsed(definition: Definition) -> tuple[Lock, str]:
    """Return what the file holds, and the checksum that it claims."""
    file = definition.folder / LOCK
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        stored = document["variants"][definition.variant]
        claimed = stored.pop("sha256")
        return Lock.model_validate(stored), claimed
    except FileNotFoundError:
        raise _no_lock(definition) from None
    except KeyError as error:
        if error.args == (definition.variant,):
            raise _no_lock(definition) from None
        raise _damaged(definition, f"it lacks {error}") from None
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(definition, str(error).splitlines()[0]) from None


def _no_lock(definition: Definition) -> InputError:
    return InputError(
        f"image {definition.name} (variant {definition.variant}) has no lock: {_remedy(definition)}"
    )


def _damaged(definition: Definition, why: str) -> InputError:
    return InputError(
        f"images/{definition.name}/{LOCK} is no lock ({why}): take it back from version control, "
        f"or {_remedy(definition)}"
    )


def _remedy(definition: Definition) -> str:
    return f"run './rackform lock {definition.name}'"


def write(definition: Definition, lock: Lock, store: Store) -> LockChange:
    """Put a lock into the repository and tell what it changes."""
    file = definition.folder / LOCK
    before = last(definition)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        variants = dict(document["variants"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        variants = {}
    variants[definition.variant] = lock.model_dump(mode="json") | {"sha256": lock.sha256}
    text = json.dumps({"variants": variants}, indent=1, sort_keys=True) + "\n"
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
    remember(lock, store)
    return difference(before, lock)


def remember(lock: Lock, store: Store) -> None:
    """Keep a lock in the store: what a generation was made from, and what an edited one was."""
    if recall(lock.sha256, store.path) is None:
        store.write_json("lockfiles", lock.sha256, lock.model_dump_json() + "\n")


def recall(sha256: str, store: Path) -> Lock | None:
    """Return a lock that this store has built or written, by its checksum."""
    try:
        kept = (store / "lockfiles" / f"{sha256}.json").read_text(encoding="utf-8")
        return Lock.model_validate_json(kept)
    except (FileNotFoundError, ValidationError):
        return None


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


def _declared_changes(old: dict[str, JsonValue], new: dict[str, JsonValue]) -> list[str]:
    """Return what differs between two declarations: `debian.packages: + curl`."""
    kinds = {(True, False): "added", (False, True): "removed", (False, False): "changed"}
    files = [
        f"{edit.path[0]}: {kinds[edit.old is None, edit.new is None]}"
        for edit in edits(old.get("files"), new.get("files"))
    ]
    return [*changes(old.get("spec"), new.get("spec")), *files]


def _pin_changes(before: Lock, after: Lock) -> list[str]:
    old, new = before.pins(), after.pins()
    return [
        f"{name}: {old.get(name, 'nothing')} → {new.get(name, 'nothing')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _told(found: list[str]) -> str:
    more = len(found) - _NAMED
    shown = [*found[:_NAMED], *([f"and {more} more"] if more > 0 else [])]
    return "; ".join(shown) or "in how the builder reads it"


def _local_file(folder: Path, definition: Definition) -> Path:
    return folder / f"{definition.name}-{definition.variant}.json"


def _canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
