"""A command of several shell lines, told to people in one phrase."""

from pyinfra.api.command import QuoteString, StringCommand
from typing_extensions import override


class Script(StringCommand):
    """Runs `bits` and is shown as `told`."""

    def __init__(self, told: str, *bits: str | QuoteString, stdin: str | None = None) -> None:
        super().__init__(*bits)
        if stdin is not None:
            self.connector_arguments["_stdin"] = stdin
        self.told = told

    @override
    def get_masked_value(self) -> str:
        return self.told
