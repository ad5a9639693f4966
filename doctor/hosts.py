"""Nodes as machines: reached, the same time, room on their disks, one driver. Pure."""

from collections.abc import Iterator
from itertools import combinations

from discover import findings
from doctor.model import Check, Clock, Facts, Result
from doctor.told import found, right, skipped, wrong
from remote import examine
from stack.schema import Site

APART_S = 1.0
"""Ray, Prometheus and TLS take more; timestamps of logs are then still in order."""
FREE_SHARE, FREE_BYTES = 0.05, 2 * 10**9
"""Redis and Docker stop at a full disk; an image layer of the engine alone takes gigabytes."""
_GB = 1e9


def nodes(site: Site, facts: Facts) -> Iterator[Result]:
    """Every node and switch can be asked: the others are still examined where one can't."""
    for name, node in facts.nodes.items():
        if node.reachable:
            machine = node.machine
            bad = findings.changeable(machine) if machine else iter(())
            odd = list(found(Check.NODES, name, "can be changed", bad))
            yield from odd or [right(Check.NODES, name, "answers over SSH")]
        else:
            remedy = "see docs/runbooks/node-lost.md; ./rackform up brings a twin's node back"
            yield wrong(Check.NODES, name, node.reason, "answers over SSH", remedy)
    machines = list(facts.machines().values())
    expected = "each node is a machine of its own"
    yield from found(Check.NODES, "nodes", expected, findings.doubles(machines))
    for name, switch in facts.switches.items():
        if switch.state:
            yield right(Check.NODES, name, f"answers as {site.switches[name].os}")
        else:
            remedy = f"see to switches.{name} and its management port; its ports are not examined"
            yield wrong(Check.NODES, name, switch.reason, "answers over SSH", remedy)


def clocks(site: Site, facts: Facts) -> Iterator[Result]:
    """The nodes' clocks are together; what the question itself took is given in their favour."""
    told = {name: node.clock for name, node in facts.nodes.items() if node.clock}
    expected = f"less than {APART_S:g} s apart"
    far = [name for name, clock in told.items() if _off(clock) >= examine.CLOCK_LIMIT_S]
    worst = max(
        combinations(told, 2),
        key=lambda pair: _apart(told[pair[0]], told[pair[1]]),
        default=None,
    )
    if far and len(far) == len(told):
        off = told[far[0]].off_s
        yield wrong(
            Check.CLOCKS,
            "this machine",
            f"every node's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} it",
            f"less than {examine.CLOCK_LIMIT_S:.0f} s apart",
            "see with 'date' who is right; set this one with 'timedatectl set-ntp true'",
        )
        return
    if worst is None:
        yield skipped(Check.CLOCKS, "nodes", "fewer than two clocks could be read")
        return
    one, other = (told[name] for name in worst)
    where = " and ".join(worst)
    measured = (
        f"{abs(one.off_s - other.off_s):.2f} s apart, give or take "
        f"{one.uncertain_s + other.uncertain_s:.2f} s"
    )
    if _apart(one, other) < APART_S:
        yield right(Check.CLOCKS, where, measured, expected)
        return
    late = max(worst, key=lambda name: abs(told[name].off_s))
    yield wrong(
        Check.CLOCKS,
        where,
        f"{measured}; {late} is {told[late].off_s:+.1f} s off this machine",
        expected,
        "a twin's nodes have this machine's clock: restart them" if site.twin else
        f"./rackform ssh {late} timedatectl set-ntp true; then see 'timedatectl timesync-status'",
    )  # fmt: skip


def _off(clock: Clock) -> float:
    """Return how far a clock is off this machine's at least."""
    return max(0.0, abs(clock.off_s) - clock.uncertain_s)


def _apart(one: Clock, other: Clock) -> float:
    """Return how far two clocks are apart at least."""
    return max(0.0, abs(one.off_s - other.off_s) - one.uncertain_s - other.uncertain_s)


def disk(_: Site, facts: Facts) -> Iterator[Result]:
    expected = f"{FREE_SHARE:.0%} and {FREE_BYTES / _GB:g} GB free"
    for name, node in facts.nodes.items():
        for room in node.rooms:
            where = f"{name}:{room.path}"
            free = room.free_bytes / room.size_bytes if room.size_bytes else 1.0
            told = (
                f"{room.free_bytes / _GB:.1f} GB free of {room.size_bytes / _GB:.1f} ({free:.0%})"
            )
            if room.free_inodes_share < FREE_SHARE:
                told, free = f"{room.free_inodes_share:.0%} of its inodes free", 0.0
            if free >= FREE_SHARE and room.free_bytes >= FREE_BYTES:
                yield right(Check.DISK, where, told, expected)
                continue
            yield wrong(
                Check.DISK,
                where,
                told,
                expected,
                f"./rackform ssh {name} docker image prune (images of former generations), and "
                f"'du -xh {room.path} | sort -h' for what else takes it",
            )


def drivers(site: Site, facts: Facts) -> Iterator[Result]:
    """One version on all nodes, and the declared one."""
    machines = facts.machines()
    versions = {name: each.driver for name, each in machines.items() if each.driver}
    if not versions:
        yield skipped(Check.DRIVERS, "nodes", absent(site, "no NVIDIA driver is loaded"))
    declared = site.nvidia.driver_version if site.nvidia else None
    expected = declared or "one version on all nodes"
    odd = list(found(Check.DRIVERS, "nodes", expected, findings.drivers(list(machines.values()))))
    yield from odd
    for name, version in versions.items():
        if declared and version != declared:
            remedy = "./rackform up installs it, node by node, with the reboot that it needs"
            yield wrong(Check.DRIVERS, name, version, declared, remedy)
        elif not odd:
            yield right(Check.DRIVERS, name, version, expected)


def absent(site: Site, why: str) -> str:
    return "the nodes of a twin have no GPU: its are simulated" if site.twin else why
