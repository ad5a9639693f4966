"""Which fields of two plain values differ, as paths in Pulumi's own notation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from typing_extensions import TypeIs

from provider.values import Plain, Unknown

Path: TypeAlias = tuple[str | int, ...]


class ChangeKind(StrEnum):
    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    path: Path
    kind: ChangeKind

    def __str__(self) -> str:
        return notation(self.path)


def notation(path: Path) -> str:
    """Return the path as Pulumi writes it: `ports.Ethernet1.mtu_bytes`, `command[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += '["' + part.replace('"', '\\"') + '"]'
    return text


def differences(old: Plain, new: Plain, path: Path = ()) -> Iterator[Change]:
    """Yield the deepest paths at which the values differ. An unknown value differs from all."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if key not in new:
                yield Change((*path, key), ChangeKind.DELETE)
            elif key not in old:
                yield Change((*path, key), ChangeKind.ADD)
            else:
                yield from differences(old[key], new[key], (*path, key))
    elif _is_list(old) and _is_list(new):
        yield from _list_differences(old, new, path)
    elif isinstance(new, Unknown) or old != new:
        yield Change(path, ChangeKind.UPDATE)


def _is_list(value: Plain) -> TypeIs[Sequence[Plain]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _list_differences(old: Sequence[Plain], new: Sequence[Plain], path: Path) -> Iterator[Change]:
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        yield from differences(before, after, (*path, index))
    kind = ChangeKind.ADD if len(new) > len(old) else ChangeKind.DELETE
    for index in range(min(len(old), len(new)), max(len(old), len(new))):
        yield Change((*path, index), kind)
