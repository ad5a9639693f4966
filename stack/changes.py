"""What separates two values made of mappings, lists and scalars: as edits, and as words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Edit:
    """One place where two values differ; None stands for what isn't there."""

    path: tuple[str, ...]
    old: JsonValue
    new: JsonValue

    @property
    def notation(self) -> str:
        """The path as `pulumi config set --path` takes it: `ports["Ethernet1/1"].mtu_bytes`."""
        text = ""
        for key in self.path:
            plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key)
            text += (f".{key}" if text else key) if plain else f'["{key}"]'
        return text

    def lines(self) -> list[str]:
        """Return what is different in words: `env.LANG: "C" → "de"`, `packages: + curl`."""
        where = self.notation
        if isinstance(self.old, list) and isinstance(self.new, list):
            gone = [f"{where}: - {_text(item)}" for item in self.old if item not in self.new]
            come = [f"{where}: + {_text(item)}" for item in self.new if item not in self.old]
            return [*gone, *come] or [f"{where}: another order"]
        return [f"{where}: {_text(self.old)} → {_text(self.new)}"]


def edits(old: JsonValue, new: JsonValue, path: tuple[str, ...] = ()) -> Iterator[Edit]:
    """Yield the deepest places at which two values differ, by path; a list is one place."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from edits(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield Edit(path, old, new)


def changes(old: JsonValue, new: JsonValue) -> list[str]:
    """Return all that separates two values, in words."""
    return [line for edit in edits(old, new) for line in edit.lines()]


def _text(value: JsonValue) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
