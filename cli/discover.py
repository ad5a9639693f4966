"""Looks at bare machines over SSH and writes a stack file for them; changes nothing on them."""

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import typer
import yaml
from pydantic import BaseModel
from rich.markup import escape

from cli.console import err
from cli.discover_questions import completed
from discover.ask import ask_all
from discover.cards import with_pci_gpus
from discover.findings import findings
from discover.hostkeys import HostKey, shown
from discover.model import Finding, Machine, Severity
from discover.picture import picture
from discover.stackfile import stack_file
from discover.switches import cautions
from discover.wishes import SwitchWish, Wishes
from fabric.open import open_switch
from lab.keys import controller_key
from planner.fleet import fleet
from remote.connection import Connection
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import SiteError, load_site, read_stack
from stack.paths import ROOT, stack_dir
from stack.schema import Site

_COLOURS = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
SSH_PORT = 22


@dataclass(frozen=True)
class Options:
    """Everything that can be said on the command line."""

    addresses: Sequence[str]
    name: str
    user: str
    port: int
    key: Path | None
    accepted: Sequence[str]
    accept_all: bool
    wishes: Wishes
    output: Path | None
    force: bool


class Report(BaseModel):
    """What was found, for programs."""

    machines: tuple[Machine, ...]
    findings: tuple[Finding, ...]
    stack_file: str
    host_keys: dict[str, str]


def discover(options: Options) -> Report:
    """Ask every machine, show what is found, and write the stack file.

    Raises:
        InputError: an address is none or given twice, a key is not accepted, or the file is there.
        Unreachable: a machine can't be reached.

    """
    addresses = _addresses(options.addresses)
    path = options.output or ROOT / "stack" / f"Pulumi.{options.name}.yaml"
    if path.exists() and not options.force:
        raise InputError(f"{path} is there already: choose another --name, or overwrite by --force")
    key_file = options.key or _stack_key(options)
    switches = options.wishes.switches
    asked = [(address, options.port) for address in addresses]
    keys = _host_keys([*asked, *((switch.address, SSH_PORT) for switch in switches)], options)
    asked_all = ask_all(_connections(addresses, options, key_file, keys))
    machines = [with_pci_gpus(machine) for machine in asked_all]
    found = findings(machines)
    err.print(escape(picture(machines)))
    _tell(found)
    wishes = completed(machines, options.wishes)
    wishes = replace(
        wishes,
        controller=wishes.controller or _own_address(addresses[0]),
        private_key_file=str(options.key.absolute()) if options.key else None,
        host_keys=keys,
        switches=[_asked(each, key_file, keys[each.address]) for each in switches],
    )
    text = stack_file(machines, wishes)
    unknown = [*_unknown(_check(text)), *cautions(wishes.switches)]
    _tell(unknown)
    path.write_text(text, encoding="utf-8")
    err.print(
        f"wrote {path}: look at what it marks ASSUMED, then 'pulumi stack select --create"
        f" {options.name}' and 'pulumi preview --stack {options.name}'"
    )
    return Report(
        machines=tuple(machines),
        findings=(*found, *unknown),
        stack_file=text,
        host_keys=keys,
    )


def _asked(switch: SwitchWish, key_file: Path, host_key: str) -> SwitchWish:
    """Return a switch with what it tells of its ports; that it can't be asked is no error."""
    connection = Connection(
        name=switch.name,
        address=switch.address,
        port=SSH_PORT,
        user=switch.user,
        private_key_file=key_file,
        host_key=host_key,
    )
    try:
        with open_switch(switch.os, connection) as asked:
            return replace(switch, host_key=host_key, seen=asked.read())
    except RackformError as error:
        return replace(switch, host_key=host_key, unseen=str(error))


def _tell(found: Sequence[Finding]) -> None:
    for each in found:
        err.print(f"[{_COLOURS[each.severity]}]{each.severity}[/] {escape(each.machine)}: "
                  f"{escape(each.text)}")  # fmt: skip


def _unknown(site: Site) -> list[Finding]:
    """Return what the planner's catalogue lacks: such machines serve, but without a forecast."""
    return [
        Finding(severity=Severity.WARNING, machine=nodes, text=why)
        for nodes, _, why in (each.partition(": ") for each in fleet(site).unknown)
    ]


def _connections(
    addresses: Sequence[str], options: Options, key_file: Path, keys: Mapping[str, str]
) -> list[Connection]:
    return [
        Connection(
            name=address,
            address=address,
            port=options.port,
            user=options.user,
            private_key_file=key_file,
            host_key=keys[address],
        )
        for address in addresses
    ]


def _stack_key(options: Options) -> Path:
    """Return the stack's own key, made now if there is none, and tell what must know it."""
    key = controller_key(stack_dir(options.name))
    err.print(
        f"logging in as {options.user} with the stack's own key: each machine's authorized_keys "
        f"must have this line\n{key.public}"
    )
    return key.private_file


def _addresses(given: Sequence[str]) -> list[str]:
    for address in given:
        try:
            IPv4Address(address)
        except ValueError:
            raise InputError(
                f"'{address}' is no IPv4 address: name each machine by that of its management "
                "interface, such as 192.168.20.11"
            ) from None
    doubles = sorted({address for address in given if list(given).count(address) > 1})
    if doubles:
        raise InputError(f"{doubles[0]} is given twice: name each machine once")
    return list(given)


def _host_keys(asked: Sequence[tuple[str, int]], options: Options) -> dict[str, str]:
    """Show every host key; return those that are accepted, by a person or by their fingerprint."""
    pinned = _pinned(options.name)
    found: dict[str, str] = {}
    for address, port in asked:
        key = _accepted(shown(address, port), pinned.get(address), options)
        if other := next((each for each in found if found[each] == key), None):
            raise InputError(
                f"{other} and {address} show the same host key, so they are one machine, or one is "
                "a copy of the other: name a machine once, and give a copy keys of its own "
                "('rm /etc/ssh/ssh_host_*; ssh-keygen -A')"
            )
        found[address] = key
    return found


def _accepted(key: HostKey, pinned: str | None, options: Options) -> str:
    if pinned == key.key:
        return key.key
    if pinned is not None:
        raise InputError(
            f"{key.address} shows the host key {key.fingerprint}, but stack {options.name} pins "
            "another: find out why before you trust it, then remove the old host_key from the stack"
        )
    kind = key.key.partition(" ")[0]
    err.print(f"{key.address} shows the host key {key.fingerprint} ({kind})")
    if options.accept_all or key.fingerprint in options.accepted:
        return key.key
    if not sys.stdin.isatty():
        raise InputError(
            f"{key.address}: nobody is here to accept {key.fingerprint}: compare it with "
            "'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then add "
            f"--accept-host-key {key.fingerprint}"
        )
    if not typer.confirm("Is that what its console shows?", err=True):
        raise InputError(
            f"{key.address}: its host key was not accepted, so nothing was asked of it"
        )
    return key.key


def _pinned(stack: str) -> dict[str, str]:
    """Return the host keys that the stack pins already, by address."""
    try:
        raw = read_stack(stack)
    except InputError:
        return {}
    found = {}
    for kind in ("nodes", "switches"):
        machines = raw.get(kind) if isinstance(raw, dict) else None
        for machine in machines.values() if isinstance(machines, dict) else ():
            if isinstance(machine, dict) and machine.get("host_key"):
                found[str(machine.get("address"))] = str(machine["host_key"])
    return found


def _own_address(towards: str) -> str:
    """Return the address from which this machine reaches another; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))
        return str(probe.getsockname()[0])


def _check(text: str) -> Site:
    """Return the site of a file; refuse to write one that the next command would refuse.

    Raises:
        InputError: with what is wrong, and what to say on the command line.

    """
    document = yaml.safe_load(text)
    try:
        return load_site(document["config"]["rackform:site"])
    except SiteError as error:
        raise InputError(
            f"what was found makes no valid site yet; correct it by the options: {error}"
        ) from error
