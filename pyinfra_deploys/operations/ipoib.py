"""How an interface of IP over InfiniBand sends: datagrams, or connected."""

from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override


class IpoibMode(FactBase[str]):
    """The mode of an interface; empty while its module isn't loaded."""

    @override
    def command(self, interface: str) -> str:
        return f"cat /sys/class/net/{interface}/mode 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> str:
        return ""

    @override
    def process(self, output: list[str]) -> str:
        return "".join(output).strip()


@operation()
def set_ipoib_mode(interface: str, mode: str, script: str) -> Generator[StringCommand, None, None]:
    """Load the modules and set the mode now; the script tells what the card can't do."""
    if host.get_fact(IpoibMode, interface=interface) == mode:
        host.noop(f"{interface} is {mode}")
        return
    yield StringCommand(QuoteString(script))
