"""The fabric: links, cables, the MTU of every hop, and what NCCL is told of it. Pure."""

from collections.abc import Iterator

from doctor.hardware import nic_width
from doctor.model import Check, Facts, Interface, NodeFacts, Ping, Result
from doctor.told import right, skipped, wrong
from fabric.cabling import misplaced
from stack.schema import FABRIC, Rail, Site

_OWN = frozenset({"NCCL_SOCKET_IFNAME", "NCCL_IB_HCA"})
"""What may differ among nodes: the names are each node's own, the meaning is the same."""


def link(site: Site, facts: Facts) -> Iterator[Result]:
    """Each of the fabric's interfaces is up, has its address, and runs at the declared speed."""
    for name, node in facts.nodes.items():
        for declared in site.nodes[name].links.values() if node.reachable else ():
            yield _link(site, name, node, declared)


def _link(site: Site, name: str, node: NodeFacts, declared: Rail) -> Result:
    where = f"{name}.{declared.interface}"
    interface = node.interfaces.get(declared.interface)
    problem = _not_on_fabric(interface, str(declared.address))
    if interface and not problem:
        return _speed(site, name, node, declared.interface, interface)
    return wrong(
        Check.LINK,
        where,
        problem,
        f"up, {declared.address}, {site.fabric.link.gbit_s:g} Gbit/s",
        f"./rackform up sets the interface; without a carrier see to the cable and to "
        f"{site.cables(name).get(declared.interface, 'the port of the switch')}",
    )


def _not_on_fabric(interface: Interface | None, address: str) -> str:
    """Return what keeps an interface off the fabric; '' where nothing does."""
    if interface is None:
        return "the interface is not there"
    if not interface.up:
        return "it is down or has no carrier"
    if address not in interface.addresses:
        return f"it has {', '.join(interface.addresses) or 'no address'}"
    return ""


def _speed(site: Site, name: str, node: NodeFacts, card: str, interface: Interface) -> Result:
    where, declared = f"{name}.{card}", site.fabric.link.gbit_s
    expected = f"up, {declared:g} Gbit/s"
    if site.twin:
        return right(Check.LINK, where, "up, with its address; the speed of a twin is simulated")
    if interface.speed_mbit_s is None:
        return skipped(Check.LINK, where, "up, but its driver tells no speed")
    gbit_s = interface.speed_mbit_s / 1000
    width = nic_width(node.machine, card) if node.machine else ""
    told = ", ".join(filter(None, ["up", f"{gbit_s:g} Gbit/s", width]))
    if gbit_s >= declared:
        return right(Check.LINK, where, told, expected)
    remedy = "see 'ethtool' on it: the cable or optic, FEC, and the port's own speed; reseat both"
    return wrong(Check.LINK, where, told, expected, remedy)


def cabling(site: Site, facts: Facts) -> Iterator[Result]:
    """Every cable is where the site declares it, as LLDP hears on the switches."""
    for name, switch in facts.switches.items():
        if not switch.state:
            continue
        cables = site.switches[name].ports
        bad = misplaced(name, cables, switch.state.neighbours)
        for sentence in bad:
            measured, _, remedy = sentence.rpartition(": ")
            yield wrong(Check.CABLING, name, measured, "cables as declared", remedy)
        heard = sum(1 for port in cables if switch.state.neighbours.get(port))
        if heard < len(cables) and not bad:
            silent = ", ".join(p for p in cables if not switch.state.neighbours.get(p))
            yield skipped(Check.CABLING, name, f"LLDP hears nobody on {silent}")
        elif not bad:
            yield right(Check.CABLING, name, f"LLDP hears all {heard} as declared")
    if not site.switches:
        yield skipped(Check.CABLING, "switches", "the site declares no switch")


def mtu(site: Site, facts: Facts) -> Iterator[Result]:
    """Every hop has the declared MTU, and the largest packets cross it in both directions."""
    expected = f"{site.fabric.mtu_bytes} bytes on every hop"
    hops = list(_hops(site, facts))
    culprits = {hop for hop, _ in hops}
    lost = [ping for ping in facts.pings if not ping.large]
    for hop, value in hops:
        pairs = [p for p in lost if p.small and hop in _way(site, p)]
        told = f"MTU {value}" + (f"; lost: {_listed(pairs)}" if pairs else "")
        yield wrong(Check.MTU, hop, told, expected, _remedy(site, hop))
    for ping in lost:
        where = _listed([ping])
        if not ping.small:
            remedy = "nothing passes: see the checks 'link' and 'cabling', then the firewall"
            down = _down(site, facts, ping)
            told = "no answer at all over the fabric" + (f"; {', '.join(down)}" if down else "")
            yield wrong(Check.MTU, where, told, expected, remedy)
        elif not culprits & set(_way(site, ping)):
            most = "" if ping.passes_bytes is None else f", {ping.passes_bytes} bytes pass"
            told = f"{site.fabric.mtu_bytes} bytes are lost{most}; {_seen(site, facts, ping)}"
            remedy = (
                "a hop that is not declared is smaller (another switch, a trunk between switches): "
                "set it to 9214 or more, or declare the switch"
            )
            yield wrong(Check.MTU, where, told, expected, remedy)
    if not facts.pings:
        yield skipped(Check.MTU, "fabric", "fewer than two nodes can be reached")
    elif not lost and not hops:
        told = f"{site.fabric.mtu_bytes} bytes cross unfragmented, {len(facts.pings)} ways"
        yield right(Check.MTU, "fabric", told, expected)


def _hops(site: Site, facts: Facts) -> Iterator[tuple[str, int]]:
    """Yield every hop whose MTU is not the declared one: node.interface or switch.port."""
    for name, node in facts.nodes.items():
        for link in site.nodes[name].links.values():
            interface = node.interfaces.get(link.interface)
            if interface and interface.mtu_bytes != site.fabric.mtu_bytes:
                yield f"{name}.{link.interface}", interface.mtu_bytes
    for name, switch in facts.switches.items():
        for port in site.switches[name].ports:
            state = switch.state and switch.state.ports.get(port)
            if state and state.mtu_bytes < site.fabric.mtu_bytes:
                yield f"{name}.{port}", state.mtu_bytes


def _way(site: Site, ping: Ping) -> list[str]:
    """Return the declared hops between two nodes, in the order in which a packet passes them."""
    ends = []
    for name in (ping.source, ping.target):
        interface = site.nodes[name].links[ping.network].interface
        port = site.cables(name).get(interface)
        ends.append([f"{name}.{interface}", *([port] if port else [])])
    return [*ends[0], *reversed(ends[1])]


def _seen(site: Site, facts: Facts, ping: Ping) -> str:
    """Return which hops were read and found right, and which could not be read."""
    way = _way(site, ping)
    read = [hop for hop in way if _is_read(facts, hop)]
    rest = [hop for hop in way if hop not in read]
    told = f"right by their own word: {', '.join(read)}"
    return told + (f"; not read: {', '.join(rest)}" if rest else "")


def _is_read(facts: Facts, hop: str) -> bool:
    machine, _, port = hop.partition(".")
    if machine in facts.nodes:
        return port in facts.nodes[machine].interfaces
    switch = facts.switches.get(machine)
    return bool(switch and switch.state and port in switch.state.ports)


def _down(site: Site, facts: Facts, ping: Ping) -> list[str]:
    """Return the ports between two nodes that are shut down, without a carrier, or elsewhere."""
    told = []
    for hop in _way(site, ping):
        machine, _, port = hop.partition(".")
        switch = facts.switches.get(machine)
        state = switch.state.ports.get(port) if switch and switch.state else None
        if state and not (state.enabled and state.connected):
            told.append(f"{hop} {'has no carrier' if state.enabled else 'is shut down'}")
        way = switch.state.membership.get(port) if switch and switch.state else None
        if way and way.vlan is None:
            told.append(f"{hop} is in no VLAN, and forwards to nobody")
        elif way and way.vlan != (site.switches[machine].vlan or way.vlan):
            told.append(f"{hop} is in VLAN {way.vlan}")
    return told


def _remedy(site: Site, hop: str) -> str:
    machine, _, port = hop.partition(".")
    size = site.fabric.mtu_bytes
    if machine in site.switches:
        return f"./rackform up sets port {port} of switch {machine} to {size}"
    return f"./rackform up; or at once: ./rackform ssh {machine} ip link set {port} mtu {size}"


def _listed(pings: list[Ping]) -> str:
    return ", ".join(
        f"{ping.source} to {ping.target}"
        + ("" if ping.network == FABRIC else f" over {ping.network}")
        for ping in pings
    )


def nccl(site: Site, facts: Facts) -> Iterator[Result]:
    """NCCL takes exactly the fabric's interface on every node, and all else is the same."""
    files = {name: node for name, node in facts.nodes.items() if node.reachable}
    # A node without ranks needs no RDMA device, and nobody waits for it.
    odd = _different({name: files[name] for name in site.workers if name in files})
    for name, node in files.items():
        declared = site.nodes[name]
        expected = f"exactly the interface that has {declared.fabric_address}"
        remedy = f"./rackform up writes /etc/nccl.conf of {name} from nodes.{name}.interface"
        if node.nccl is None:
            yield wrong(Check.NCCL, name, "there is no /etc/nccl.conf", expected, remedy)
            continue
        said = node.nccl.get("NCCL_SOCKET_IFNAME")
        taken = _taken(said, node.interfaces)
        bad = [
            f"{each}: {problem}"
            for each in taken
            if (problem := _not_on_fabric(node.interfaces[each], str(declared.fabric_address)))
        ]
        told = f"NCCL_SOCKET_IFNAME={said or ''} takes {', '.join(taken) or 'no interface'}"
        if len(taken) != 1 or bad:
            told = "; ".join([told, *bad])
            yield wrong(Check.NCCL, name, told, expected, remedy)
        elif not odd:
            yield right(Check.NCCL, name, told, expected)
    for key, values in odd.items():
        yield wrong(
            Check.NCCL,
            "nodes",
            f"{key} is {', '.join(f'{value} on {name}' for name, value in values.items())}",
            "one meaning on all nodes",
            "./rackform up writes /etc/nccl.conf from the site; a variable that is set by hand "
            "on some nodes only lets ranks wait for each other",
        )


def _different(files: dict[str, NodeFacts]) -> dict[str, dict[str, str]]:
    """Return variable → node → value, of those that don't mean the same everywhere."""
    given = {name: node.nccl for name, node in files.items() if node.nccl is not None}
    found: dict[str, dict[str, str]] = {}
    for key in sorted({key for conf in given.values() for key in conf} - {"NCCL_SOCKET_IFNAME"}):
        values = {name: conf.get(key, "not set") for name, conf in given.items()}
        kinds = {"set" if key in _OWN and v != "not set" else v for v in values.values()}
        if len(kinds) > 1:
            found[key] = values
    return found


def _taken(said: str | None, interfaces: dict[str, Interface]) -> list[str]:
    """Return the interfaces that NCCL takes by NCCL_SOCKET_IFNAME.

    '=' means exactly these names, '^' all but these, neither: all that begin like these.
    """
    names = sorted(set(interfaces) - {"lo"})
    if not said:
        return [name for name in names if not name.startswith("docker")]
    words = said.lstrip("=^").split(",")
    if said.startswith("^="):
        return [name for name in names if name not in words]
    if said.startswith("^"):
        return [name for name in names if not name.startswith(tuple(words))]
    if said.startswith("="):
        return [name for name in names if name in words]
    return [name for name in names if name.startswith(tuple(words))]
