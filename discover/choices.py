"""Which of a machine's cards, names and models a site would name, and why. Pure."""

import re
from collections.abc import Sequence

from discover.gpus import nearest_rdma, nvlinks
from discover.model import Gpu, Machine, Nic

_NVLINK = {"Volta": 2, "Ampere": 3, "Hopper": 4, "Blackwell": 5}
_BRANDS = ("nvidia", "geforce", "tesla", "quadro")
_NAMES = (
    (r"RTX 6000 Ada", "rtx-6000-ada"),
    (r"RTX PRO 6000", "rtx-pro-6000"),
    (r"A100.*[- ]80GB", "a100-80"),
    (r"A100.*[- ]40GB", "a100-40"),
    (r"H100 PCIe", "h100-pcie"),
    (r"H100 80GB HBM3|H100 SXM", "h100-sxm"),
    (r"H200", "h200"),
    (r"B200", "b200"),
)
_NODE_NAME_MAX = 12
_VIRTUAL = {"veth", "virtio_net"}
"""Cards of containers and of virtual machines, which have no PCI address of their own."""


def fabric_nic(machine: Machine) -> Nic | None:
    """Return the card for the fabric: never the management one; with RDMA, near the GPUs, fast."""
    near = set(nearest_rdma(machine.topology))

    def worth(nic: Nic) -> tuple[bool, bool, bool, int]:
        rdma = nic.rdma is not None
        return rdma, nic.rdma in near, nic.up, nic.speed_mbit_s or 0

    return max(_free(machine), key=worth, default=None)


def further_nics(machine: Machine, chosen: Nic) -> list[Nic]:
    """Return the other cards that RDMA could go by: each may be a rail."""
    return [nic for nic in _free(machine) if nic.rdma and nic is not chosen]


def _free(machine: Machine) -> list[Nic]:
    management = machine.management
    return [
        nic
        for nic in machine.nics
        if nic is not management
        and nic.name != machine.default_route
        and (nic.pci is not None or nic.driver in _VIRTUAL)
    ]


def heard_port(nic: Nic, switch: str) -> str | None:
    """Return the port of a switch that LLDP hears on a card, if it hears that switch."""
    system, _, port = (nic.neighbour or "").partition(" ")
    return port if port and system.partition(".")[0] == switch else None


def gpu_model(gpu: Gpu) -> str:
    """Return a GPU's name as a site has it.

    'NVIDIA GeForce RTX 4090' is rtx-4090 by its words alone; where nvidia-smi tells more of its
    form or size than a site does, `_NAMES` has it.
    """
    name = next((site for pattern, site in _NAMES if re.search(pattern, gpu.name)), None)
    if name:
        return name
    words = re.findall(r"[a-z0-9]+", gpu.name.lower())
    kept = [word for word in words if word not in _BRANDS]
    return "-".join(kept)[:40].strip("-") or "unknown"


def gpu_link(machine: Machine) -> str | None:
    """Return what joins the GPUs of a machine: nvlink4, or pcie4-x16 by the narrowest."""
    if not machine.gpus:
        return None
    first = machine.gpus[0]
    # Without its driver no GPU tells what it is joined by; SXM baseboards have NVLink.
    baseboard = not machine.driver and len(machine.gpus) > 1 and "SXM" in first.name
    if nvlinks(machine.topology) or baseboard:
        # A workstation's cards are joined in pairs by a bridge, a server's by the baseboard.
        bridged = gpu_model(first).startswith("rtx-")
        return "nvlink-bridge" if bridged else f"nvlink{_NVLINK.get(first.architecture, 4)}"
    generation = min((gpu.pcie_gen_max or 3) for gpu in machine.gpus)
    width = min((gpu.pcie_width or 16) for gpu in machine.gpus)
    return f"pcie{generation}-x{width}"


def node_names(machines: Sequence[Machine]) -> dict[str, str]:
    """Return address → a node's name: its host name where that can be one, else n1, n2, …"""
    taken: set[str] = set()
    names = {}
    for number, machine in enumerate(machines, start=1):
        name = machine.hostname.lower()
        fits = re.fullmatch(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", name) and len(name) <= _NODE_NAME_MAX
        if not fits or name in taken or name == "localhost":
            name = f"n{number}"
        taken.add(name)
        names[machine.address] = name
    return names
