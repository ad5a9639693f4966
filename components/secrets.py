"""Secrets in what pure code rendered: placeholders there, Pulumi secrets here."""

from collections.abc import Mapping
from typing import cast

import pulumi
from pulumi import Input, Output


def placeholder(name: str) -> str:
    """Return the text that stands for a secret while a configuration is rendered."""
    return f"«{name}»"


def fill(text: str, secrets: Mapping[str, Input[str]]) -> Input[str]:
    """Return `text` with every placeholder of `secrets` replaced.

    Only a text that holds one becomes a secret, so that the rest stays readable in a preview.
    """
    used = {name: value for name, value in secrets.items() if placeholder(name) in text}
    if not used:
        return text

    def replace(values: Mapping[str, str]) -> str:
        filled = text
        for name, value in values.items():
            filled = filled.replace(placeholder(name), value)
        return filled

    values = cast("Output[Mapping[str, str]]", Output.all(**used))
    return pulumi.Output.secret(values.apply(replace))
