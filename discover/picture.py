"""What was found, drawn for a terminal: one block a machine. Pure."""

from collections.abc import Iterator, Sequence

from discover.choices import fabric_nic, gpu_link
from discover.gpus import nearest_rdma
from discover.model import Gpu, Machine, Nic

_GB = 1e9


def picture(machines: Sequence[Machine]) -> str:
    return "\n\n".join("\n".join(_machine(machine)) for machine in machines)


def _machine(machine: Machine) -> Iterator[str]:
    yield f"{machine.hostname} ({machine.address})  {machine.os_name}, Linux {machine.kernel}"
    yield (
        f"├─ {machine.cpu or 'CPU'}, {machine.cpus} CPUs in {machine.sockets} socket(s), "
        f"{machine.memory_gib:g} GiB, {machine.numa_nodes} NUMA node(s)"
    )
    for disk in machine.disks:
        kind = "rotating" if disk.rotating else "flash"
        yield f"├─ {disk.name} {disk.size_bytes / _GB:.0f} GB {kind} {disk.model}".rstrip()
    if machine.gpus:
        driver = f"driver {machine.driver or 'unknown'}, CUDA {machine.cuda or 'unknown'}"
        yield f"├─ {len(machine.gpus)} GPU(s) joined by {gpu_link(machine)}; {driver}"
    yield from (f"│  ├─ {_gpu(gpu)}" for gpu in machine.gpus)
    yield from _matrix(machine)
    chosen, near = fabric_nic(machine), nearest_rdma(machine.topology)
    for nic in machine.nics:
        role = "management" if nic is machine.management else "fabric" if nic is chosen else "free"
        yield f"├─ {_nic(nic)}  [{role}{', nearest to the GPUs' if nic.rdma in near else ''}]"
    yield from (f"├─ power supply: {line}" for line in machine.power_supplies)
    yield f"└─ kernel modules of NVIDIA: {_modules(machine)}"


def _gpu(gpu: Gpu) -> str:
    parts = [f"GPU {gpu.index} {gpu.name} {gpu.memory_mib / 1024:.0f} GiB at {gpu.bus_id}"]
    if gpu.pcie_gen_max and gpu.pcie_width:
        parts.append(f"PCIe gen {gpu.pcie_gen_max} x{gpu.pcie_width}")
    if gpu.power_w is not None and gpu.power_limit_w is not None:
        parts.append(f"{gpu.power_w:.0f} of {gpu.power_limit_w:.0f} W")
    if gpu.temperature_c is not None:
        parts.append(f"{gpu.temperature_c} °C")
    return ", ".join(parts)


def _nic(nic: Nic) -> str:
    speed = f"{nic.speed_mbit_s / 1000:g} Gbit/s" if nic.speed_mbit_s else "speed unknown"
    parts = [f"{nic.name} {nic.mac}", speed if nic.up else "no link", f"MTU {nic.mtu_bytes}"]
    parts += [nic.pci] if nic.pci else []
    parts += [f"RDMA {nic.rdma}"] if nic.rdma else []
    parts += list(nic.addresses)
    parts += [f"at {nic.neighbour}"] if nic.neighbour else []
    return ", ".join(parts)


def _matrix(machine: Machine) -> Iterator[str]:
    """Draw the paths between GPUs and to cards, where there is more than one of anything."""
    links = machine.topology.links
    names = [*machine.topology.gpus, *machine.topology.nics]
    if len(names) < 2:  # noqa: PLR2004 - a path has two ends
        return
    width = max(len(name) for name in names) + 1
    yield "│  " + "".join(name.rjust(width) for name in ["", *names])
    for row in machine.topology.gpus:
        cells = [links.get(row, {}).get(name, "") for name in names]
        yield "│  " + "".join(cell.rjust(width) for cell in [row, *cells])


def _modules(machine: Machine) -> str:
    return {True: "open", False: "closed", None: "none loaded"}[machine.open_modules]
