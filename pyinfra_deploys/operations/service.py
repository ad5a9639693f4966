"""A systemd service that runs, is started at boot, and knows its present configuration."""

from collections.abc import Callable, Generator, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.change import never
from pyinfra_deploys.operations.facts import Unit
from pyinfra_deploys.operations.script import Script


@operation()
def run_service(  # noqa: PLR0913 - what may happen to a unit
    unit: str,
    restart_if: Callable[[], bool] = never,
    at_boot_if: Callable[[], bool] = never,
    *,
    reload_first: bool = False,
    brings: Sequence[str] = (),
    without: str = "",
) -> Generator[StringCommand, None, None]:
    """Enable and start `unit`; restart it if it runs already and `restart_if` holds.

    With `reload_first` it is told its new configuration before it is restarted. `brings` are units
    that come with it; `without` is one that enabling it would enable, too: that stays as it was.
    Where `at_boot_if` holds it is only enabled: it could not start before the reboot that is due.
    """
    present = host.get_fact(Unit, unit=unit)
    name = QuoteString(unit)
    record = before.units(unit, *brings, *([without] if without else []))
    if present.stale:
        yield StringCommand("systemctl", "daemon-reload")
    if not present.enabled:
        yield Recorded(_enable(unit, without), record)
    if at_boot_if():
        return
    if not present.active:
        # A unit that failed too often in a row would refuse to start.
        start = StringCommand(
            "systemctl", "reset-failed", name, "2>/dev/null;", "systemctl", "start", name
        )
        yield Recorded(start, record)
    elif restart_if():
        if reload_first:
            yield StringCommand("systemctl", "reload", name)
        yield StringCommand("systemctl", "restart", name)


@operation()
def stop_service(unit: str) -> Generator[StringCommand, None, None]:
    """Stop one of our own units, now and at boot; where it never was there is nothing to do."""
    present = host.get_fact(Unit, unit=unit)
    if present.enabled or present.active:
        yield StringCommand("systemctl", "disable", "-q", "--now", QuoteString(unit))


def _enable(unit: str, without: str) -> StringCommand:
    name, other = QuoteString(unit), QuoteString(without)
    if not without:
        return StringCommand("systemctl", "enable", "-q", name)
    return Script(
        f"systemctl enable -q {unit} (without {without})",
        "if systemctl is-enabled -q", other, "2>/dev/null; then systemctl enable -q", name,
        "; else systemctl enable -q", name, "&& systemctl disable -q", other, "; fi",
    )  # fmt: skip
