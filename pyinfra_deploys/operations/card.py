"""The network card that has an interface's name, found by its PCI or its MAC address."""

from collections.abc import Generator
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.facts import Links, LinkState


@dataclass(frozen=True)
class Card:
    name: str
    pci: str
    mac: str


class Cards(FactBase[list[Card]]):
    """The interfaces that have a device behind them."""

    @override
    def command(self) -> str:
        return (
            "for d in /sys/class/net/*; do [ -e $d/device ] || continue;"
            " echo $(basename $d) $(basename $(readlink -f $d/device)) $(cat $d/address); done"
        )

    @staticmethod
    @override
    def default() -> list[Card]:
        return []

    @override
    def process(self, output: list[str]) -> list[Card]:
        rows = (line.split() for line in output)
        return [Card(*row) for row in rows if len(row) == 3]  # noqa: PLR2004 - name, PCI, MAC


@operation()
def name_card(
    interface: str, pci: str | None, mac: str | None, management_address: str
) -> Generator[StringCommand, None, None]:
    """Give the card of that PCI or MAC address the interface's name.

    Raises:
        OperationError: there is no such card, it has the management address, or another card has
            the name.

    """
    cards, wanted = host.get_fact(Cards), pci or mac
    card = next((card for card in cards if wanted in {card.pci, card.mac}), None)
    if card is None:
        known = ", ".join(f"{card.name} {card.pci} {card.mac}" for card in cards) or "none"
        raise OperationError(f"no network card is {wanted} (there are {known}): correct the site")
    present = host.get_fact(Links).get(card.name, LinkState(0, up=False, addresses=()))
    if management_address in {address.split("/")[0] for address in present.addresses}:
        raise OperationError(
            f"{card.name} ({wanted}) has the management address {management_address}: it is never "
            "touched; name the fabric's card"
        )
    if card.name == interface:
        host.noop(f"{interface} is {wanted}")
        return
    if any(other.name == interface for other in cards):
        raise OperationError(
            f"another card than {wanted} is called {interface}, and {wanted} is {card.name}: "
            f"declare {card.name} as the interface, or another name"
        )
    old, new = QuoteString(card.name), QuoteString(interface)
    down = StringCommand("ip", "link", "set", "dev", old, "down")
    yield Recorded(down, before.link(interface, card.name))
    yield StringCommand("ip", "link", "set", "dev", old, "name", new)
    yield StringCommand("ip", "link", "set", "dev", new, "up")
