"""The rules about a node's several links to the fabric: names, interfaces, cards, who has which.

What a first link and a rail have in common, such as addresses and cables, is in `stack.checks`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

from stack.draft import Draft
from stack.hints import SettingError, suggestion, told
from stack.schema import FABRIC, Node, Rdma, Role

_NETWORKS = (FABRIC, "management")


def setting(node: str, network: str) -> str:
    """Return the path, with its dot, below which a node's link to a network is declared."""
    return f"nodes.{node}." + ("" if network == FABRIC else f"rails.{network}.")


def rail_setting(network: str) -> str:
    """Return the setting that has the subnet of a network of the fabric."""
    return "fabric.subnet" if network == FABRIC else f"fabric.rails.{network}"


def unknown_end(node: Node, path: str, end: str) -> Iterator[SettingError]:
    """Yield the error of a cable's end that is none of a node's links."""
    name, _, interface = end.partition(".")
    own, *further = [link.interface for link in node.links.values()]
    if interface in {own, *further}:
        return
    if further:
        ends = ", ".join(f"{name}.{each}" for each in (own, *further))
        rest = f"but {name} has no link of that name: write one of {ends}, or add it to"
        yield told(path, end, f"{rest} nodes.{name}.rails")
        return
    rest = (
        f"but the fabric interface of {name} is {own}: write {name}.{own}, or set"
        f" nodes.{name}.interface"
    )
    yield told(path, end, rest)


def _names(draft: Draft) -> Iterator[SettingError]:
    rails = draft.site.fabric.rails
    for name, subnet in rails.items():
        if name in _NETWORKS:
            rest = f"but {name} is what another network is called: rename the rail"
            yield told(f"fabric.rails.{name}", str(subnet), rest)
    for node, declared in draft.site.nodes.items():
        for name, rail in declared.rails.items():
            if name not in rails and draft.has("fabric.rails"):
                near = suggestion(name, sorted(rails))
                if not rails:
                    near = f"add '{name}: SUBNET' to fabric.rails"
                path = f"nodes.{node}.rails.{name}"
                yield told(path, rail.interface, f"but fabric.rails has no {name}: {near}")


def _apart(draft: Draft) -> Iterator[SettingError]:
    """Yield the links of one node that have one interface or one card."""
    for node, declared in draft.site.nodes.items():
        for key in ("interface", "pci", "mac"):
            first: dict[str, str] = {}
            for network, link in declared.links.items():
                value, path = getattr(link, key), f"{setting(node, network)}{key}"
                if value and (holder := first.get(value)):
                    rest = (
                        f"but {holder} is the same, and each link has a card of its own: name "
                        "another one, or remove the rail"
                    )
                    yield told(path, value, rest)
                if value:
                    first.setdefault(value, path)


def _management(draft: Draft) -> Iterator[SettingError]:
    """Yield the links that are by their name no fabric's; a real host's tells a preview itself."""
    if not draft.has("twin"):
        return
    taken = ("lo", "mgmt0") if draft.site.twin else ("lo",)
    for node, declared in draft.site.nodes.items():
        for network, link in declared.links.items():
            if link.interface in taken:
                other = "the loopback" if link.interface == "lo" else "a twin's management link"
                rest = f"but that is {other}: name the interface of a card, such as fab0"
                yield told(f"{setting(node, network)}interface", link.interface, rest)


def _one_card(draft: Draft) -> Iterator[SettingError]:
    """Yield the links of several nodes that have one MAC address."""
    first: dict[str, tuple[str, str]] = {}
    for node, declared in draft.site.nodes.items():
        for network, link in declared.links.items():
            path = f"{setting(node, network)}mac"
            holder, held = first.setdefault(link.mac or path, (node, path))
            if holder != node and declared.rails:
                rest = f"but {held} is the same, and a card is in one node: correct one of the two"
                yield told(path, link.mac, rest)


def _ranks(draft: Draft) -> Iterator[SettingError]:
    """Yield the workers that lack a rail of others, where NCCL would go by it.

    NCCL pairs the RDMA devices of two nodes, and no packet gets from one rail to another.
    """
    site = draft.site
    if site.fabric.link.rdma is Rdma.NONE or not draft.has("nodes"):
        return
    having = defaultdict(list)
    for name, node in site.nodes.items():
        for rail in node.rails if Role.WORKER in node.roles else ():
            having[rail].append(name)
    for name in site.workers:
        for rail, nodes in having.items():
            if rail not in site.nodes[name].rails:
                rest = (
                    f"but {', '.join(nodes)} has {rail}, and with RDMA NCCL pairs the cards of two"
                    f" nodes: add nodes.{name}.rails.{rail}, or remove it there"
                )
                yield told(f"nodes.{name}.rails", list(site.nodes[name].rails), rest)


RAIL_RULES: tuple[Callable[[Draft], Iterator[SettingError]], ...] = (
    _names,
    _apart,
    _management,
    _one_card,
    _ranks,
)
