"""The time zone of the machine."""

from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations.facts import Timezone


@operation()
def set_timezone(timezone: str) -> Generator[StringCommand, None, None]:
    if host.get_fact(Timezone) == timezone:
        host.noop(f"the time zone is {timezone}")
        return
    yield StringCommand("timedatectl", "set-timezone", QuoteString(timezone))
