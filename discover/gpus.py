"""`nvidia-smi -q -x` and `nvidia-smi topo -m`, read. Pure."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Set as AbstractSet

from discover.model import Gpu, Topology

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
POWER_LIMIT = "power limit"
_REASONS = {
    "hw_slowdown": "hardware slowdown",
    "hw_thermal_slowdown": "too hot (hardware)",
    "hw_power_brake_slowdown": "power brake (hardware)",
    "sw_thermal_slowdown": "too hot (driver)",
    "sw_power_cap": POWER_LIMIT,
}
NEAREST = ("X", "PIX", "PXB", "PHB", "NODE", "SYS")
"""nvidia-smi's words for a path, the shortest first; NV# is NVLink."""


def gpus(text: str) -> tuple[Gpu, ...]:
    """Return the GPUs; none for what isn't nvidia-smi's XML."""
    try:
        log = ET.fromstring(text)  # noqa: S314 - printed by a tool on a machine that we log in to
    except ET.ParseError:
        return ()
    return tuple(_gpu(index, element) for index, element in enumerate(log.iter("gpu")))


def versions(text: str) -> tuple[str | None, str | None]:
    """Return the driver's version and the highest CUDA version that it runs."""
    driver = re.search(r"<driver_version>([\d.]+)<", text)
    cuda = re.search(r"<cuda_version>([\d.]+)<", text)
    return driver and driver[1], cuda and cuda[1]


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(element: ET.Element, path: str) -> float | None:
    found = _NUMBER.match(_text(element, path))
    return float(found[0]) if found else None


def _whole(element: ET.Element, path: str) -> int | None:
    found = _number(element, path)
    return None if found is None else int(found)


def _gpu(index: int, element: ET.Element) -> Gpu:
    link = "pci/pci_gpu_link_info"
    power = "gpu_power_readings" if element.find("gpu_power_readings") else "power_readings"
    return Gpu(
        index=index,
        name=_text(element, "product_name"),
        bus_id=_bus_id(element.get("id", "")),
        architecture=_text(element, "product_architecture"),
        memory_mib=_whole(element, "fb_memory_usage/total") or 0,
        pcie_gen=_whole(element, f"{link}/pcie_gen/current_link_gen"),
        pcie_gen_max=_whole(element, f"{link}/pcie_gen/max_link_gen"),
        pcie_width=_whole(element, f"{link}/link_widths/current_link_width"),
        pcie_width_max=_whole(element, f"{link}/link_widths/max_link_width"),
        temperature_c=_whole(element, "temperature/gpu_temp"),
        power_w=_number(element, f"{power}/instant_power_draw")
        or _number(element, f"{power}/power_draw"),
        power_limit_w=_number(element, f"{power}/current_power_limit")
        or _number(element, f"{power}/power_limit"),
        power_limit_default_w=_number(element, f"{power}/default_power_limit"),
        power_limit_max_w=_number(element, f"{power}/max_power_limit"),
        persistence={"Enabled": True, "Disabled": False}.get(_text(element, "persistence_mode")),
        throttled=_throttled(element),
        slowed_us=_slowed_us(element),
        uncorrected=_uncorrected(element),
        memory_faults=_memory_faults(element),
    )


def _bus_id(text: str) -> str:
    """Return nvidia-smi's 00000000:17:00.0 as the kernel has it: 0000:17:00.0."""
    return text[4:].lower() if re.match(r"[0-9A-Fa-f]{8}:", text) else text.lower()


def _throttled(element: ET.Element) -> tuple[str, ...]:
    found = []
    for name, told in _REASONS.items():
        new = _text(element, f"clocks_event_reasons/clocks_event_reason_{name}")
        old = _text(element, f"clocks_throttle_reasons/clocks_throttle_reason_{name}")
        if "Active" in {new, old}:
            found.append(told)
    return tuple(found)


def _slowed_us(element: ET.Element) -> int:
    counters = "clocks_event_reasons_counters"
    names = ("sw_therm_slowdown", "hw_therm_slowdown", "hw_power_brake")
    found = (_whole(element, f"{counters}/{counters}_{name}") for name in names)
    return sum(each or 0 for each in found)


def _uncorrected(element: ET.Element) -> int:
    """Sum up what ECC could not correct, whatever the driver's version calls it."""
    total = 0
    for period in ("volatile", "aggregate"):
        for counter in element.iterfind(f"ecc_errors/{period}/*"):
            if "uncorrectable" in counter.tag and (found := _NUMBER.match(counter.text or "")):
                total += int(float(found[0]))
    return total


def _memory_faults(element: ET.Element) -> tuple[str, ...]:
    asked = {
        "remapped_rows/remapped_row_pending": "a row waits to be remapped at the next reset",
        "remapped_rows/remapped_row_failure": "a row could not be remapped",
        "retired_pages/pending_retirement": "a page waits to be retired at the next reset",
        "retired_pages/pending_blacklist": "a page waits to be retired at the next reset",
    }
    return tuple(dict.fromkeys(t for path, t in asked.items() if _text(element, path) == "Yes"))


def topology(text: str) -> Topology:
    """Read the matrix of `nvidia-smi topo -m`; nothing for what isn't one."""
    lines = _ESCAPE.sub("", text).splitlines()
    head = next((line.split("\t") for line in lines if "\tGPU0" in line), None)
    if head is None:
        return Topology()
    columns = [name.strip() for name in head[1:]]
    kept = [name for name in columns if re.fullmatch(r"(GPU|NIC)\d+", name)]
    links: dict[str, dict[str, str]] = {}
    for line in lines:
        cells = [cell.strip() for cell in line.split("\t")]
        if cells[0] in kept and len(cells) > len(kept):
            links[cells[0]] = dict(zip(kept, cells[1:], strict=False))
    legend = dict(re.findall(r"^\s*(NIC\d+): (\S+)\s*$", "\n".join(lines), re.MULTILINE))
    names = tuple(name for name in kept if name.startswith("GPU"))
    return Topology(gpus=names, nics=legend, links=links)


def nvlinks(found: Topology) -> int:
    """Return how many NVLinks join the two GPUs that have the most between them."""
    joined = (
        re.fullmatch(r"NV(\d+)", path) for row in found.links.values() for path in row.values()
    )
    return max((int(each[1]) for each in joined if each), default=0)


def nearest_rdma(found: Topology, *, without: AbstractSet[str] = frozenset()) -> list[str]:
    """Return the RDMA devices nearest to the GPUs, each GPU's nearest first counted.

    A device is taken where no other has a shorter path to some GPU; without GPUs, all are.
    `without` are devices that don't count, unless there are no others.
    """
    counted = {nic: name for nic, name in found.nics.items() if name not in without} or found.nics
    chosen: set[str] = set()
    for gpu in found.gpus:
        paths = {nic: found.links.get(gpu, {}).get(nic, "SYS") for nic in counted}
        best = min((_rank(path) for path in paths.values()), default=None)
        chosen |= {nic for nic, path in paths.items() if _rank(path) == best}
    names = chosen if found.gpus else set(counted)
    return sorted(found.nics[nic] for nic in names)


def _rank(path: str) -> int:
    return NEAREST.index(path) if path in NEAREST else len(NEAREST)
