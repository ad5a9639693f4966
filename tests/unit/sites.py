"""Sites to test with: a stack's own, with one setting changed."""

import copy
from typing import Any

from stack.load import read_stack


def changed(stack: str, path: str, value: object) -> dict[str, Any]:
    """Return the stack's site with the setting at the dotted path set."""
    raw = read_stack(stack)
    assert isinstance(raw, dict)
    site: dict[str, Any] = copy.deepcopy(raw)
    *above, last = path.split(".")
    holder = site
    for key in above:
        holder = holder[key]
    holder[last] = value
    return site
