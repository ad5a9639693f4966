"""Graphics cards as the PCI bus has them: all that a machine tells without a driver. Pure."""

import re
from collections.abc import Iterator

from discover.model import Gpu, Machine

UNNAMED = "unknown"
"""The name of a card where the machine has no PCI database."""
_NVIDIA, _AMD = "0x10de", "0x1002"
_GENERATIONS = {"2.5": 1, "5.0": 2, "5": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
"""PCIe's speed a lane in GT/s → its generation."""
_CHIPS = {"GV": "Volta", "TU": "Turing", "GA": "Ampere", "AD": "Ada Lovelace", "GH": "Hopper"}
_BLACKWELL = re.compile(r"GB[12]\d\d")


def pci_gpus(text: str) -> tuple[Gpu, ...]:
    """Return NVIDIA's cards, named as the PCI database has them."""
    return tuple(
        Gpu(
            index=index,
            name=_name(row.get("name", "")),
            bus_id=row.get("pci", ""),
            architecture=_architecture(row.get("name", "")),
            pcie_gen_max=_slower(row.get("speed_max", ""), row.get("slot", "")),
            pcie_width=_width(row.get("width", "")),
            pcie_width_max=_width(row.get("width_max", "")),
        )
        for index, row in enumerate(_rows(text, _NVIDIA))
    )


def with_pci_gpus(machine: Machine) -> Machine:
    """Return a machine whose GPUs are those of its PCI bus where nvidia-smi shows none."""
    return machine.model_copy(update={"gpus": machine.gpus or machine.pci_gpus})


def others(text: str) -> tuple[str, ...]:
    """Return the names of graphics cards that no image here runs on."""
    return tuple(_name(row.get("name", "")) for row in _rows(text, _AMD))


def _rows(text: str, vendor: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        words, _, name = line.partition(" name=")
        row = dict(word.partition("=")[::2] for word in words.split())
        if row.get("vendor") == vendor:
            yield {**row, "name": name.strip()}


def _name(text: str) -> str:
    """Return 'GeForce RTX 4090' of 'AD102 [GeForce RTX 4090]'."""
    named = re.search(r"\[([^\[\]]+)\](?: \(rev \w+\))?$", text)
    return (named[1] if named else text) or UNNAMED


def _architecture(text: str) -> str:
    chip = re.search(r"\b[A-Z]{2}\d{3}\w*", text)
    if not chip:
        return ""
    return "Blackwell" if _BLACKWELL.match(chip[0]) else _CHIPS.get(chip[0][:2], "")


def _slower(card: str, slot: str) -> int | None:
    found = [_GENERATIONS[each] for each in (card, slot) if each in _GENERATIONS]
    return min(found, default=None)


def _width(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None
