"""One table of nftables, in force as its file has it; the tables of others are never touched."""

import shlex
from collections.abc import Callable, Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.change import never


class TableInForce(FactBase[bool]):
    """Whether a table in force is, rule for rule, what its file would make of it.

    The file is loaded in a network namespace that lives as long as the question, and nft itself
    prints both: how it words a rule differs from version to version.
    """

    @override
    def command(self, table: str, path: str) -> str:
        show = f"nft -s list table {table}"
        load = shlex.quote(f"nft -f {shlex.quote(path)} && {show}")
        return (
            f"if live=$({show} 2>/dev/null) && due=$(unshare --net sh -c {load} 2>/dev/null)"
            ' && [ "$live" = "$due" ]; then echo same; fi'
        )

    @staticmethod
    @override
    def default() -> bool:
        return False

    @override
    def process(self, output: list[str]) -> bool:
        return output == ["same"]


@operation()
def load_table(
    table: str, path: str, load_if: Callable[[], bool] = never
) -> Generator[StringCommand, None, None]:
    """Load `path`, which replaces `table` in one transaction, unless the table is as it has it."""
    if host.get_fact(TableInForce, table=table, path=path) and not load_if():
        host.noop(f"the table {table} is as {path} has it")
        return
    yield Recorded(StringCommand("nft", "-f", QuoteString(path)), before.table(table))
