"""A machine without NVIDIA's driver: what the PCI bus tells, and the stack that comes of it."""

import subprocess
from pathlib import Path

import pytest
import yaml

from discover.cards import pci_gpus, with_pci_gpus
from discover.choices import gpu_link, gpu_model
from discover.model import Machine
from discover.picture import picture
from discover.probe import SCRIPT, sections
from discover.stackfile import stack_file
from stack.load import load_site
from tests.unit.test_discover_parsers import a_machine
from tests.unit.test_discover_stack import texts, wishes

BARE_CARDS = """\
pci=0000:01:00.0 vendor=0x10de speed_max=16.0 slot=8.0 width=16 width_max=16 name=AD102 [GeForce RTX 4090]
pci=0000:21:00.0 vendor=0x10de speed_max=16.0 slot=16.0 width=4 width_max=16 name=21:00.0 VGA compatible controller: NVIDIA Corporation AD102 [GeForce RTX 4090] (rev a1)
pci=0000:30:00.0 vendor=0x1002 speed_max=16.0 slot=16.0 width=16 width_max=16 name=Raphael
pci=0000:40:00.0 vendor=0x1a03 speed_max= slot= width= width_max= name=ASPEED Graphics Family
"""  # noqa: E501 - as a machine tells it


def bare() -> Machine:
    return with_pci_gpus(a_machine(smi="", driver="", topology="", cards=BARE_CARDS))


def test_doctor_goes_by_nvidia_smi_alone() -> None:
    assert a_machine(smi="", cards=BARE_CARDS).gpus == ()
    assert len(with_pci_gpus(a_machine(cards=BARE_CARDS)).gpus) == len(a_machine().gpus)


def test_a_bare_machine_tells_its_gpus_by_the_pci_bus_and_what_it_lacks() -> None:
    machine = bare()
    assert [gpu.name for gpu in machine.gpus] == ["GeForce RTX 4090"] * 2
    found = texts(machine)
    assert any("no NVIDIA driver drives its 2 GPU(s)" in text for text in found)
    assert any("GPU 1 (0000:21:00.0) runs at x4 of its x16" in text for text in found)
    assert any("Raphael is not used: the images run on NVIDIA's GPUs" in text for text in found)
    assert "2 GPU(s) joined by pcie3-x4; driver unknown" in picture([machine])


def test_gpus_without_a_name_are_told_with_what_brings_one() -> None:
    """As on a host with two H200 and no pciutils: its PCI bus, but no file that has its name."""
    cards = "\n".join(
        f"pci=0000:00:0{slot}.0 vendor=0x10de speed_max=32.0 slot= width=16 width_max=16 name="
        for slot in (6, 7)
    )
    machine = with_pci_gpus(a_machine(smi="", driver="", topology="", cards=cards))
    assert [gpu.name for gpu in machine.gpus] == ["unknown"] * 2
    assert [gpu.pcie_gen_max for gpu in machine.gpus] == [5, 5]
    assert any("install pciutils" in text for text in texts(machine))
    assert not any("install pciutils" in text for text in texts(bare()))


def test_the_stack_of_bare_machines_of_two_systems_says_that_versions_may_differ() -> None:
    one = bare()
    other = one.model_copy(
        update={"address": "192.168.20.12", "hostname": "gpu2", "os_name": "Another 1"}
    )
    text = " ".join(stack_file([one, other], wishes()).replace("# ", "").split())
    assert "Another 1 and Ubuntu" in text
    assert "where versions differ, nvidia.systems has them by system" in text
    assert "nvidia.systems" not in stack_file([one], wishes())


def test_the_stack_of_a_bare_machine_names_its_gpus_and_says_how_the_driver_comes() -> None:
    text = stack_file([bare()], wishes())
    line = (
        "gpus: {model: rtx-4090, count: 2, link: pcie3-x4} # GeForce RTX 4090, ASSUMED by its PCI"
    )
    assert line in text
    assert "ASSUMED: gpu1 without NVIDIA's driver" in text
    with_driver = text.replace("    # nvidia:", "    nvidia:").replace("    #   ", "      ")
    raw = yaml.safe_load(with_driver)["config"]["rackform:site"]
    site = load_site(
        {**raw, "nvidia": {k: v for k, v in raw["nvidia"].items() if k != "repository"}}
    )
    assert site.nvidia
    assert site.nvidia.driver_version == "580.159.04"


@pytest.mark.parametrize(
    ("name", "model", "link"),
    [
        ("GH100 [H100 SXM5 80GB]", "h100-sxm", "nvlink4"),
        ("GA100 [A100 SXM4 80GB]", "a100-80", "nvlink3"),
        ("GA100 [A100 PCIe 40GB]", "a100-40", "pcie4-x16"),
        ("GB202 [GeForce RTX 5090]", "rtx-5090", "pcie4-x16"),
    ],
)
def test_the_names_of_the_pci_database_are_those_of_the_catalogue(
    name: str, model: str, link: str
) -> None:
    row = "pci=0000:0{}:00.0 vendor=0x10de speed_max=16.0 slot=16.0 width=16 width_max=16 name={}"
    rows = "\n".join(row.format(number, name) for number in (1, 2))
    found = with_pci_gpus(a_machine(smi="", driver="", topology="", cards=rows))
    assert (gpu_model(found.gpus[0]), gpu_link(found)) == (model, link)


def test_the_probe_reads_graphics_cards_from_sys(tmp_path: Path) -> None:
    slot = tmp_path / "devices" / "0000:00:01.0"
    card = slot / "0000:01:00.0"
    card.mkdir(parents=True)
    files = {"class": "0x030000", "vendor": "0x10de", "max_link_speed": "16.0 GT/s PCIe"}
    files |= {"current_link_width": "8", "max_link_width": "16"}
    for name, text in files.items():
        (card / name).write_text(f"{text}\n")
    (slot / "max_link_speed").write_text("8.0 GT/s PCIe\n")
    (slot / "class").write_text("0x060400\n")
    bus = tmp_path / "bus" / "pci" / "devices"
    bus.mkdir(parents=True)
    for device in (slot, card):
        (bus / device.name).symlink_to(device)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "udevadm").write_text("#!/bin/sh\necho 'ID_MODEL_FROM_DATABASE=GA102 [RTX A6000]'\n")
    (tools / "udevadm").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tools}:/usr/bin:/bin", "RACKFORM_SYS": str(tmp_path)},
    )
    (gpu,) = pci_gpus(sections(done.stdout)["cards"])
    assert (gpu.name, gpu.bus_id, gpu.architecture) == ("RTX A6000", "0000:01:00.0", "Ampere")
    assert (gpu.pcie_gen_max, gpu.pcie_width, gpu.pcie_width_max) == (3, 8, 16)
