"""A stack's generations, as Pulumi's own history has them: every `up` that was finished is one."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from cli import backend
from cli.pulumi import Pulumi
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import read_pins

_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - Pulumi's mark of any special value
_JSON = TypeAdapter[JsonValue](JsonValue)
_SITE, _PINNED = "rackform:site", "rackform:pinned"


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Value(_Read):
    value: str = ""
    object_value: JsonValue = None


class _Update(_Read):
    """An entry of `pulumi stack history --json`."""

    version: int = 0
    kind: str
    result: str = ""
    end_time: str | int = ""
    message: str = ""
    environment: dict[str, str] = {}
    config: dict[str, _Value] = {}
    resource_changes: dict[str, int] = {}


class Resource(_Read):
    """A resource as an `up` left it."""

    urn: str
    type: str
    inputs: dict[str, JsonValue] = {}
    outputs: dict[str, JsonValue] = {}

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        return self.type.rpartition(":")[2]


class Generation(BaseModel):
    """One finished `up`."""

    model_config = ConfigDict(frozen=True)

    number: int
    finished: datetime
    commit: str = Field(description="of the checkout; empty where it was none")
    dirty: bool = Field(description="the checkout had changes that were not committed")
    message: str
    changed: int = Field(description="resources that this `up` changed")
    site: JsonValue
    pins: dict[str, str]
    version: int = Field(description="the update's number in backends that count them")
    checkpoint: Path | None = Field(description="its state, in the file backend")


def generations(stack: str) -> list[Generation]:
    """Return the stack's generations, the oldest first; they are numbered from 1.

    Raises:
        RackformError: the stack was never made, or its backend can't be reached.

    """
    try:
        entries = [_Update.model_validate(entry) for entry in Pulumi(stack).history()]
    except ValidationError as error:
        raise RackformError(f"Pulumi's history of {stack} can't be read: {error}") from None
    entries.reverse()
    files = _checkpoints(stack)
    states = files if len(files) == len(entries) else [None] * len(entries)
    finished = [
        (entry, state)
        for entry, state in zip(entries, states, strict=True)
        if entry.kind == "update" and entry.result == "succeeded"
    ]
    return [_generation(number, entry, state) for number, (entry, state) in enumerate(finished, 1)]


def generation(stack: str, number: int) -> Generation:
    """Return one generation.

    Raises:
        InputError: there is none of this number.

    """
    there = generations(stack)
    if not 1 <= number <= len(there):
        known = f"1 to {len(there)}" if there else f"none yet: run ./rackform up --stack {stack}"
        raise InputError(f"{number} is no generation of stack {stack}: there are {known}")
    return there[number - 1]


def resources(stack: str, chosen: Generation) -> list[Resource]:
    """Return what a generation consisted of; secrets are told as such, never in the clear."""
    if chosen.checkpoint:
        document = json.loads(_text(chosen.checkpoint))
        state = document["checkpoint"]["latest"]
    else:
        state = Pulumi(stack).export(chosen.version)["deployment"]
    found = [Resource.model_validate(entry) for entry in state.get("resources", [])]
    return [
        resource.model_copy(
            update={"inputs": veiled(resource.inputs), "outputs": veiled(resource.outputs)}
        )
        for resource in found
    ]


def outputs(found: list[Resource]) -> dict[str, JsonValue]:
    """Return the stack's outputs in a generation."""
    return next((each.outputs for each in found if each.kind == "Stack"), {})


def veiled(value: JsonValue) -> JsonValue:
    """Return the value with a word in place of every secret, which is another text each time."""
    if isinstance(value, dict):
        if _SECRET in value:
            return "(secret)"
        return {key: veiled(item) for key, item in value.items()}
    return [veiled(item) for item in value] if isinstance(value, list) else value


def current_checkpoints(folder: Path) -> Iterator[Path]:
    """Yield the state of every stack in a file backend's folder."""
    yield from sorted((folder / "stacks" / "rackform").glob("*.json"))


def past_checkpoints(folder: Path, stack: str, keep: int) -> list[Path]:
    """Return the states of the last `keep` generations of a stack in a file backend's folder."""
    finished = []
    for file in sorted((folder / "history" / "rackform" / stack).glob("*.history.json*")):
        if file.suffix == ".attrs":
            continue
        entry = _Update.model_validate_json(_text(file))
        if entry.kind == "update" and entry.result == "succeeded":
            finished.append(file.with_name(file.name.replace(".history.", ".checkpoint.")))
    return finished[-keep:] if keep else []


def read_checkpoint(file: Path) -> list[Resource]:
    """Return the resources of a state file; none where the stack is empty."""
    latest = json.loads(_text(file))["checkpoint"].get("latest") or {}
    return [Resource.model_validate(entry) for entry in latest.get("resources") or []]


def _generation(number: int, entry: _Update, state: Path | None) -> Generation:
    config = {key: _config(value) for key, value in entry.config.items()}
    changes = entry.resource_changes
    return Generation(
        number=number,
        finished=datetime.fromisoformat(str(entry.end_time)),
        commit=entry.environment.get("git.head", ""),
        dirty=entry.environment.get("git.dirty") == "true",
        message=entry.message,
        changed=sum(count for kind, count in changes.items() if kind not in {"same", "refresh"}),
        site=config.get(_SITE),
        pins=read_pins(config.get(_PINNED)),
        version=entry.version,
        checkpoint=state,
    )


def _config(value: _Value) -> JsonValue:
    if value.object_value is not None:
        return value.object_value
    return _JSON.validate_json(value.value) if value.value.startswith(("{", "[")) else None


def _checkpoints(stack: str) -> list[Path]:
    folder = backend.folder()
    if folder is None:
        return []
    files = (folder / "history" / "rackform" / stack).glob("*.checkpoint.json*")
    return sorted(file for file in files if file.suffix != ".attrs")


def _text(file: Path) -> str:
    if file.suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8") as packed:
            return packed.read()
    return file.read_text(encoding="utf-8")
