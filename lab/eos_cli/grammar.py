"""The commands that the CLI knows, and how a typed line is matched against them.

Keywords may be shortened while they stay unique, as in EOS. What doesn't match is an error in
EOS's words, with the 0-based index of the offending token: `% Invalid input (at token 1: 'x')`
(arista-eosplus/pyeapi's and ntc's recorded responses; EOS prints no caret, unlike IOS).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

MIN_MTU_BYTES = 68


class Level(IntEnum):
    """What a line may be, each level with all that the lower ones have."""

    EXEC = 0
    ENABLE = 1
    CONFIG = 2
    INTERFACE = 3


class CliError(Exception):
    """A line that is refused; the message is what the switch prints, starting with '%'."""


@dataclass(frozen=True)
class Context:
    """What the arguments are checked against."""

    ports: tuple[str, ...]
    max_mtu_bytes: int


@dataclass(frozen=True)
class Token:
    text: str
    start: int


@dataclass(frozen=True)
class Command:
    """A line that matched: the command as the table has it, and its arguments by their names."""

    form: str
    arguments: dict[str, str] = field(default_factory=dict)


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
    ),
}

_INTERFACE = re.compile(r"(?P<kind>e[a-z]*)(?P<number>\d+(?:/\d+)*)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILE = re.compile(r"flash:/?[A-Za-z0-9][A-Za-z0-9_.-]*")
_TIMER = re.compile(r"\d{1,2}:[0-5]\d:[0-5]\d")


def tokenize(line: str) -> list[Token]:
    return [Token(m.group(), m.start()) for m in re.finditer(r"\S+", line)]


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
        case "<count>":
            fits = text.isascii() and text.isdecimal() and int(text) <= 32767  # noqa: PLR2004 - EOS's range
        case "<timer>":
            fits = bool(_TIMER.fullmatch(text)) and text.strip("0:") != ""
        case "<file>":
            fits = bool(_FILE.fullmatch(text))
        case _:
            fits = bool(_NAME.fullmatch(text))
    return (text, 1) if fits else ("", 0)


@dataclass
class _Attempt:
    """One table entry on its way through the typed tokens."""

    form: str
    words: list[str]
    arguments: dict[str, str] = field(default_factory=dict)
    position: int = 0

    def keyword(self) -> str | None:
        """Return the keyword that is due next, or None for an argument or the end."""
        word = self.words[0] if self.words else "<"
        return None if word.startswith("<") else word


def _advance(
    attempts: list[_Attempt], index: int, line: str, tokens: list[Token], context: Context
) -> list[_Attempt]:
    """Return the attempts that survive token `index`; a keyword wins over an argument."""
    text = tokens[index].text
    due = [a for a in attempts if a.position == index]
    later = [a for a in attempts if a.position > index]
    typed = {k for a in due if (k := a.keyword()) and k.startswith(text.lower())}
    if typed:
        exact = {k for k in typed if k == text.lower()} or typed
        if len(exact) > 1:
            raise CliError(f"% Ambiguous command (at token {index}: '{text}')")
        kept = [a for a in due if a.keyword() in exact]
        for attempt in kept:
            attempt.words, attempt.position = attempt.words[1:], index + 1
        return kept
    for attempt in due:
        if attempt.words and attempt.keyword() is None:
            value, taken = _argument(attempt.words[0], line, tokens[index:], context)
            if taken:
                attempt.arguments[attempt.words[0].strip("<>")] = value
                attempt.words, attempt.position = attempt.words[1:], index + taken
                later.append(attempt)
    return later


def _match(line: str, forms: Sequence[str], context: Context) -> Command:
    tokens = tokenize(line)
    attempts = [_Attempt(form, form.split()) for form in forms]
    for index, token in enumerate(tokens):
        attempts = _advance(attempts, index, line, tokens, context)
        if not attempts:
            raise CliError(f"% Invalid input (at token {index}: '{token.text}')")
    for attempt in attempts:
        if not attempt.words:
            return Command(attempt.form, attempt.arguments)
    raise CliError("% Incomplete command")


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
    tokens = tokenize(line)
    attempts = [_Attempt(form, form.split()) for form in forms(level)]
    for index in range(len(tokens)):
        attempts = _advance(attempts, index, line, tokens, context)
    return sorted({a.words[0] if a.words else "<cr>" for a in attempts})
