"""The package's Pulumi schema, generated from the models of inputs and outputs."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from provider.resource import Resource
from provider.version import VERSION

_SCALARS: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def package_schema(kinds: Mapping[str, Resource[Any, Any]]) -> dict[str, JsonValue]:
    return {
        "name": "rackform",
        "version": VERSION,
        "resources": {token: _resource_schema(kind) for token, kind in kinds.items()},
    }


def _resource_schema(kind: Resource[Any, Any]) -> JsonValue:
    fields = kind.inputs.model_fields
    return {
        "description": kind.inputs.__doc__,
        "inputProperties": _properties(kind.inputs),
        "requiredInputs": [name for name, field in fields.items() if field.is_required()],
        "properties": _properties(kind.outputs, kind.secret_outputs),
        "required": list[JsonValue](kind.outputs.model_fields),
    }


def _properties(model: type[BaseModel], secret: Iterable[str] = ()) -> dict[str, JsonValue]:
    return {
        name: {**_type(field), "secret": name in secret}
        for name, field in model.model_fields.items()
    }


def _type(field: FieldInfo) -> dict[str, JsonValue]:
    described: dict[str, JsonValue] = {"description": field.description or ""}
    if scalar := _SCALARS.get(field.annotation):
        return {**described, "type": scalar}
    return {**described, "$ref": "pulumi.json#/Any"}
