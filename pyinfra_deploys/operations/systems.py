"""The operating systems that hosts may run, and what differs between them."""

from dataclasses import dataclass

from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from pyinfra.context import host
from typing_extensions import override


@dataclass(frozen=True)
class System:
    """One release of a distribution.

    Attributes:
        name: its name in a site.
        told: its name, for people.
        docker: the packages of Docker Engine with its command line.
        nvidia: its name in the paths of NVIDIA's repositories.

    """

    name: str
    told: str
    docker: tuple[str, ...]
    nvidia: str


SYSTEMS: dict[tuple[str, str], System] = {
    ("debian", "12"): System("debian-12", "Debian 12", ("docker.io",), "debian12"),
    # The command line is a package of its own there, and only recommended.
    ("debian", "13"): System("debian-13", "Debian 13", ("docker.io", "docker-cli"), "debian13"),
    ("ubuntu", "22.04"): System("ubuntu-22.04", "Ubuntu 22.04", ("docker.io",), "ubuntu2204"),
    ("ubuntu", "24.04"): System("ubuntu-24.04", "Ubuntu 24.04", ("docker.io",), "ubuntu2404"),
}


class OsRelease(FactBase[dict[str, str]]):
    """The fields of os-release(5)."""

    @override
    def command(self) -> str:
        return "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> dict[str, str]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, str]:
        pairs = (line.split("=", 1) for line in output if "=" in line)
        return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def system_of(release: dict[str, str]) -> System:
    """Return the system of an os-release.

    Raises:
        OperationError: it is none that the deploys know.

    """
    found = SYSTEMS.get((release.get("ID", ""), release.get("VERSION_ID", "")))
    if found is None:
        *others, last = (system.told for system in SYSTEMS.values())
        raise OperationError(
            f"it runs {release.get('PRETTY_NAME') or 'an unknown system'}, but a host runs "
            f"{', '.join(others)} or {last}: install one of these"
        )
    return found


def this_system() -> System:
    """Return the system of the host that is being prepared; nothing was changed there yet."""
    return system_of(host.get_fact(OsRelease) or {})
