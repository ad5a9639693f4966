"""Who else sets up an interface: the distribution's own ways, found before ours takes over."""

import shlex
from dataclasses import dataclass

from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from typing_extensions import override

NETWORK_MANAGER = "NetworkManager"
UNMANAGED = "/etc/NetworkManager/conf.d/05-rackform-fabric.conf"
NETWORK = "/etc/systemd/network/05-rackform-fabric.network"
"""systemd takes the first file that matches, by name: netplan's begin with 10-."""


@dataclass(frozen=True)
class Holders:
    ifupdown: tuple[str, ...] = ()
    """Files of interfaces(5) that bring it up."""
    network_manager: bool = False
    member_of: str | None = None
    """The bond or bridge that it is a part of."""
    carries: tuple[str, ...] = ()
    """VLANs and others that lie upon it."""
    instead: tuple[str, ...] | None = None
    """The interfaces that there are, where there is none of that name."""
    rails: tuple[str, ...] = ()
    """The interfaces that are the host's further links by files of ours, declared or no more."""


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
        at = f"{NETWORK.removesuffix('.network')}-"
        managed = shlex.quote(f"^{name}:(connect|disconnected|deactivating|need|unavailable)")
        return (
            "for f in /etc/network/interfaces /etc/network/interfaces.d/*; do"
            f' grep -qsE {stanza} "$f" && echo "ifupdown $f"; done;'
            f" nmcli -t -f DEVICE,STATE device 2>/dev/null | grep -qE {managed} && echo nm;"
            f" m=$(readlink /sys/class/net/{interface}/master) && echo member $(basename $m);"
            f" for u in /sys/class/net/{interface}/upper_*; do"
            ' [ -e "$u" ] && [ ! "$u" -ef "${u%/*}/master" ] && echo carries ${u##*/upper_}; done;'
            f" [ -e /sys/class/net/{interface} ] || echo instead $(ls /sys/class/net);"
            f" for f in {at}*.network; do"
            f' [ -e "$f" ] && f=${{f#{at}}} && echo rail ${{f%.network}}; done; true'
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
            carries=tuple(row[1] for row in rows if row[0] == "carries"),
            instead=next((tuple(row[1:]) for row in rows if row[0] == "instead"), None),
            rails=tuple(row[1] for row in rows if row[0] == "rail"),
        )


def is_network_managers(path: str) -> bool:
    """Whether a file of ours makes NetworkManager let go of an interface."""
    return path.startswith(UNMANAGED.removesuffix(".conf"))


def expect_own_interface(interface: str, found: Holders, *, comes_later: bool = False) -> None:
    """Raise OperationError where the interface isn't there, or isn't the fabric's alone.

    One that `comes_later` is made or named by the deploy itself.
    """
    if found.instead is not None and not comes_later:
        others = ", ".join(name for name in found.instead if name != "lo") or "none"
        raise OperationError(
            f"there is no interface {interface} (there are {others}): correct the node's "
            "interface, or give the card that shall have that name by pci or mac"
        )
    if found.member_of:
        raise OperationError(
            f"{interface} is a part of {found.member_of}, which would lose it: declare "
            f"{found.member_of} as the node's interface, or take {interface} out of it"
        )
    if found.carries:
        upon = ", ".join(found.carries)
        raise OperationError(
            f"{interface} carries {upon}, which would be lost with what sets {interface} up now: "
            f"the fabric needs an interface of its own; move {upon}, or declare another card"
        )
