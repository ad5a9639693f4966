"""`./rackform closure`: what a stack will run, under one hash, as a tree if that is asked for."""

from collections.abc import Iterator

from components.closure import ClosureNode, closure
from stack.load import load_site, read_stack, read_stack_pins

_UNITS = ("B", "kB", "MB", "GB", "TB")


def of_stack(stack: str) -> ClosureNode:
    """Return the closure of what a stack declares now.

    Raises:
        InputError: the site is wrong, or an image's lock doesn't hold.

    """
    return closure(load_site(read_stack(stack)), read_stack_pins(stack))


def tree(node: ClosureNode) -> Iterator[str]:
    """Yield a line for each node, as `nix-store --tree` draws them."""
    yield _line(node)
    yield from _below(node, "")


def _below(node: ClosureNode, indent: str) -> Iterator[str]:
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        yield f"{indent}{'└───' if last else '├───'}{_line(child)}"
        yield from _below(child, indent + ("    " if last else "│   "))


def _line(node: ClosureNode) -> str:
    size = f"  {readable(node.size_bytes)}" if node.size_bytes else ""
    note = f"  [{node.note}]" if node.note else ""
    return f"{node.hash.removeprefix('sha256:')[:32]}-{node.name}{size}{note}"


def readable(size_bytes: int) -> str:
    """Return a size as people read it, with three digits: 1.35 GB."""
    size, unit = float(size_bytes), 0
    while abs(size) >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - three digits
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
