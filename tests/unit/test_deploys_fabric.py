"""The fabric's link on real cards: which card, RoCE, InfiniBand, and the way back."""

import configparser
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from pyinfra.api.exceptions import OperationError

from components.hardware import nccl_settings
from pyinfra_deploys import registry
from pyinfra_deploys.fabric_link.places import Places
from pyinfra_deploys.operations import way_back
from pyinfra_deploys.operations.card import Card, Cards, name_card
from pyinfra_deploys.operations.facts import FileAt, Links, LinkState
from pyinfra_deploys.operations.files import WriteFile, write_file
from pyinfra_deploys.operations.ipoib import IpoibMode, set_ipoib_mode
from pyinfra_deploys.operations.rdma import NearestRdma, chosen
from pyinfra_deploys.operations.roce import RoceParts, expect_roce_tools
from pyinfra_deploys.templating import render
from remote.errors import RackformError
from stack.load import load_site
from tests.unit.site_examples import real
from tests.unit.test_deploys_operations import commands, told
from tests.unit.test_deploys_settings import FABRIC
from tests.unit.test_discover_parsers import WITH_NICS

CARDS = [
    Card("eno1", "0000:03:00.0", "02:00:00:00:00:01"),
    Card("ens1f0", "0000:17:00.0", "02:00:00:00:00:02"),
]
CARD = {"interface": "fab0", "pci": "0000:17:00.0", "mac": None, "management_address": "10.77.0.11"}


def cards(**addresses: str) -> dict[type, object]:
    links = {name: LinkState(1500, up=True, addresses=(a,)) for name, a in addresses.items()}
    return {Cards: CARDS, Links: links}


def test_the_card_of_a_pci_address_gets_the_interface_s_name() -> None:
    assert told(name_card, cards(), **CARD) == [
        "ip link set dev ens1f0 down",
        "ip link set dev ens1f0 name fab0",
        "ip link set dev fab0 up",
    ]
    by_mac = {**CARD, "pci": None, "mac": "02:00:00:00:00:02", "interface": "ens1f0"}
    assert told(name_card, cards(), **by_mac) == []


@pytest.mark.parametrize(
    ("more", "facts", "said"),
    [
        ({"pci": "0000:99:00.0"}, cards(), "no network card is 0000:99:00.0 (there are eno1"),
        ({"pci": "0000:03:00.0"}, cards(eno1="10.77.0.11/24"), "eno1 (0000:03:00.0) has the manag"),
        ({"interface": "eno1"}, cards(), "another card than 0000:17:00.0 is called eno1"),
    ],
)
def test_a_card_that_must_not_be_renamed_is_refused(
    more: dict[str, str], facts: dict[type, object], said: str
) -> None:
    with pytest.raises(OperationError) as error:
        told(name_card, facts, **{**CARD, **more})
    assert said in str(error.value)


def test_cards_are_read() -> None:
    lines = ["eno1 0000:03:00.0 02:00:00:00:00:01", "ens1f0 0000:17:00.0 02:00:00:00:00:02", "x"]
    assert Cards().process(lines) == CARDS


def fabric(**more: JsonValue) -> Any:
    return registry.settings("fabric_link", {**FABRIC, **more})


def test_the_link_file_names_the_card_by_pci_or_by_mac() -> None:
    link: Any = configparser.RawConfigParser()
    link.read_string(render("fabric_link", "fabric.link.j2", fabric(pci="0000:17:00.0")))
    assert link["Match"]["Path"] == "pci-0000:17:00.0"
    assert (link["Link"]["Name"], link["Link"]["MTUBytes"]) == ("fab0", "4200")
    by_mac = render("fabric_link", "fabric.link.j2", fabric(mac="02:00:00:00:00:02"))
    assert "PermanentMACAddress=02:00:00:00:00:02\n" in by_mac


def roce_script(mode: str = "lossless") -> str:
    return render("fabric_link", "roce.sh.j2", fabric(roce={"mode": mode}), cnp_dscp=48)


def roce_set_up(tmp_path: Path, mode: str, *tools: str) -> list[str]:
    """Run the script over a stand-in of /sys, and return what was asked of the tools."""
    config, bin_dir, asked = tmp_path / "config", tmp_path / "bin", tmp_path / "asked"
    (tmp_path / "net" / "fab0" / "device" / "infiniband" / "mlx5_0").mkdir(parents=True)
    (config / "rdma_cm" / "mlx5_0" / "ports" / "1").mkdir(parents=True)
    bin_dir.mkdir()
    for tool in (*tools, "modprobe", "sysctl", "rmdir"):
        (bin_dir / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >> {asked}\n')
        (bin_dir / tool).chmod(0o755)
    for tool in ("ls", "mkdir", "sh"):
        (bin_dir / tool).symlink_to(f"/bin/{tool}")
    text = roce_script(mode).replace("/sys/class", str(tmp_path))
    text = text.replace("/sys/kernel/config", str(config))
    subprocess.run(
        ["/bin/sh", "-c", text], check=True, env={"PATH": str(bin_dir)}, capture_output=True
    )
    tos = config / "rdma_cm/mlx5_0/ports/1/default_roce_tos"
    assert tos.read_text() == "106\n"
    return [line for line in asked.read_text().splitlines() if line.startswith(("mlnx", "dcb"))]


@pytest.mark.parametrize(
    ("mode", "tools", "asked"),
    [
        ("lossless", ["mlnx_qos", "dcb"], ["mlnx_qos -i fab0 --trust dscp --pfc 0,0,0,1,0,0,0,0"]),
        ("lossy", ["mlnx_qos"], ["mlnx_qos -i fab0 --trust dscp --pfc 0,0,0,0,0,0,0,0"]),
        (
            "lossless",
            ["dcb"],
            [
                "dcb app replace dev fab0 dscp-prio 26:3 48:6",
                "dcb pfc set dev fab0 prio-pfc all:off 3:on",
            ],
        ),
        (
            "lossy",
            ["dcb"],
            [
                "dcb app replace dev fab0 dscp-prio 26:3 48:6",
                "dcb pfc set dev fab0 prio-pfc all:off",
            ],
        ),
    ],
)
def test_lossless_roce_has_pfc_on_its_priority_and_lossy_has_none(
    tmp_path: Path, mode: str, tools: list[str], asked: list[str]
) -> None:
    assert roce_set_up(tmp_path, mode, *tools) == asked


def test_a_card_whose_driver_came_with_the_kernel_has_no_file_for_the_traffic_class() -> None:
    text = roce_script()
    assert "if [ -e $class ]; then echo 106 > $class; fi\n" in text


def test_nccl_marks_its_packets_for_the_priority_that_is_lossless() -> None:
    devices = {f"nodes.{name}.rdma_devices": ["mlx5_0"] for name in ("w1", "w2")}
    roce = load_site(real({"fabric.link": {"rdma": "roce"}, **devices}))
    settings = registry.settings(
        "nccl_env", {"socket_interface": "ens1f0", "extra": dict(nccl_settings(roce))}
    )
    assert "NCCL_IB_TC=106\n" in render("nccl_env", "nccl.conf.j2", settings)
    assert nccl_settings(load_site(real())) == {}


def test_roce_is_set_up_when_the_card_appears() -> None:
    settings = fabric(interface="ens-1", roce={})
    script = Places().roce_script
    text = render("fabric_link", "rackform-roce.service.j2", settings, script=script)
    assert r"After=sys-subsystem-net-devices-ens\x2d1.device" in text
    assert "ExecStart=/etc/rackform/roce.sh" in text


def ipoib(
    tmp_path: Path, now: str, *, takes: bool, **more: JsonValue
) -> subprocess.CompletedProcess[str]:
    """Run the script over a stand-in of /sys, whose card takes the mode or keeps the one it has."""
    link = tmp_path / "fab0"
    link.mkdir()
    (link / "mode").write_text(f"{now}\n")
    text = render("fabric_link", "ipoib.sh.j2", fabric(**more))
    text = text.replace("/sys/class/net", str(tmp_path)).replace("modprobe", "true")
    if not takes:
        text = text.replace("> $mode", "> /dev/null")
    return subprocess.run(["sh"], input=text, capture_output=True, text=True, check=False)


def test_ipoib_loads_its_module_and_takes_its_mode(tmp_path: Path) -> None:
    done = ipoib(tmp_path, "connected", takes=True, infiniband={}, mtu_bytes=4092)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "fab0/mode").read_text() == "datagram\n"
    text = render("fabric_link", "ipoib.sh.j2", fabric(infiniband={}, mtu_bytes=4092))
    assert "modprobe -qa ib_ipoib ib_umad\n" in text
    facts: dict[type, object] = {IpoibMode: ""}
    ask = {"interface": "fab0", "mode": "datagram", "script": "/etc/rackform/ipoib.sh"}
    assert told(set_ipoib_mode, facts, **ask) == ["/etc/rackform/ipoib.sh"]
    assert told(set_ipoib_mode, {IpoibMode: "datagram"}, **ask) == []


def test_a_card_that_knows_datagrams_alone_is_told_with_the_mtu_that_it_takes(
    tmp_path: Path,
) -> None:
    connected: dict[str, JsonValue] = {"infiniband": {"mode": "connected"}, "mtu_bytes": 9000}
    done = ipoib(tmp_path, "datagram", takes=False, **connected)
    assert done.returncode == 1
    assert "fab0 can't be connected, as 9000 bytes need it" in done.stderr
    assert "set fabric.mtu_bytes to 4092 or less" in done.stderr


def test_an_infiniband_link_gets_its_address_before_the_subnet_has_a_manager() -> None:
    network = render("fabric_link", "link.network.j2", fabric(infiniband={}, mtu_bytes=4092))
    assert "ConfigureWithoutCarrier=yes\n" in network
    assert "Carrier" not in render("fabric_link", "link.network.j2", fabric())
    manager: dict[str, JsonValue] = {"infiniband": {"opensm": True}, "mtu_bytes": 4092}
    large = render("fabric_link", "partitions.conf.j2", fabric(**manager))
    assert "Default=0x7fff, ipoib, mtu=5 : ALL=full;\n" in large


def test_roce_without_its_device_or_tools_is_refused_with_the_remedy() -> None:
    for tool in ("mlnx_qos", "dcb"):
        assert told(expect_roce_tools, {RoceParts: {tool, "device"}}, interface="fab0") == []
    with pytest.raises(OperationError, match="fab0 has no RDMA device"):
        told(expect_roce_tools, {RoceParts: set()}, interface="fab0")
    with pytest.raises(OperationError, match="neither mlnx_qos nor dcb is found"):
        told(expect_roce_tools, {RoceParts: {"device"}}, interface="fab0")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pci": "0000:17:00.0", "mac": "02:00:00:00:00:02"}, "both name the card"),
        ({"roce": {}, "infiniband": {}}, "two fabrics"),
        ({"infiniband": {}, "mtu_bytes": 9000}, "(datagram) has at most 4092"),
        ({"infiniband": {"mode": "connected"}, "mtu_bytes": 65535}, "at most 65520"),
        ({"pci": "17:00.0"}, "fabric_link.pci"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    more: dict[str, JsonValue], said: str
) -> None:
    with pytest.raises(RackformError) as error:
        fabric(**more)
    assert said in str(error.value)


def test_the_devices_nearest_to_the_gpus_are_asked_of_the_host() -> None:
    near = NearestRdma().process(WITH_NICS.splitlines())
    assert near == ["mlx5_0", "mlx5_1"]
    assert chosen(["nearest"], near) == near
    assert chosen(["mlx5_3:1"], near) == ["mlx5_3:1"]
    with pytest.raises(OperationError, match="'nvidia-smi topo -m' shows none"):
        chosen(["nearest"], [])


def test_a_card_of_the_management_network_is_not_nearest_whatever_its_slot(tmp_path: Path) -> None:
    """GPU 0 has mlx5_0 with the default route; mlx5_1 is the fabric's, mlx5_2 has no address."""
    for device, name in (("mlx5_0", "eno1"), ("mlx5_1", "ens1"), ("mlx5_2", "ens2")):
        (tmp_path / "ib" / device / "device" / "net" / name).mkdir(parents=True)
        (tmp_path / "ib" / device / "ports" / "1").mkdir(parents=True)
        (tmp_path / "ib" / device / "ports" / "1" / "link_layer").write_text("Ethernet\n")
    programs = {
        "nvidia-smi": f"cat {tmp_path}/topology",
        "ip": 'case "$*" in *route*) echo default via 10.0.0.1 dev eno1;; *eno1*) echo inet;; esac',
    }
    (tmp_path / "topology").write_text(WITH_NICS)
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    def nearest(interface: str) -> list[str]:
        script = NearestRdma().command(interface=interface)
        script = script.replace("/sys/class/infiniband", f"{tmp_path}/ib")
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        )
        return NearestRdma().process(done.stdout.splitlines())

    assert nearest("ens1") == ["mlx5_1"]
    (tmp_path / "ib/mlx5_0/ports/1/link_layer").write_text("InfiniBand\n")
    assert nearest("ens1") == ["mlx5_0", "mlx5_1"]


def shell(script: str) -> None:
    subprocess.run(["sh", "-eu", "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("before", ["old\n", None])
def test_a_file_goes_back_to_what_it_was_or_to_nothing(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_back, "FORMER", str(tmp_path / "former"))
    file = tmp_path / "10-fabric.network"
    if before:
        file.write_text(before)
    shell(way_back.keep(str(file)))
    file.write_text("new\n")
    shell(way_back.keep(str(file)))  # a second run before the first was confirmed
    file.write_text("newer\n")
    shell(way_back._restore(str(file)))
    assert (file.read_text() if file.exists() else None) == before


def test_the_way_back_puts_addresses_and_mtu_back_and_is_valid_shell() -> None:
    former = LinkState(1500, up=True, addresses=("10.78.0.11/24", "10.78.0.99/24"))
    armed = way_back.arm({"fab0": former}, ["/etc/systemd/network/a b.network"]).get_raw_value()
    subprocess.run(["sh", "-n"], input=armed, text=True, check=True)
    assert "--on-active=60" in armed
    inner = next(word for word in shlex.split(armed) if "networkctl reload" in word)
    subprocess.run(["sh", "-n"], input=inner, text=True, check=True)
    lines = inner.splitlines()
    assert lines.index("networkctl reload") < lines.index("ip link set dev fab0 mtu 1500")
    assert "ip addr replace 10.78.0.99/24 dev fab0" in lines


def test_only_a_network_file_keeps_its_former_self() -> None:
    (kept,) = commands(write_file, {FileAt: None}, path="/etc/x", content="a", keep_former=True)
    (plain,) = commands(write_file, {FileAt: None}, path="/etc/x", content="a")
    assert isinstance(kept, WriteFile)
    assert "/run/rackform/former/x.absent" in kept.get_raw_value()
    assert "former" not in plain.get_raw_value()
    subprocess.run(["sh", "-n"], input=kept.get_raw_value(), text=True, check=True)
