"""From configuration to a `Site`: every error of it, of every kind, told at once."""

import copy
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from stack.checks import cross_errors
from stack.draft import Draft
from stack.errors import InputError
from stack.hints import SettingError, key_path, sentence
from stack.paths import ROOT
from stack.schema import Site

_PINS = TypeAdapter(
    dict[
        Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")],
        Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
    ]
)


class SiteError(InputError):
    """What is wrong with a site: `errors` holds all of it, one sentence each, sorted by path."""

    def __init__(self, errors: list[SettingError]) -> None:
        self.errors = tuple(sorted(set(errors)))
        count = "1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        lines = [f"{count} in rackform:site", *(str(error) for error in self.errors)]
        super().__init__("\n  ".join(lines))


def load_site(raw: object) -> Site:
    """Return the site that `raw`, the value of `rackform:site`, declares.

    Raises:
        SiteError: with every error of the site.

    """
    if not isinstance(raw, dict):
        raise SiteError(
            [
                SettingError(
                    "rackform:site",
                    "rackform:site is missing from this stack's configuration, but it declares all"
                    " that is to run: copy it from stack/Pulumi.lab.yaml",
                )
                if raw is None
                else SettingError(
                    "rackform:site",
                    "rackform:site has one value, but it is a mapping of settings: set one of"
                    " them, as with pulumi config set --path 'rackform:site.fabric.mtu_bytes' 9000",
                )
            ]
        )
    try:
        site = Site.model_validate(raw)
    except ValidationError as error:
        found = [sentence(details, raw) for details in _causes(error)]
        draft = _without_errors(raw, error)
        raise SiteError([*found, *(_beyond(draft) if draft else ())]) from None
    if found := list(cross_errors(Draft.of(site))):
        raise SiteError(found)
    return site


def read_stack(stack: str, root: Path = ROOT) -> object:
    """Return the unchecked value of `rackform:site` in a stack's file, None where it has none.

    For commands that need no Pulumi. Raises `InputError` where there is no such stack, or its file
    is not YAML.
    """
    return _config(stack, root).get("rackform:site")


def read_stack_pins(stack: str, root: Path = ROOT) -> dict[str, str]:
    """Return the images that a rollback pinned in a stack's file: image/variant → input hash."""
    return read_pins(_config(stack, root).get("rackform:pinned"))


def read_pins(raw: object) -> dict[str, str]:
    """Return the value of `rackform:pinned`, checked.

    Raises:
        InputError: it is not what a rollback writes.

    """
    try:
        return _PINS.validate_python(raw or {})
    except ValidationError:
        raise InputError(
            f"rackform:pinned = {raw}, but a rollback writes it as image/variant: input hash: "
            "remove it ('pulumi config rm rackform:pinned')"
        ) from None


def _config(stack: str, root: Path) -> dict[object, object]:
    path = root / "stack" / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        there = sorted(file.name[7:-5] for file in path.parent.glob("Pulumi.*.yaml"))
        raise InputError(
            f"stack = {stack}, but {path} does not exist: choose one of {', '.join(there)}, or"
            " write that file"
        )
    return _settings_in(_document(path))


def read_site(path: Path) -> object:
    """Return the unchecked site of any file: a stack's file, or a site by itself.

    Raises `InputError` where there is no such file, or it is not YAML.
    """
    if not path.is_file():
        raise InputError(f"--site = {path}, but there is no such file: name a stack's file")
    document = _document(path)
    is_stack = isinstance(document, dict) and "config" in document
    return _settings_in(document).get("rackform:site") if is_stack else document


class _TwiceError(yaml.YAMLError):
    """A mapping names something twice."""


class _Loader(yaml.SafeLoader):
    """YAML as Pulumi reads it, too: of what stands there twice the last would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as the base has it
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if former := first.get(str(key.value)):
                raise _TwiceError(
                    f"line {line}: {key.value} stands there twice (first in line {former}), but a"
                    " name means one thing: rename one, or remove it"
                )
            first[str(key.value)] = line
        return super().construct_mapping(node, deep)


def _document(path: Path) -> object:
    try:
        found: object = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except _TwiceError as error:
        raise InputError(f"{path}, {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not YAML ({reason}): correct it") from None
    return found


def _settings_in(document: object) -> dict[object, object]:
    config = document.get("config") if isinstance(document, dict) else None
    return config if isinstance(config, dict) else {}


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors without 'too few' where the ones given are just wrong."""
    every = error.errors()
    return [
        details
        for details in every
        if details["type"] != "too_short"
        or not any(_is_within(other["loc"], details["loc"]) for other in every)
    ]


def _is_within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _beyond(draft: Draft) -> Iterator[SettingError]:
    """Yield the errors across settings that a stand-in has no part in."""
    stood_in = tuple(f"{name}." for name in _STAND_INS if name in draft.lost)
    return (error for error in cross_errors(draft) if not f"{error.path}.".startswith(stood_in))


_STAND_INS: dict[str, object] = {
    "name": "unnamed",
    "fabric": {"subnet": "10.0.0.0/8"},
    "nodes": {"unnamed": {"address": "0.0.0.1", "fabric_address": "0.0.0.2", "roles": ["head"]}},
    "models": {"unnamed": {"source": "hf:unnamed/unnamed", "revision": "0" * 40}},
}
"""What takes the place of a required section of which nothing is left, for the rules' sake."""


def _without_errors(raw: dict[object, object], error: ValidationError) -> Draft | None:
    """Return the part of the site that has the right shape, for the rules across settings."""
    left = copy.deepcopy(raw)
    lost: set[str] = set()
    for _ in range(8):  # each round cuts one level higher; the site is five levels deep
        for details in sorted(error.errors(), key=lambda each: -len(each["loc"])):
            path = key_path(details["loc"], left)
            unknown = details["type"] == "extra_forbidden"
            absent = details["type"] == "missing"
            _cut(left, path[:-1] if absent else path, set() if unknown else lost)
        for name, stand_in in _STAND_INS.items():
            if left.get(name) in (None, {}):
                left[name] = stand_in
                lost.add(name)
        try:
            return Draft(Site.model_validate(left), frozenset(lost), _names(raw))
        except ValidationError as again:
            error = again
    return None


def _cut(raw: object, path: list[object], lost: set[str]) -> None:
    """Remove the setting at `path`; an element of a list goes with the whole list."""
    if not path:
        return
    holder = raw
    for key in path[:-1]:
        holder = _child(holder, key)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
        lost.add(".".join(str(key) for key in path))
    else:
        _cut(raw, path[:-1], lost)


def _child(holder: object, key: object) -> object:
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, list) and isinstance(key, int) and key < len(holder):
        return holder[key]
    return None


def _names(raw: dict[object, object]) -> dict[str, frozenset[str]]:
    """Return the names that the site gives, right or wrong, so that no reference seems unknown."""
    power = raw.get("power")
    holders = {
        "nodes": raw.get("nodes"),
        "switches": raw.get("switches"),
        "circuits": power.get("circuits") if isinstance(power, dict) else None,
    }
    return {
        kind: frozenset(str(name) for name in holder) if isinstance(holder, dict) else frozenset()
        for kind, holder in holders.items()
    }
