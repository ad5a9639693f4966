"""A systemd service that runs, is started at boot, and knows its present configuration."""

from collections.abc import Callable, Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations.change import never
from pyinfra_deploys.operations.facts import Unit


@operation()
def run_service(
    unit: str,
    restart_if: Callable[[], bool] = never,
    at_boot_if: Callable[[], bool] = never,
) -> Generator[StringCommand, None, None]:
    """Enable and start `unit`; restart it if it runs already and `restart_if` holds.

    Where `at_boot_if` holds it is only enabled: it could not start before the reboot that is due.
    """
    present = host.get_fact(Unit, unit=unit)
    name = QuoteString(unit)
    if present.stale:
        yield StringCommand("systemctl", "daemon-reload")
    if not present.enabled:
        yield StringCommand("systemctl", "enable", "-q", name)
    if at_boot_if():
        return
    if not present.active:
        # A unit that failed too often in a row would refuse to start.
        yield StringCommand(
            "systemctl", "reset-failed", name, "2>/dev/null;", "systemctl", "start", name
        )
    elif restart_if():
        yield StringCommand("systemctl", "restart", name)
