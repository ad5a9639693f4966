"""The headers that DKMS builds a driver against: of the running kernel, and of later ones.

DKMS only recommends them, and nothing recommended is installed here: without them the packages are
installed, no module is built, and the host comes back from its reboot without a driver.
"""

from collections.abc import Generator

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.packages import INSTALL, REFRESH, REPAIR
from pyinfra_deploys.operations.script import Script


class MissingHeaders(FactBase[list[str]]):
    """The packages of headers that are missing: of the running kernel, and of what updates it.

    None in a container, which builds no modules.
    """

    @override
    def command(self) -> str:
        return (
            "[ -e /run/systemd/container ] || { r=$(uname -r);"
            " [ -e /lib/modules/$r/build ] || echo linux-headers-$r;"
            " dpkg-query -W -f '${db:Status-Status} ${Package}\\n' 'linux-image-*' 2>/dev/null"
            # linux-image-amd64, linux-image-generic-hwe-22.04: a package that brings the newest
            " | sed -n 's/^installed linux-image-\\([a-z][a-z]*\\)/\\1/p'"
            " | grep -vE '^(unsigned|extra|uc)-' | while read k; do"
            " dpkg-query -W -f '${db:Status-Status}' linux-headers-$k 2>/dev/null"
            " | grep -qx installed || echo linux-headers-$k; done; }; true"
        )

    @staticmethod
    @override
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        return [line.strip() for line in output if line.strip()]


@operation()
def install_kernel_headers() -> Generator[StringCommand, None, None]:
    """Install the headers that are missing; apt that has none of this kernel any more tells so."""
    missing = host.get_fact(MissingHeaders)
    if not missing:
        host.noop("the headers of the kernel are there")
        return
    yield REPAIR
    yield REFRESH
    names = [QuoteString(name) for name in missing]
    install = Script(
        f"{INSTALL} --no-remove {' '.join(missing)}",
        f"{INSTALL} --no-remove", *names, "|| { echo 'the driver is built against the headers of"
        " the running kernel, which could not be installed: where the repository has those of a"
        " newer one only, upgrade the kernel, reboot, and try again' >&2; exit 1; }",
    )  # fmt: skip
    yield Recorded(install, before.packages(*missing))
