"""Validation of declared inputs, some of which may be unknown in a preview."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from provider.inputs import Inputs
from provider.paths import notation
from provider.resource import Draft
from provider.values import Plain, has_unknown

InputsT = TypeVar("InputsT", bound=Inputs)
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Failure:
    path: str
    reason: str


def draft(model: type[InputsT], fields: Mapping[str, Plain]) -> Draft[InputsT]:
    """Return the inputs as far as they are known; they have passed `failures` before."""
    complete = None if has_unknown(fields) else model.model_validate(fields)
    return Draft(model, fields, complete)


def failures(
    model: type[Inputs], fields: Mapping[str, Plain], secret: Collection[str] = ()
) -> list[Failure]:
    """Return what is wrong with the known fields; a field that holds anything unknown passes."""
    known = {name: value for name, value in fields.items() if not has_unknown(value)}
    undecided = fields.keys() - known.keys()
    try:
        model.model_validate(known)
    except ValidationError as error:
        return [
            _failure(detail, secret)
            for detail in error.errors(include_url=False)
            if not (detail["type"] == "missing" and detail["loc"][0] in undecided)
        ]
    return []


def _failure(detail: ErrorDetails, secret: Collection[str]) -> Failure:
    path = notation(detail["loc"])
    reason = detail["msg"][0].lower() + detail["msg"][1:]
    if detail["type"] in ("missing", "extra_forbidden") or detail["loc"][0] in secret:
        return Failure(path, reason)
    value = repr(detail["input"])
    shown = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "…"
    return Failure(path, f"{shown}: {reason}")
