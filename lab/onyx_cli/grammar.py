"""The lines that Onyx's CLI knows, and what it says to those that it doesn't."""

import re
from collections.abc import Sequence

from lab.onyx_cli.model import FORMS
from lab.switch_cli import matching
from lab.switch_cli.core import CliError, Context
from lab.switch_cli.matching import Command, Token

MIN_MTU_BYTES = 1500
_RANGES = {
    "<vlan>": (1, 4094),
    "<priority>": (0, 7),
    "<queue>": (0, 7),
    "<low>": (1, 65535),
    "<high>": (1, 65535),
    "<id>": (1, 65535),
    "<number>": (1, 65535),
}
_PATTERNS = {
    "<time>": re.compile(r"[0-2]?\d:[0-5]\d:[0-5]\d"),
    "<date>": re.compile(r"\d{4}/\d{1,2}/\d{1,2}"),
    "<trust>": re.compile(r"L2|L3|both"),
    "<name>": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*"),
}
SHOW = (
    "show version",
    "show clock",
    "show jobs",
    "show users",
    "show running-config",
    "show configuration",
    "show interfaces ethernet status | json-print",
    "show lldp interfaces ethernet remote",
)
SESSION = ("no cli session paging enable", "no cli session prefix-modes enable")
EXEC = ("enable", "exit", *SESSION, *SHOW)
ENABLE = (*EXEC, "configure terminal", "disable")
CONFIG = (
    *ENABLE,
    *FORMS,
    "configuration write",
    "job <id> name <name>",
    "job <id> command <number> <line>",
    "job <id> fail-continue",
    "job <id> schedule type once",
    "job <id> schedule once time <time> date <date>",
    "job <id> enable",
    "job <id> execute",
    "no job <id>",
)


def _unquoted(text: str) -> str | None:
    """Return the rest of a line as one argument: bare, or in quotes with escaped ones inside."""
    if not text.startswith('"'):
        return None if '"' in text else text
    found = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None


def _argument(kind: str, line: str, tokens: list[Token], context: Context) -> tuple[str, int]:
    text = tokens[0].text
    number = int(text) if text.isascii() and text.isdecimal() else None
    if kind == "<port>":
        return (f"Eth{text}", 1) if f"Eth{text}" in context.ports else ("", 0)
    if kind == "<line>":
        rest = _unquoted(line[tokens[0].start :].rstrip())
        return (rest, len(tokens)) if rest is not None else ("", 0)
    if kind == "<mtu>":
        fits = number is not None and MIN_MTU_BYTES <= number <= context.max_mtu_bytes
    elif kind in _RANGES:
        low, high = _RANGES[kind]
        fits = number is not None and low <= number <= high
    else:
        fits = bool(_PATTERNS[kind].fullmatch(text))
    return (text, 1) if fits else ("", 0)


def match(line: str, forms: Sequence[str], context: Context) -> Command:
    """Return the command that a line means.

    Raises:
        CliError: what Onyx prints for a line that is unknown, ambiguous or cut short.

    """
    try:
        return matching.match(line, forms, lambda k, ln, tokens: _argument(k, ln, tokens, context))
    except matching.Ambiguous as error:
        raise CliError(f'% Ambiguous command "{line.strip()}" at "{error.text}".') from None
    except matching.Incomplete:
        raise CliError("% Incomplete command, or wrong argument.") from None
    except matching.Unmatched as error:
        raise CliError(f'% Unrecognized command "{error.text}".') from None
