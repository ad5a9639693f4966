"""GPUs, slots and power: what nvidia-smi and the kernel tell, against what is declared. Pure."""

from collections import Counter
from collections.abc import Iterator

from discover import findings
from discover.choices import gpu_link
from discover.gpus import POWER_LIMIT
from discover.model import Finding, Gpu, Machine, Severity
from doctor.hosts import absent
from doctor.model import Check, Facts, NodeFacts, Result
from doctor.told import found, right, skipped, wrong
from planner.power import (
    CircuitPower,
    CircuitState,
    circuits_power,
    nodes_power,
    remedies,
    wall_w,
)
from stack.schema import Rdma, Site

_SYMMETRIC = "equal slots, as wide as the cards, on all nodes"


def gpus(site: Site, facts: Facts) -> Iterator[Result]:
    """All declared GPUs are there, below the alert's temperature, and nothing slows them down."""
    limit = site.monitoring.alerts.gpu_temperature_c if site.monitoring else findings.HOT_C
    expected = f"below {limit} °C, not throttled, no memory errors"
    for name, machine in facts.machines().items():
        declared = site.nodes[name].gpu_count
        if not machine.gpus and (site.twin or not declared):
            if declared:
                yield skipped(Check.GPUS, name, absent(site, ""))
            continue
        if len(machine.gpus) != declared:
            yield wrong(
                Check.GPUS,
                name,
                f"nvidia-smi shows {len(machine.gpus)} GPUs",
                f"{declared} GPUs",
                "see 'dmesg | grep -i xid' and the power cables of what is missing, or correct "
                f"nodes.{name}.gpus.count",
            )
        for gpu in machine.gpus:
            where = f"{name} GPU {gpu.index}"
            bad = list(found(Check.GPUS, where, expected, _of(machine, gpu)))
            if not bad and gpu.temperature_c is not None and gpu.temperature_c >= limit:
                told, remedy = f"{gpu.temperature_c} °C", "see to its cooling and its power limit"
                bad.append(wrong(Check.GPUS, where, told, expected, remedy))
            yield from bad or [right(Check.GPUS, where, _state(gpu), expected)]


def _of(machine: Machine, gpu: Gpu) -> Iterator[Finding]:
    """Yield what is wrong with one GPU now; to be at its power limit is a card's work."""
    faults = tuple(reason for reason in gpu.throttled if reason != POWER_LIMIT)
    now = gpu.model_copy(update={"throttled": faults})
    for finding in findings.health(machine.model_copy(update={"gpus": (now,)})):
        if finding.severity is Severity.PROBLEM:
            yield finding


def _state(gpu: Gpu) -> str:
    told = [f"{gpu.temperature_c} °C"]
    if gpu.power_w is not None:
        told.append(f"{gpu.power_w:.0f} W")
    told.append("at its power limit" if gpu.throttled else "not throttled")
    if gpu.slowed_us:
        told.append(
            f"slowed by heat or power for {gpu.slowed_us / 1e6:.1f} s since its driver came"
        )
    return ", ".join(told)


def pcie(site: Site, facts: Facts) -> Iterator[Result]:
    """Each card has its width, the GPUs of a node have equal slots, and all nodes are alike."""
    shapes: dict[str, str] = {}
    for name, machine in facts.machines().items():
        bad = list(found(Check.PCIE, name, _SYMMETRIC, findings.slots(machine)))
        yield from bad
        declared = site.nodes[name].gpus
        if not machine.gpus:
            if declared:
                yield skipped(Check.PCIE, name, absent(site, "nvidia-smi shows no GPU"))
            continue
        shapes[name] = _shape(machine)
        link = gpu_link(machine)
        if declared and declared.link and link and link != declared.link:
            yield wrong(
                Check.PCIE,
                name,
                f"its GPUs are joined by {link}",
                f"{declared.link}, as declared",
                f"see to the slots and the NVLink bridge, or correct nodes.{name}.gpus.link, by "
                "which the plan reckons",
            )
        elif not bad:
            yield right(Check.PCIE, name, shapes[name], _SYMMETRIC)
    if len(set(shapes.values())) > 1:
        yield wrong(
            Check.PCIE,
            "nodes",
            "; ".join(f"{name}: {shape}" for name, shape in shapes.items()),
            _SYMMETRIC,
            "a pipeline is as fast as its slowest stage: give the nodes equal slots and links",
        )


def _shape(machine: Machine) -> str:
    """Return how a node's GPUs sit and are joined, as words that compare."""
    slots = Counter(f"gen {gpu.pcie_gen_max} x{gpu.pcie_width}" for gpu in machine.gpus)
    names = machine.topology.gpus
    paths = Counter(
        machine.topology.links.get(one, {}).get(other, "?")
        for number, one in enumerate(names)
        for other in names[number + 1 :]
    )
    told = [f"{count} GPUs at {slot}" for slot, count in sorted(slots.items())]
    return ", ".join(told + [f"{count} paths {path}" for path, count in sorted(paths.items())])


def devices(site: Site, facts: Facts) -> Iterator[Result]:
    """The device files and RDMA devices that NCCL opens are there."""
    for name, node in facts.nodes.items():
        if not node.reachable:
            continue
        wanted = _wanted(site, name, node)
        if not wanted:
            why = absent(site, "no GPU and no RDMA is declared for it")
            yield skipped(Check.DEVICES, name, why)
            continue
        missing = [each for each in wanted if each not in {*node.device_files, *node.rdma_devices}]
        if not missing:
            yield right(Check.DEVICES, name, ", ".join(wanted))
            continue
        yield wrong(
            Check.DEVICES,
            name,
            f"missing: {', '.join(missing)}",
            ", ".join(wanted),
            "load what makes them: 'nvidia-modprobe -u -c 0' for /dev/nvidia*, the packages "
            "rdma-core and ib_uverbs for RDMA; then see 'dmesg'",
        )


def _wanted(site: Site, name: str, node: NodeFacts) -> list[str]:
    declared = site.nodes[name]
    if site.twin:
        return []
    files = [f"/dev/nvidia{number}" for number in range(declared.gpu_count)]
    if files:
        files += ["/dev/nvidiactl", "/dev/nvidia-uvm"]
    if site.fabric.link.rdma is Rdma.NONE:
        return files
    # What the file on the host names is checked too: NCCL would go on without, by TCP.
    named = (node.nccl or {}).get("NCCL_IB_HCA", "").lstrip("=^").split(",")
    given = {*named, *declared.rdma_devices} - {"", "nearest"}
    cards = sorted({device.partition(":")[0] for device in given})
    return files + cards + (["/dev/infiniband/rdma_cm"] if cards else [])


def circuits(site: Site, facts: Facts) -> Iterator[Result]:
    """No circuit carries more than it may, by the plan and by what GPUs draw and may draw."""
    planned = nodes_power(site, {})
    limits = {each.node: each.gpu_limit_w for each in planned}
    machines = facts.machines()
    for circuit in circuits_power(site, planned):
        where = f"circuit {circuit.circuit}"
        expected = f"at most {circuit.continuous_w:.0f} W without a break"
        drawn = _drawn(site, circuit, machines)
        now = f"about {drawn:.0f} W now, " if drawn else ""
        told = f"{now}up to {circuit.full_w:.0f} W by the plan"
        if circuit.state is CircuitState.OK and drawn <= circuit.continuous_w:
            yield right(Check.CIRCUITS, where, told, expected)
        else:
            remedy = "; or ".join(remedies(site, circuit, planned))
            yield wrong(Check.CIRCUITS, where, told, expected, remedy)
    if not site.power.circuits:
        yield skipped(Check.CIRCUITS, "power", "the site declares no circuits")
        return
    for name, machine in machines.items():
        for gpu in machine.gpus:
            most = limits[name]
            if site.nodes[name].circuit and gpu.power_limit_w and 0 < most < gpu.power_limit_w - 1:
                yield wrong(
                    Check.CIRCUITS,
                    f"{name} GPU {gpu.index}",
                    f"may draw {gpu.power_limit_w:.0f} W",
                    f"{most:.0f} W, with which the plan reckons",
                    f"./rackform up sets nodes.{name}.gpus.power_limit_w, or nvidia.power_limit_w;"
                    f" now: nvidia-smi -i {gpu.index} -pl {most:.0f}",
                )


def _drawn(site: Site, circuit: CircuitPower, machines: dict[str, Machine]) -> float:
    """Return what a circuit's GPUs draw now, with their hosts as the plan has them; 0: unknown."""
    draws = {
        name: [gpu.power_w for gpu in machines[name].gpus if gpu.power_w is not None]
        for name in circuit.nodes
        if name in machines
    }
    if not any(draws.values()):
        return 0.0
    return sum(wall_w(site.nodes[name], sum(draws.get(name, ()))) for name in circuit.nodes)


def nic_width(machine: Machine, interface: str) -> str:
    """Return a card's PCIe width and what it could have; '' where the kernel doesn't tell."""
    for nic in machine.nics:
        if nic.name == interface and nic.pcie_width:
            return f"PCIe x{nic.pcie_width} of x{nic.pcie_width_max or nic.pcie_width}"
    return ""
