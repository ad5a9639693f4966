"""What machines tell of themselves, read: recorded answers, and documented formats."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discover.choices import fabric_nic, gpu_link, gpu_model, node_names
from discover.gpus import gpus, nearest_rdma, nvlinks, topology, versions
from discover.hostkeys import parse
from discover.machine import machine
from discover.model import Gpu, Machine
from discover.probe import MARK, sections
from tests.unit.site_examples import HOST_KEY

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "discover"
WITH_NICS = """\
\t\x1b[4mGPU0\tGPU1\tNIC0\tNIC1\tNIC2\tCPU Affinity\tNUMA Affinity\x1b[0m
GPU0\t X \tNODE\tPIX\tPHB\tSYS\t0-31\t0
GPU1\tNODE\t X \tPHB\tPHB\tSYS\t0-31\t0
NIC0\tPIX\tPHB\t X \tPIX\tSYS
NIC1\tPHB\tPHB\tPIX\t X \tSYS
NIC2\tSYS\tSYS\tSYS\tSYS\t X

Legend:

  X    = Self

NIC Legend:

  NIC0: mlx5_0
  NIC1: mlx5_1
  NIC2: mlx5_bond_0
"""


def recorded(name: str) -> str:
    return (FIXTURES / name).read_text()


def link(name: str, mac: str, address: str | None, mtu: int = 1500) -> dict[str, object]:
    info = [{"family": "inet", "local": address, "prefixlen": 24}] if address else []
    flags = ["UP", "LOWER_UP"]
    return {"ifname": name, "address": mac, "mtu": mtu, "flags": flags, "addr_info": info}


def answered(**parts: str) -> dict[str, str]:
    """Return the sections of a host with two GPUs, a management card and a 100 Gbit/s RoCE card."""
    links = [
        link("eno1", "02:00:00:00:00:01", "192.168.20.11"),
        link("ens1f0", "02:00:00:00:00:02", None),
    ]
    nics = (
        "name=eno1 speed=1000 type=1 pci=0000:03:00.0 driver=igb numa=0 width= width_max=\n"
        "name=ens1f0 speed=100000 type=1 pci=0000:17:00.0 driver=mlx5_core numa=0 "
        "width=16 width_max=16"
    )
    told = {
        "hostname": "gpu1.example.org",
        "machine-id": "1" * 32,
        "clock": "1000000.5",
        "os": recorded("h200-x1-os.txt"),
        "uname": "Linux 6.8.0-60-generic x86_64",
        "cpu": recorded("h200-x1-lscpu.txt"),
        "memory": recorded("h200-x1-memory.txt").splitlines()[0],
        "root": "rw,relatime",
        "sudo": "yes",
        "secure-boot": "SecureBoot disabled",
        "smi": recorded("h200-x2-smi.xml"),
        "topology": recorded("h200-x2-topology.txt"),
        "driver": recorded("h200-x1-driver.txt"),
        "addresses": json.dumps(links),
        "route": '[{"dst": "default", "dev": "eno1"}]',
        "nics": nics,
        "rdma": "mlx5_0 ens1f0",
        "disks": recorded("h200-x1-lsblk.json"),
        "packages": "nvidia-driver-580 580.159.04-1 ii \nnvidia-old 1.0 rc \ndocker.io 26.1 hi ",
        "held": "nvidia-driver-580",
    }
    return {**told, **parts}


def a_machine(address: str = "192.168.20.11", **parts: str) -> Machine:
    return machine(address, answered(**parts), now=1_000_000.0)


def test_two_h200_are_read_as_nvidia_smi_tells_them() -> None:
    first, second = gpus(recorded("h200-x2-smi.xml"))
    assert first == Gpu(
        index=0,
        name="NVIDIA H200",
        bus_id="0000:00:06.0",
        architecture="Hopper",
        memory_mib=143771,
        pcie_gen=5,
        pcie_gen_max=5,
        pcie_width=16,
        pcie_width_max=16,
        temperature_c=38,
        power_w=123.75,
        power_limit_w=700.0,
        power_limit_default_w=700.0,
        power_limit_max_w=700.0,
        persistence=True,
    )
    assert (second.index, second.bus_id) == (1, "0000:00:07.0")
    assert versions(recorded("h200-x2-smi.xml")) == ("580.159.04", "13.0")


def test_a_throttled_gpu_with_ecc_errors_and_a_pending_row_tells_all_three() -> None:
    text = recorded("h200-x1-smi.xml")
    hot = "clocks_event_reason_hw_thermal_slowdown"
    text = text.replace(f"<{hot}>Not Active", f"<{hot}>Active")
    text = text.replace("<remapped_row_pending>No", "<remapped_row_pending>Yes")
    text = text.replace("_hw_therm_slowdown>0 us", "_hw_therm_slowdown>1500000 us")
    marker = text.index("uncorrectable")
    text = text[:marker] + text[marker:].replace(">0<", ">7<", 1)
    (gpu,) = gpus(text)
    assert gpu.throttled == ("too hot (hardware)",)
    assert gpu.slowed_us == 1_500_000
    assert gpu.uncorrected == 7
    assert gpu.memory_faults == ("a row waits to be remapped at the next reset",)


def test_nvlink_is_seen_in_the_recorded_topology() -> None:
    found = topology(recorded("h200-x2-topology.txt"))
    assert found.gpus == ("GPU0", "GPU1")
    assert nvlinks(found) == 18
    assert nearest_rdma(found) == []


def test_two_h100_are_read_as_they_were_recorded() -> None:
    found = gpus(recorded("h100-x2-smi.xml"))
    assert [gpu_model(each) for each in found] == ["h100-sxm", "h100-sxm"]
    assert [(each.index, each.power_limit_w, each.throttled) for each in found] == [
        (0, 700.0, ()),
        (1, 700.0, ()),
    ]
    assert versions(recorded("h100-x2-smi.xml")) == ("580.159.04", "13.0")
    assert nvlinks(topology(recorded("h100-x2-topology.txt"))) == 18


def test_a_topology_of_one_gpu_has_no_links() -> None:
    assert nvlinks(topology(recorded("h200-x1-topology.txt"))) == 0


def test_the_cards_nearest_to_each_gpu_are_taken() -> None:
    found = topology(WITH_NICS)
    assert found.links["GPU0"] == {
        "GPU0": "X", "GPU1": "NODE", "NIC0": "PIX", "NIC1": "PHB", "NIC2": "SYS",
    }  # fmt: skip
    assert nearest_rdma(found) == ["mlx5_0", "mlx5_1"]


@given(st.text(max_size=200))
def test_nothing_that_a_tool_might_print_breaks_a_reader(text: str) -> None:
    assert gpus(text) == ()
    assert topology(text).gpus == ()
    keys = ("smi", "topology", "addresses", "route", "nics", "rdma", "disks", "lldp", "os", "cpu")
    read = machine("10.0.0.1", dict.fromkeys(keys, text))
    assert read.gpus == ()


@given(st.dictionaries(st.sampled_from(["smi", "os"]), st.text("ab\n @", max_size=20)))
def test_an_answer_is_cut_where_it_is_marked(parts: dict[str, str]) -> None:
    text = "".join(f"\n{MARK}{name}\n{body}\n" for name, body in parts.items())
    assert sections(text) == {
        name: "\n".join(body.splitlines()).strip("\n") for name, body in parts.items()
    }


def test_a_matrix_keeps_the_tab_that_its_heading_begins_with() -> None:
    (told,) = sections(f"{MARK}topology\n{WITH_NICS}").values()
    assert topology(told).gpus == ("GPU0", "GPU1")


def test_a_whole_machine_is_read() -> None:
    found = a_machine()
    assert (found.hostname, found.os_id, found.os_version) == ("gpu1", "ubuntu", "24.04")
    assert found.memory_gib > 100
    assert (found.driver, found.cuda, found.open_modules) == ("580.159.04", "13.0", True)
    assert found.packages == {"nvidia-driver-580": "580.159.04-1", "docker.io": "26.1"}
    assert (found.clock_off_s, found.secure_boot, found.may_sudo) == (0.5, False, True)
    assert [disk.name for disk in found.disks] == ["vda", "vdb"]
    management, fabric = found.nics
    assert found.management == management
    assert fabric_nic(found) == fabric
    assert (fabric.rdma, fabric.speed_mbit_s, fabric.pcie_width) == ("mlx5_0", 100000, 16)
    assert gpu_link(found) == "nvlink4"


# As systemd 252 (Debian 12) and 255 (Ubuntu 24.04) print it.
OLD_LLDP = """\
LINK   CHASSIS-ID        SYSTEM-NAME CAPS        PORT-ID     PORT-DESCRIPTION
ens1f0 b4:a9:fc:00:00:01 tor1        ..b........ {}   uplink of gpu

1 neighbors listed."""
NEW_LLDP = """\
LINK   SYSTEM-NAME SYSTEM-DESCRIPTION CHASSIS-ID        PORT-ID     PORT-DESCRIPTION CAPS
ens1f0 tor1        Arista Networks    b4:a9:fc:00:00:01 {}   uplink           ..b........

1 neighbor(s) listed."""


@pytest.mark.parametrize("text", [OLD_LLDP, NEW_LLDP])
def test_networkctl_tells_neighbours_where_lldpd_is_not_there(text: str) -> None:
    found = a_machine(lldp=text.format("Ethernet1"))
    assert found.nics[1].neighbour == "tor1 Ethernet1"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GB10", "gb10"),
        ("NVIDIA A100-SXM4-80GB", "a100-80"),
        ("NVIDIA A100-PCIE-40GB", "a100-40"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"),
        ("", "unknown"),
    ],
)
def test_a_gpu_has_the_name_that_a_site_gives_it(name: str, model: str) -> None:
    assert gpu_model(Gpu(index=0, name=name, bus_id="")) == model


def test_host_names_that_can_name_a_node_do_and_others_get_a_number() -> None:
    hosts = {
        "10.0.0.1": "gpu1",
        "10.0.0.2": "gpu1",
        "10.0.0.3": "a-name-that-is-long",
        "10.0.0.4": "w4",
    }
    found = [machine(address, {"hostname": name}) for address, name in hosts.items()]
    assert node_names(found) == {
        "10.0.0.1": "gpu1", "10.0.0.2": "n2", "10.0.0.3": "n3", "10.0.0.4": "w4",
    }  # fmt: skip


def test_the_strongest_host_key_is_taken_and_has_its_fingerprint() -> None:
    text = (
        "# 10.0.0.1:22 SSH-2.0-OpenSSH_9.2p1\n"
        "10.0.0.1 ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==\n"
        f"10.0.0.1 {HOST_KEY}\n"
    )
    key = parse("10.0.0.1", text)
    assert key
    assert key.key.startswith("ssh-ed25519 ")
    assert key.fingerprint == "SHA256:" + key.fingerprint.removeprefix("SHA256:")
    assert len(key.fingerprint) == len("SHA256:") + 43
    assert parse("10.0.0.1", "") is None


def test_a_pair_of_workstation_cards_is_joined_by_a_bridge() -> None:
    pair = a_machine(smi=recorded("h200-x2-smi.xml").replace("NVIDIA H200", "NVIDIA RTX A6000"))
    assert gpu_link(pair) == "nvlink-bridge"


def test_cards_without_nvlink_are_joined_by_the_narrowest_slot() -> None:
    alone = recorded("h200-x2-topology.txt").replace("NV18", "PHB")
    narrow = recorded("h200-x2-smi.xml").replace(
        "<current_link_width>16x", "<current_link_width>8x", 1
    )
    assert gpu_link(a_machine(topology=alone, smi=narrow)) == "pcie5-x8"
