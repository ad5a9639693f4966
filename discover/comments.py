"""Comments in a stack file."""

import textwrap
from collections.abc import Iterator

_WIDTH = 94


def comment(indent: int, text: str) -> Iterator[str]:
    """Yield a text as lines of a comment, none longer than a stack file's lines are."""
    mark = " " * indent + "# "
    yield from (mark + line for line in textwrap.wrap(text, _WIDTH - len(mark)))
