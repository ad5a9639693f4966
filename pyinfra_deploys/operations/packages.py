"""Debian packages that are present, whatever their version."""

from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations.facts import InstalledPackages
from pyinfra_deploys.operations.script import Script

# Nobody is there to answer a question, and another apt may be at work on the host.
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
    "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
    " -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install"
)


@operation()
def install_packages(packages: list[str]) -> Generator[StringCommand, None, None]:
    present = host.get_fact(InstalledPackages, names=sorted(packages)) if packages else set()
    missing = sorted(set(packages) - present)
    if not missing:
        host.noop("all packages are installed")
        return
    yield REPAIR
    yield REFRESH
    yield StringCommand(INSTALL, *(QuoteString(name) for name in missing))
