"""Kernel parameters as they are now; what keeps them over a reboot is a file beside this."""

from collections.abc import Generator, Mapping

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.facts import Sysctls


@operation()
def set_sysctls(values: Mapping[str, str]) -> Generator[StringCommand, None, None]:
    """Set each parameter whose present value is another; an unknown one fails with its name."""
    present = host.get_fact(Sysctls, keys=sorted(values)) if values else {}
    for key, value in sorted(values.items()):
        if present.get(key) != " ".join(value.split()):
            setting = StringCommand("sysctl", "-q", "-w", QuoteString(f"{key}={value}"))
            yield Recorded(setting, before.sysctls(key))
