"""What switches and nodes of the twin have in common."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from lab.keys import controller_key
from lab.layout import Twin
from provider.resource import Context
from stack.paths import stack_dir, state_dir, store_dir

_ENGINES: defaultdict[str, Lock] = defaultdict(Lock)


def docker_engine(node: str) -> Lock:
    """Return the lock of a twin node's Docker Engine, which stops for a moment while images come.

    Whoever makes containers there holds it as well.
    """
    return _ENGINES[node]


def twin() -> Twin:
    return Twin(state_dir(), store_dir())


def private_key(ctx: Context) -> Path:
    """Return the controller's private key, made at its first use."""
    return controller_key(stack_dir(ctx.stack)).private_file


def due(power: str, problems: Sequence[str]) -> list[str]:
    return ["power on"] if power == "off" else list(problems)
