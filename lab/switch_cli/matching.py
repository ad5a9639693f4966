"""How a typed line is matched against a table of commands, whatever the network OS.

Keywords may be shortened while they stay unique. A command is one line of text: keywords, and
arguments in angle brackets whose meaning the OS gives.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Token:
    text: str
    start: int


@dataclass(frozen=True)
class Command:
    """A line that matched: the command as the table has it, and its arguments by their names."""

    form: str
    arguments: dict[str, str] = field(default_factory=dict)


class Unmatched(Exception):  # noqa: N818 - what happened to the line
    """A line that isn't a command; `index` is the offending token's, counted from 0."""

    def __init__(self, text: str, index: int) -> None:
        super().__init__(text)
        self.text, self.index = text, index


class Unknown(Unmatched):
    """No command has this word here."""


class Ambiguous(Unmatched):
    """Several commands begin like this."""


class Incomplete(Unmatched):
    """The line ends before the command does."""


Argument = Callable[[str, str, list[Token]], tuple[str, int]]
"""(kind, line, tokens) → the argument's value and how many tokens it takes: 0 when none fits."""


def tokenize(line: str) -> list[Token]:
    return [Token(m.group(), m.start()) for m in re.finditer(r"\S+", line)]


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
    attempts: list[_Attempt], index: int, line: str, tokens: list[Token], argument: Argument
) -> list[_Attempt]:
    """Return the attempts that survive token `index`; a keyword wins over an argument."""
    text = tokens[index].text
    due = [a for a in attempts if a.position == index]
    later = [a for a in attempts if a.position > index]
    typed = {k for a in due if (k := a.keyword()) and k.startswith(text.lower())}
    if typed:
        exact = {k for k in typed if k == text.lower()} or typed
        if len(exact) > 1:
            raise Ambiguous(text, index)
        kept = [a for a in due if a.keyword() in exact]
        for attempt in kept:
            attempt.words, attempt.position = attempt.words[1:], index + 1
        return kept
    for attempt in due:
        if attempt.words and attempt.keyword() is None:
            value, taken = argument(attempt.words[0], line, tokens[index:])
            if taken:
                attempt.arguments[attempt.words[0].strip("<>")] = value
                attempt.words, attempt.position = attempt.words[1:], index + taken
                later.append(attempt)
    return later


def match(line: str, forms: Sequence[str], argument: Argument) -> Command:
    """Return the command that a line means.

    Raises:
        Unmatched: which word of it is none of a command's.

    """
    tokens = tokenize(line)
    attempts = [_Attempt(form, form.split()) for form in forms]
    for index, token in enumerate(tokens):
        attempts = _advance(attempts, index, line, tokens, argument)
        if not attempts:
            raise Unknown(token.text, index)
    for attempt in attempts:
        if not attempt.words:
            return Command(attempt.form, attempt.arguments)
    raise Incomplete(tokens[-1].text if tokens else "", len(tokens))


def completions(line: str, forms: Sequence[str], argument: Argument) -> list[str]:
    """Return what may follow the given words: keywords, arguments, and <cr> for the end."""
    tokens = tokenize(line)
    attempts = [_Attempt(form, form.split()) for form in forms]
    for index in range(len(tokens)):
        attempts = _advance(attempts, index, line, tokens, argument)
    return sorted({a.words[0] if a.words else "<cr>" for a in attempts})
