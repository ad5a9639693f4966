"""The command line itself, and the options that commands share."""

from typing import Annotated

import typer

app = typer.Typer(
    name="rackform",
    help="A rack of GPU machines as one inference appliance.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Stack = Annotated[
    str, typer.Option("--stack", "-s", envvar="RACKFORM_STACK", help="the environment to act on")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
