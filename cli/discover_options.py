"""What `./rackform discover` is told by options whose values have parts."""

import os
import re
from ipaddress import IPv4Network
from pathlib import Path

from discover.wishes import CableWish, CircuitWish, SwitchWish
from fabric.limits import LIMITS
from remote import keys
from remote.errors import RackformError
from stack.errors import InputError

_USERS = {"cumulus": "cumulus"}
"""The login that a switch's system comes with, where that isn't admin."""
_SWITCH = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,11})=(?P<os>\w+)@(?P<address>[\d.]+)")
_CABLE = re.compile(r"(?P<switch>[a-z][a-z0-9-]*)\.(?P<port>[\w/]+)=(?P<node>[\w.-]+)")
_CIRCUIT = re.compile(
    r"(?P<name>[a-z][a-z0-9-]*)=(?P<volts>\d+)x(?P<amps>\d+(?:\.\d+)?)(?::(?P<nodes>[\w.,-]+))?"
)


def switch(text: str) -> SwitchWish:
    found = _SWITCH.fullmatch(text)
    if not found or found["os"] not in LIMITS:
        raise InputError(
            f"--switch {text}: write NAME=OS@ADDRESS, where OS is one of {', '.join(LIMITS)}: "
            "tor1=sonic@192.168.20.5"
        )
    user = _USERS.get(found["os"], "admin")
    return SwitchWish(found["name"], found["os"], found["address"], user)


def cable(text: str) -> CableWish:
    found = _CABLE.fullmatch(text)
    if not found:
        raise InputError(
            f"--cable {text}: write SWITCH.PORT=NODE, the node by its name or address: "
            "tor1.Ethernet4=192.168.20.11"
        )
    return CableWish(found["switch"], found["port"], found["node"])


def circuit(text: str) -> CircuitWish:
    found = _CIRCUIT.fullmatch(text)
    if not found:
        raise InputError(
            f"--circuit {text}: write NAME=VOLTSxAMPS, and with ':NODE,NODE' which nodes it feeds "
            "where it is not all: a=240x20:gpu1,gpu2"
        )
    nodes = found["nodes"].split(",") if found["nodes"] else ()
    return CircuitWish(found["name"], int(found["volts"]), float(found["amps"]), nodes)


def subnet(text: str | None) -> IPv4Network | None:
    """Return a subnet given as an option."""
    if text is None:
        return None
    try:
        return IPv4Network(text)
    except ValueError:
        raise InputError(
            f"--fabric-subnet {text}: write an unused subnet such as 10.78.0.0/24"
        ) from None


def key_file(text: str | None) -> Path | None:
    """Return the private key given as an option.

    Raises:
        InputError: it can't be used.

    """
    if text is None:
        return None
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - a ~ that a shell left, as in --key=~/x
    try:
        keys.ready(path)
    except RackformError as error:
        raise InputError(f"--key {text}: {error}") from None
    return path
