"""Errors of one setting as sentences: path = value, rule: remedy."""

import difflib
import json
import re
from types import UnionType
from typing import Annotated, Final, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from stack.schema import Site
from stack.settings import Settings

_TAGS: Final = ("auto", "split")  # pydantic's names for the two forms of `parallelism`
_LONGEST_VALUE: Final = 60
_LIKENESS: Final = 0.5  # one wrong letter in a word of two is still near


class SettingError(NamedTuple):
    """One error: the path of the setting, by which errors are sorted, and the sentence."""

    path: str
    text: str

    def __str__(self) -> str:
        return self.text


def told(path: str, value: object, rest: str) -> SettingError:
    """Return the error 'path = value, rest'; `rest` is 'rule: remedy'."""
    return SettingError(path, f"{path} = {shown(value)}, {rest}")


def shown(value: object) -> str:
    """Return a value as one would write it in the stack file, on one line and cut if long."""
    if isinstance(value, str) and re.fullmatch(r"[^\s'\"\[\]{},#]+", value):
        text = value
    else:
        text = _json(value)
    text = _printable(text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _json(value: object) -> str:
    """Return a value as JSON; as Python shows it where JSON has no such thing (a loop, a date)."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return "a value that is no plain data"


def _printable(text: str) -> str:
    """Return text that stays on its line and tells a terminal nothing."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def nearest(word: str, known: list[str]) -> str | None:
    """Return the known word that a person who wrote `word` most likely meant."""
    folded = {each.lower().replace("-", "_"): each for each in known}
    close = difflib.get_close_matches(
        word.lower().replace("-", "_"), list(folded), n=1, cutoff=_LIKENESS
    )
    return folded[close[0]] if close else None


def suggestion(word: str, known: list[str]) -> str:
    """Return the remedy for an unknown word: the nearest known one, or all of them."""
    if not known:
        return "declare it first"
    if near := nearest(word, known):
        return f"did you mean {near}?"
    return f"choose one of {', '.join(sorted(known))}"


def key_path(loc: tuple[int | str, ...], raw: object) -> list[object]:
    """Return pydantic's location as the keys that lead there in the site as written."""
    path: list[object] = []
    holder = raw
    for part in loc:
        if part == "[key]" or (path[-1:] == ["parallelism"] and part in _TAGS):
            continue
        key: object = part
        if isinstance(holder, dict):
            # YAML may give a key that is no text (a number, true), which pydantic shows as text.
            key = next((each for each in holder if str(each) == str(part)), part)
            holder = holder.get(key)
        elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            holder = holder[part]
        else:
            holder = None
        path.append(key)
    return path


def dotted(path: list[object]) -> str:
    """Return a path as `pulumi config set --path` takes it, after 'rackform:site.'."""
    text = ""
    for key in path:
        if isinstance(key, int) and not isinstance(key, bool):
            text += f"[{key}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", str(key)):
            text += f".{key}"
        else:
            text += f"[{_printable(json.dumps(str(key), ensure_ascii=False))}]"
    return text.removeprefix(".")


def sentence(details: ErrorDetails, raw: object) -> SettingError:
    """Return one of pydantic's errors as a sentence."""
    path = key_path(details["loc"], raw)
    where = dotted(path)
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        described = _description(path)
        return SettingError(where, f"{where} is missing, but it is needed: set it ({described})")
    if kind == "extra_forbidden":
        rest = f"but there is no such setting: {_unknown_key(path)}"
        return told(where, value, rest)
    if kind in ("enum", "literal_error"):
        allowed = re.findall(r"'([^']*)'", str(context.get("expected")))
        if path[-1:] == ["parallelism"]:
            return told(where, value, "but only auto or {tensor, pipeline} is allowed: write one")
        rest = f"but only {', '.join(allowed)} is known here: {suggestion(str(value), allowed)}"
        return told(where, value, rest)
    return told(where, value, _rest(kind, context))


def _rest(kind: str, context: dict[str, object]) -> str:
    bounds = {
        "greater_than_equal": ("at least", "ge", "raise"),
        "greater_than": ("more than", "gt", "raise"),
        "less_than_equal": ("at most", "le", "lower"),
        "less_than": ("less than", "lt", "lower"),
    }
    if kind in bounds:
        words, key, act = bounds[kind]
        return f"but {words} {context.get(key):g} is allowed: {act} it"
    known = {
        "rule": str(context.get("text")),
        "too_short": "but at least one is needed: add one",
        "dict_type": "but a mapping is needed: write 'name: value' lines under it",
        "model_type": "but a mapping is needed: write 'setting: value' lines under it",
        "model_attributes_type": "but a mapping is needed: write 'setting: value' lines under it",
        "list_type": "but a list is needed: put it in brackets, as in [a, b]",
        "tuple_type": "but a list is needed: put it in brackets, as in [a, b]",
        "path_type": "but a path is needed: write one such as ~/.ssh/id_ed25519",
        "string_type": "but text is needed: put it in quotes",
    }
    return known.get(kind, f"but it is not valid ({kind}): see docs/site.md")


def _unknown_key(path: list[object]) -> str:
    name = str(path[-1])
    holder = _model_at(path[:-1])
    known = list(holder.model_fields) if holder else []
    if near := nearest(name, known):
        return f"did you mean {near}?"
    if elsewhere := [where for where, key in _all_settings(Site) if key == name]:
        return f"did you mean {elsewhere[0]}?"
    return suggestion(name, known)


def _description(path: list[object]) -> str:
    holder = _model_at(path[:-1])
    field = holder.model_fields.get(str(path[-1])) if holder else None
    return (field.description or "see docs/site.md").rstrip(".") if field else "see docs/site.md"


def _model_at(path: list[object]) -> type[BaseModel] | None:
    """Return the model whose fields are the keys at `path`."""
    here: object = Site
    for key in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(key))
            here = field.annotation if field else None
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        here = _settings_in(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _settings_in(annotation: object) -> object:
    """Return the model in an annotation such as `Gpus | None`, or the annotation itself."""
    if get_origin(annotation) is Annotated:
        return _settings_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = (_settings_in(each) for each in get_args(annotation))
        return next((each for each in inner if _is_settings(each)), annotation)
    return annotation


def _is_settings(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _all_settings(model: type[BaseModel], before: str = "") -> list[tuple[str, str]]:
    """Return (path, name) of every setting, `<name>` standing for the name of an entry."""
    found = []
    for name, field in model.model_fields.items():
        found.append((before + name, name))
        inner = _settings_in(field.annotation)
        step = f"{before}{name}."
        if get_origin(inner) is dict:
            inner, step = _settings_in(get_args(inner)[1]), f"{before}{name}.<name>."
        if isinstance(inner, type) and issubclass(inner, Settings):
            found += _all_settings(inner, step)
    return found
