"""Between Pulumi's property values and plain JSON values.

The SDK's own conversion leaves an unknown value as the string that stands for it on the wire, so
that is told apart here. Whole numbers come as floats and leave as floats; in between they are int.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN as WIRE_UNKNOWN


class Unknown(Enum):
    """What a preview can't know yet."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
Plain: TypeAlias = (
    bool | int | float | str | Unknown | Sequence["Plain"] | Mapping[str, "Plain"] | None
)
Properties: TypeAlias = Mapping[str, PropertyValue]


def plain(value: PropertyValue) -> Plain:
    """Return the value without its secret marks; assets and references are refused."""
    match value.value:
        case str() as text:
            return UNKNOWN if text == WIRE_UNKNOWN else text
        case None | bool():
            return value.value
        case float() as number:
            return int(number) if number.is_integer() else number
        case Mapping() as items:
            return {key: plain(item) for key, item in items.items()}
        case Sequence() as items:
            return [plain(item) for item in items]
        case other:
            raise TypeError(f"a {type(other).__name__} is no input of a rackform resource")


def plain_map(values: Properties) -> dict[str, Plain]:
    return {key: plain(value) for key, value in values.items()}


def wire(value: Plain) -> PropertyValue:
    """Return the property value that says the same."""
    match value:
        case Unknown():
            return PropertyValue(WIRE_UNKNOWN)
        case None | bool() | str():
            return PropertyValue(value)
        case int() | float():
            return PropertyValue(float(value))
        case Mapping():
            return PropertyValue({key: wire(item) for key, item in value.items()})
        case _:
            return PropertyValue([wire(item) for item in value])


def wire_map(values: Mapping[str, Plain], secret: Collection[str] = ()) -> dict[str, PropertyValue]:
    """Return property values, those of the keys in `secret` marked as secrets."""
    return {key: wire(value).with_secret(key in secret) for key, value in values.items()}


def has_unknown(value: Plain) -> bool:
    match value:
        case Unknown():
            return True
        case str():
            return False
        case Mapping():
            return any(has_unknown(item) for item in value.values())
        case Sequence():
            return any(has_unknown(item) for item in value)
        case _:
            return False


def secret_keys(values: Properties) -> frozenset[str]:
    """Return the top-level keys that hold a secret at any depth."""
    return frozenset(key for key, value in values.items() if value.contains_secret())


def secret_texts(values: Properties) -> frozenset[str]:
    """Return every text that a secret among the values holds: what no message may repeat."""
    return frozenset(text for value in values.values() for text in _secret_texts(value))


def _secret_texts(value: PropertyValue, *, inherited: bool = False) -> Iterator[str]:
    secret = inherited or value.is_secret
    match value.value:
        case str() as text:
            if secret and text != WIRE_UNKNOWN:
                yield text
        case Mapping() as items:
            for item in items.values():
                yield from _secret_texts(item, inherited=secret)
        case Sequence() as items:
            for item in items:
                yield from _secret_texts(item, inherited=secret)
        case _:
            return
