"""Where a link's settings lie on the host: the first link's places, and each rail's own."""

from dataclasses import dataclass

from pyinfra_deploys.operations.holders import NETWORK, UNMANAGED

LINK = "/etc/systemd/network/05-rackform-fabric.link"
ARP = "/etc/sysctl.d/90-rackform-rails.conf"
UNITS = "/etc/systemd/system"


@dataclass(frozen=True)
class Places:
    """The files and units of one link; a rail's bear its interface's name."""

    rail: str = ""
    """The rail's interface; empty: the first link."""

    def _own(self, path: str) -> str:
        stem, dot, kind = path.rpartition(".")
        return f"{stem}-{self.rail}{dot}{kind}" if self.rail else path

    @property
    def network(self) -> str:
        return self._own(NETWORK)

    @property
    def link(self) -> str:
        return self._own(LINK)

    @property
    def unmanaged(self) -> str:
        return self._own(UNMANAGED)

    @property
    def roce(self) -> str:
        return self._own("rackform-roce.service")

    @property
    def roce_script(self) -> str:
        return self._own("/etc/rackform/roce.sh")

    @property
    def ipoib(self) -> str:
        return self._own("rackform-ipoib.service")

    @property
    def ipoib_script(self) -> str:
        return self._own("/etc/rackform/ipoib.sh")

    @property
    def files(self) -> tuple[str, ...]:
        scripts = (self.roce_script, self.ipoib_script)
        units = (f"{UNITS}/{unit}" for unit in self.units)
        return (self.network, self.link, self.unmanaged, *scripts, *units)

    @property
    def units(self) -> tuple[str, ...]:
        return (self.roce, self.ipoib)


def arp_answers(interface: str) -> dict[str, str]:
    """Return the kernel parameters by which a link answers for its own address alone."""
    name = interface.replace(".", "/")  # as sysctl writes a dot inside a name
    return {
        f"net.ipv4.conf.{name}.arp_announce": "2",
        f"net.ipv4.conf.{name}.arp_ignore": "1",
    }
