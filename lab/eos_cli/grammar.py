"""The commands that the CLI knows, and how a typed line is matched against them.

Keywords may be shortened while they stay unique, as in EOS. What doesn't match is an error in
EOS's words, with the 0-based index of the offending token: `% Invalid input (at token 1: 'x')`
(arista-eosplus/pyeapi's and ntc's recorded responses; EOS prints no caret, unlike IOS).
"""

import re
from collections.abc import Sequence
from enum import IntEnum

from lab.switch_cli import matching
from lab.switch_cli.core import CliError, Context
from lab.switch_cli.matching import Command, Token

MIN_MTU_BYTES = 68


class Level(IntEnum):
    """What a line may be, each level with all that the lower ones have."""

    EXEC = 0
    ENABLE = 1
    CONFIG = 2
    INTERFACE = 3
    QUEUE = 4


MARKING = (
    "random-detect ecn minimum-threshold <low> kbytes maximum-threshold <high> kbytes "
    "max-mark-probability <percent>"
)
COMMANDS: dict[Level, tuple[str, ...]] = {
    Level.EXEC: (
        "enable",
        "disable",
        "exit",
        "quit",
        "logout",
        "terminal length <count>",
        "terminal width <count>",
        "show version",
        "show hostname",
        "show clock",
        "show privilege",
        "show interfaces",
        "show interfaces status",
        "show interfaces description",
        "show interfaces <interface>",
        "show interfaces <interface> status",
        "show lldp neighbors",
        "show lldp neighbors detail",
        "show lldp neighbors <interface>",
        "show lldp neighbors <interface> detail",
    ),
    Level.ENABLE: (
        "configure",
        "configure terminal",
        "configure session",
        "configure session <name>",
        "configure session <name> commit",
        "configure session <name> commit timer <timer>",
        "configure session <name> abort",
        "configure replace <file>",
        "no configure session <name>",
        "copy running-config startup-config",
        "copy startup-config <file>",
        "copy running-config <file>",
        "write",
        "write memory",
        "show running-config",
        "show running-config section <line>",
        "show running-config interfaces <interface>",
        "show startup-config",
        "show configuration sessions",
        "show configuration sessions detail",
        "show session-config",
        "show session-config diffs",
        "show session-config named <name>",
        "show session-config named <name> diffs",
    ),
    Level.CONFIG: (
        "end",
        "abort",
        "commit",
        "commit timer <timer>",
        "rollback clean-config",
        "hostname <name>",
        "no hostname",
        "lldp run",
        "no lldp run",
        "default lldp run",
        "interface <interface>",
        "default interface <interface>",
        "vlan <vlan>",
        "no vlan <vlan>",
    ),
    Level.INTERFACE: (
        "mtu <mtu>",
        "no mtu",
        "default mtu",
        "l2 mtu <mtu>",
        "no l2 mtu",
        "default l2 mtu",
        "description <line>",
        "no description",
        "default description",
        "shutdown",
        "no shutdown",
        "default shutdown",
        "switchport mode access",
        "switchport mode trunk",
        "no switchport mode",
        "switchport access vlan <vlan>",
        "no switchport access vlan",
        "qos trust dscp",
        "no qos trust",
        "priority-flow-control on",
        "no priority-flow-control",
        "priority-flow-control priority <priority> no-drop",
        "no priority-flow-control priority <priority> no-drop",
        "uc-tx-queue <queue>",
    ),
    Level.QUEUE: (
        MARKING,
        "no random-detect ecn",
    ),
}

_RANGES = {
    "<vlan>": (1, 4094),
    "<priority>": (0, 7),
    "<queue>": (0, 7),
    "<low>": (1, 49152),
    "<high>": (1, 49152),
    "<percent>": (1, 100),
}
_INTERFACE = re.compile(r"(?P<kind>e[a-z]*)(?P<number>\d+(?:/\d+)*)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILE = re.compile(r"flash:/?[A-Za-z0-9][A-Za-z0-9_.-]*")
_TIMER = re.compile(r"\d{1,2}:[0-5]\d:[0-5]\d")


def seconds(timer: str) -> int:
    hours, minutes, rest = (int(part) for part in timer.split(":"))
    return hours * 3600 + minutes * 60 + rest


def interface_name(text: str, ports: Sequence[str]) -> str | None:
    """Return the full name of a port that is typed as et1, Eth1 or ethernet1."""
    match = _INTERFACE.fullmatch(text)
    if not match or not "ethernet".startswith(match["kind"].lower()):
        return None
    name = f"Ethernet{match['number']}"
    return name if name in ports else None


def _argument(kind: str, line: str, tokens: list[Token], context: Context) -> tuple[str, int]:
    """Return the argument's value and how many tokens it takes: 0 when it doesn't fit."""
    text = tokens[0].text
    match kind:
        case "<interface>":
            if (
                len(tokens) > 1
                and text.isalpha()
                and (name := interface_name(text + tokens[1].text, context.ports))
            ):
                return name, 2
            name = interface_name(text, context.ports)
            return (name, 1) if name else ("", 0)
        case "<line>":
            return line[tokens[0].start :].rstrip(), len(tokens)
        case "<mtu>":
            in_range = text.isascii() and text.isdecimal() and len(text) < 6  # noqa: PLR2004 - digits
            fits = in_range and MIN_MTU_BYTES <= int(text) <= context.max_mtu_bytes
        case "<vlan>" | "<priority>" | "<queue>" | "<low>" | "<high>" | "<percent>":
            low, high = _RANGES[kind]
            fits = text.isascii() and text.isdecimal() and low <= int(text) <= high
        case "<count>":
            fits = text.isascii() and text.isdecimal() and int(text) <= 32767  # noqa: PLR2004 - EOS's range
        case "<timer>":
            fits = bool(_TIMER.fullmatch(text)) and text.strip("0:") != ""
        case "<file>":
            fits = bool(_FILE.fullmatch(text))
        case _:
            fits = bool(_NAME.fullmatch(text))
    return (text, 1) if fits else ("", 0)


def _arguments(context: Context) -> matching.Argument:
    return lambda kind, line, tokens: _argument(kind, line, tokens, context)


def _match(line: str, among: Sequence[str], context: Context) -> Command:
    try:
        return matching.match(line, among, _arguments(context))
    except matching.Ambiguous as error:
        raise CliError(f"% Ambiguous command (at token {error.index}: '{error.text}')") from None
    except matching.Incomplete:
        raise CliError("% Incomplete command") from None
    except matching.Unmatched as error:
        raise CliError(f"% Invalid input (at token {error.index}: '{error.text}')") from None


def forms(level: Level) -> list[str]:
    return [form for at, table in COMMANDS.items() if at <= level for form in table]


def match(line: str, level: Level, context: Context) -> Command:
    """Return the command that a line means at this level.

    Raises:
        CliError: what EOS prints for a line that is unknown, ambiguous or cut short.

    """
    try:
        return _match(line, forms(level), context)
    except CliError:
        if level is Level.EXEC:
            _match(line, forms(Level.ENABLE), context)
            raise CliError("% Invalid input (privileged mode required)") from None
        raise


def completions(line: str, level: Level, context: Context) -> list[str]:
    """Return what `?` lists after the given words: the keywords and arguments that may follow."""
    try:
        return matching.completions(line, forms(level), _arguments(context))
    except matching.Ambiguous as error:
        raise CliError(f"% Ambiguous command (at token {error.index}: '{error.text}')") from None
