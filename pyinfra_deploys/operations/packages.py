"""Debian packages that are present, whatever their version."""

from collections.abc import Generator, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.facts import InstalledPackages
from pyinfra_deploys.operations.script import Script

# Nobody is there to answer a question, and another apt may be at work on the host. Ubuntu's
# needrestart would restart services of its own accord.
REPAIR = Script(
    "finish an interrupted dpkg, if there is one",
    '[ -z "$(ls -A /var/lib/dpkg/updates)" ] || for i in $(seq 300); do'
    " DEBIAN_FRONTEND=noninteractive dpkg --configure -a && break; sleep 1; done",
)
REFRESH = Script(
    "apt-get update, if the lists are older than a day",
    "find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 | grep -q . && exit 0;"
    " for i in $(seq 15); do apt-get -q -o Acquire::http::Timeout=15 update && exit 0;"
    " sleep 2; done; exit 1",
)
INSTALL = (
    "DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y --no-install-recommends"
    " -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install"
)


@operation()
def install_packages(
    packages: list[str], *, units: Sequence[str] = (), unless: Sequence[str] = ()
) -> Generator[StringCommand, None, None]:
    """Install what is missing; nothing is removed for it.

    `units` are those that the packages bring and start; with one of `unless` installed, these
    packages aren't needed.
    """
    names = sorted({*packages, *unless})
    present = host.get_fact(InstalledPackages, names=names) if names else set()
    missing = sorted(set(packages) - present)
    if not missing or present & set(unless):
        host.noop("all packages are installed")
        return
    yield REPAIR
    yield REFRESH
    install = StringCommand(f"{INSTALL} --no-remove", *(QuoteString(name) for name in missing))
    yield Recorded(install, before.packages(*missing), before.units(*units))
