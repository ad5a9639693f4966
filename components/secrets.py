"""Secrets in what pure code rendered: placeholders there, Pulumi secrets here."""

import re
from collections.abc import Mapping
from typing import cast

import pulumi
from pulumi import Input, Output

from stack.errors import InputError
from stack.schema import Site

ROUTE_SECRETS = "rackform:route_secrets"
_ADDRESS = re.compile(r"https?://[\w.-]+(:\d+)?(/[^\s\"'#«»]*)?", re.ASCII)


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


def of_routes(raw: object, site: Site) -> dict[str, str]:
    """Return route of monitoring → its secret in the clear, from `rackform:route_secrets`.

    Raises:
        InputError: a secret is for no route, is no text, or one is missing. It is not told.

    """
    declared = site.monitoring.routes if site.monitoring else {}
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise InputError(
            "rackform:route_secrets has one value, but it is a mapping of routes: set one of them,"
            " as with pulumi config set --secret --path 'rackform:route_secrets.ROUTE'"
        )
    for route, value in raw.items():
        if route not in declared:
            known = ", ".join(declared) or "none"
            raise InputError(
                f"rackform:route_secrets.{route} is for no route of monitoring.routes ({known}):"
                " declare that route, or remove the secret with pulumi config rm --path"
            )
        if not (isinstance(value, str) and value):
            raise InputError(
                f"rackform:route_secrets.{route} is no text, but a token or a password is one: set"
                f" it anew, with pulumi config set --secret --path 'rackform:route_secrets.{route}'"
            )
    for route, told in declared.items():
        if told.user and route not in raw:
            raise InputError(
                f"monitoring.routes.{route}.user = {told.user}, but a login needs its password: set"
                f" it with pulumi config set --secret --path 'rackform:route_secrets.{route}', or"
                " remove the user"
            )
        if told.kind == "webhook" and not told.url and not _ADDRESS.fullmatch(raw.get(route, "")):
            raise InputError(
                f"monitoring.routes.{route} has no url, so its secret is to be its whole address,"
                " such as https://HOST/PATH?key=…, and isn't: set it with pulumi config set"
                f" --secret --path 'rackform:route_secrets.{route}', or set url"
            )
    return dict(raw)
