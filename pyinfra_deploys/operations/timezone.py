"""The time zone of the machine."""

from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.facts import Timezone


@operation()
def set_timezone(timezone: str) -> Generator[StringCommand, None, None]:
    if host.get_fact(Timezone) == timezone:
        host.noop(f"the time zone is {timezone}")
        return
    # It keeps for a while what it read, and does nothing where it takes the zone for set.
    yield StringCommand("systemctl stop systemd-timedated.service")
    setting = StringCommand("timedatectl", "set-timezone", QuoteString(timezone))
    yield Recorded(setting, before.file("/etc/localtime"), before.file("/etc/timezone"))
