"""What comes with a second link, and how one goes that is no longer declared."""

from collections.abc import Iterator, Sequence

from pyinfra.context import host

from pyinfra_deploys.fabric_link.places import ARP, Places, arp_answers
from pyinfra_deploys.fabric_link.settings import FabricLinkSettings
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.record import Entry, Record
from pyinfra_deploys.operations.restore_entries import restore_entries
from pyinfra_deploys.operations.sysctl import set_sysctls
from pyinfra_deploys.templating import render

_ANSWERS = tuple(key.rpartition("fab0")[2] for key in arp_answers("fab0"))


def answer_apart(settings: FabricLinkSettings) -> None:
    """Let each of several links answer for its own address alone, at boot and now.

    udev sets what the file says of an interface when that appears.
    """
    answers: dict[str, str] = {}
    for link in settings.links:
        answers |= arp_answers(link.interface)
    write_file(
        name="Each link's own answers at boot",
        path=ARP,
        content=render("fabric_link", "arp.conf.j2", settings, answers=answers),
    )
    set_sysctls(name="Each link's own answers", values=answers)


def give_back(settings: FabricLinkSettings, there: Sequence[str]) -> None:
    """Put each interface back as it was that is a rail on the host and no longer in the site."""
    declared = {rail.interface for rail in settings.rails}
    gone = [interface for interface in there if interface not in declared]
    entries = host.get_fact(Record) or [] if gone else []
    for interface in gone:
        restore_entries(
            list(_of_rail(entries, interface, last=not declared)),
            str(settings.management_address),
            network=f"{interface} is no rail any more",
        )
        entries = [entry for entry in entries if entry not in _of_rail(entries, interface)]


def _of_rail(entries: Sequence[Entry], interface: str, *, last: bool = False) -> Iterator[Entry]:
    """Yield what a rail brought, the last change first; with the `last`, what all of them did."""
    places, answers = Places(interface), tuple(arp_answers(interface))
    targets = {*places.files, *places.units, *answers, interface}
    for entry in entries:
        others = entry.target == ARP or entry.target.endswith(_ANSWERS)
        if entry.target in targets or (last and others):
            yield entry
