"""Cables as declared against cables as LLDP hears them. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from fabric.protocol import Neighbour

_MAC = re.compile(r"[0-9a-fA-F]{2}([:.-]?[0-9a-fA-F]{2}){5}")


def end(neighbour: Neighbour) -> str:
    """Return what a neighbour is as the site names a cable's end: node.interface."""
    host = neighbour.system_name.partition(".")[0]
    return host if _MAC.fullmatch(neighbour.port_id) else f"{host}.{neighbour.port_id}"


def _is(neighbour: Neighbour, declared: str) -> bool:
    """Compare by host alone where the neighbour tells its port by a MAC address."""
    heard = end(neighbour)
    return heard == (declared if "." in heard else declared.partition(".")[0])


def misplaced(
    switch: str, cables: Mapping[str, str], heard: Mapping[str, Sequence[Neighbour]]
) -> list[str]:
    """Return a sentence for every cable that LLDP finds elsewhere than `cables` declares it.

    `cables` is port → node.interface. A port that hears nobody proves nothing and is left out; two
    cables that were swapped are named as such, once.
    """
    found = dict(_wrong(cables, heard))
    told, done = [], set[str]()
    for port, neighbour in found.items():
        other = _owner(neighbour, cables)
        if port in done:
            continue
        if other and other in found and _owner(found[other], cables) == port:
            done |= {port, other}
            told.append(
                f"the cables in {switch}'s {port} and {other} are swapped: LLDP hears "
                f"{end(neighbour)} on {port} and {end(found[other])} on {other}: swap the cables, "
                f"or the two lines in switches.{switch}.ports"
            )
            continue
        place = f", which is declared for {other}" if other else ""
        told.append(
            f"{switch}'s {port} is declared for {cables[port]}, but LLDP hears {end(neighbour)} "
            f"there{place}: move the cable, or correct switches.{switch}.ports"
        )
    return told


def _wrong(
    cables: Mapping[str, str], heard: Mapping[str, Sequence[Neighbour]]
) -> Iterator[tuple[str, Neighbour]]:
    for port, declared in cables.items():
        there = heard.get(port, ())
        if there and not any(_is(neighbour, declared) for neighbour in there):
            yield port, there[0]


def _owner(neighbour: Neighbour, cables: Mapping[str, str]) -> str | None:
    """Return the port for which a neighbour is declared."""
    return next((port for port, declared in cables.items() if _is(neighbour, declared)), None)
