"""The network as it was: files, systemd-networkd, addresses, MTU and the card's name, as one trial.

It goes back to what is there now unless the host is reached again, as `operations.way_back` says.
"""

import shlex
from collections.abc import Generator, Mapping, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations.facts import Links, LinkState
from pyinfra_deploys.operations.holders import NETWORK_MANAGER, is_network_managers
from pyinfra_deploys.operations.record import Entry
from pyinfra_deploys.operations.restore import (
    RUNNING,
    forgotten,
    put_back,
    told_of,
    unit_back,
)
from pyinfra_deploys.operations.script import Script
from pyinfra_deploys.operations.way_back import arm, disarm, keep

NETWORKD = "systemd-networkd.service"
FOLDERS = ("/etc/systemd/network", "/etc/network/", "/etc/NetworkManager/")
UNITS = (NETWORKD, "systemd-networkd.socket", "systemd-networkd-wait-online.service")


def of_network(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that are put back together."""
    return [
        entry
        for entry in entries
        if entry.kind == "link"
        or (entry.kind == "file" and entry.target.startswith(FOLDERS))
        or (entry.kind == "unit" and entry.target in UNITS)
    ]


@operation()
def restore_network(
    entries: Sequence[Entry], management_address: str
) -> Generator[StringCommand, None, None]:
    """Put the network back; an interface that has the management address by now is left alone."""
    links = host.get_fact(Links)
    files = [entry for entry in entries if entry.kind == "file"]
    units = [entry for entry in entries if entry.kind == "unit"]
    interfaces = [entry for entry in entries if entry.kind == "link"]
    there = [entry for entry in interfaces if entry.target in links]
    reached = [each.target for each in there if _has(links[each.target], management_address)]
    if reached:
        told = f"{reached[0]} stays as it is: the host is reached by it"
        yield Script(told, forgotten(*entries))
        return
    if there:
        yield from _tried(there, links, files, units)
    else:  # an `up` ended before any interface was changed
        yield from _files_and_units(files, units)
    yield Script("the network is as it was", forgotten(*entries))


def _has(link: LinkState, address: str) -> bool:
    return address in {each.split("/")[0] for each in link.addresses}


def _tried(
    there: Sequence[Entry],
    links: Mapping[str, LinkState],
    files: Sequence[Entry],
    units: Sequence[Entry],
) -> Generator[StringCommand, None, None]:
    """Put all of it back as one trial: files and systemd-networkd are every interface's."""
    paths = [each.target for each in files]
    kept = " && ".join(f"{{ {keep(path)}; }}" for path in paths) or "true"
    yield Script("keep the present network's files until it is over", kept)
    yield arm({entry.target: links[entry.target] for entry in there}, paths)
    yield from _files_and_units(files, units)
    found = [entry for entry in there if entry.get("was") == "link"]
    for entry in found:
        yield addresses_back(entry, links[entry.target])
    yield disarm()
    for entry in found:
        if entry.get("name") == entry.target:
            continue
        name, former = (shlex.quote(each) for each in (entry.target, entry.get("name")))
        yield Script(
            f"{entry.target} is called {entry.get('name')} again",
            f"ip link set dev {name} down && ip link set dev {name} name {former} &&",
            f"ip link set dev {former} {'up' if entry.get('up') == 'yes' else 'down'}",
        )


def _files_and_units(
    files: Sequence[Entry], units: Sequence[Entry]
) -> Generator[StringCommand, None, None]:
    for each in files:
        yield Script(told_of(each), put_back(each))
    networkd = next((each for each in units if each.target == NETWORKD), None)
    commands = [command for each in units for command in unit_back(each)]
    stays = networkd is None or networkd.get("ActiveState") in RUNNING
    reread = ["networkctl reload"] if stays else []
    if any(is_network_managers(each.target) for each in files):
        reread.insert(0, f"systemctl reload {NETWORK_MANAGER}")
    for command in [*commands, *reread]:
        yield StringCommand(command)


def addresses_back(entry: Entry, present: LinkState) -> Script:
    """Return what gives an interface just the addresses and the MTU that it had."""
    name, former = shlex.quote(entry.target), entry.get("addresses").split()
    # systemd-networkd lets go of an interface a moment after it has read that it shall.
    steps = ["sleep 1"]
    steps += [
        f"ip addr del {shlex.quote(extra)} dev {name} 2>/dev/null || true"
        for extra in present.addresses
        if extra not in former
    ]
    steps.append(f"ip link set dev {name} mtu {entry.get('mtu')}")
    steps += [f"ip addr replace {shlex.quote(address)} dev {name}" for address in former]
    steps.append(f"ip link set dev {name} {'up' if entry.get('up') == 'yes' else 'down'}")
    steps.append(f'[ "$(cat /sys/class/net/{name}/mtu)" = {entry.get("mtu")} ]')
    steps += [f"ip -4 -o addr show dev {name} | grep -qF ' {address} '" for address in former]
    told = f"{entry.target}: addresses {' '.join(former) or 'none'}, MTU {entry.get('mtu')}"
    return Script(told, f"sh -euc {shlex.quote('; '.join(steps))}")
