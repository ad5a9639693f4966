"""Who else sets up an interface: the distribution's own ways, found before ours takes over."""

import shlex
from dataclasses import dataclass

from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from typing_extensions import override

NETWORK_MANAGER = "NetworkManager"
UNMANAGED = "/etc/NetworkManager/conf.d/05-rackform-fabric.conf"


@dataclass(frozen=True)
class Holders:
    ifupdown: tuple[str, ...] = ()
    """Files of interfaces(5) that bring it up."""
    network_manager: bool = False
    member_of: str | None = None
    """The bond or bridge that it is a part of."""


class InterfaceHolders(FactBase[Holders]):
    """Who holds an interface, beside systemd-networkd.

    netplan needs no mention: with networkd its files come after ours by their names, with
    NetworkManager it is that which holds the interface.
    """

    @override
    def command(self, interface: str) -> str:
        name = interface.replace(".", "\\.")
        stanza = shlex.quote(
            rf"^[[:space:]]*(auto|allow-[a-z]+|iface)[[:space:]]([^#]*[[:space:]])?{name}([[:space:]]|$)"
        )
        managed = shlex.quote(f"^{name}:(connect|disconnected|deactivating|need|unavailable)")
        return (
            "for f in /etc/network/interfaces /etc/network/interfaces.d/*; do"
            f' grep -qsE {stanza} "$f" && echo "ifupdown $f"; done;'
            f" nmcli -t -f DEVICE,STATE device 2>/dev/null | grep -qE {managed} && echo nm;"
            f" m=$(readlink /sys/class/net/{interface}/master) && echo member $(basename $m); true"
        )

    @staticmethod
    @override
    def default() -> Holders:
        return Holders()

    @override
    def process(self, output: list[str]) -> Holders:
        rows = [line.split() for line in output if line.strip()]
        return Holders(
            ifupdown=tuple(row[1] for row in rows if row[0] == "ifupdown"),
            network_manager=["nm"] in rows,
            member_of=next((row[1] for row in rows if row[0] == "member"), None),
        )


def expect_no_master(interface: str, found: Holders) -> None:
    """Raise OperationError where the interface has no addresses of its own to be set."""
    if found.member_of:
        raise OperationError(
            f"{interface} is a part of {found.member_of}, which would lose it: declare "
            f"{found.member_of} as the node's interface, or take {interface} out of it"
        )
