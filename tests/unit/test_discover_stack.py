"""From what was found to findings and a stack file, and the whole command over SSH."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import cli.discover as work
from discover import probe
from discover.ask import ask, ask_all
from discover.findings import findings
from discover.hostkeys import HostKey, shown
from discover.model import Machine
from discover.picture import picture
from discover.stackfile import SwitchWish, Wishes, stack_file
from planner.plan import plan
from remote.connection import Connection
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Rdma, Site
from tests.unit.loopback_ssh import Loopback, serving
from tests.unit.site_examples import HOST_KEY as KEY
from tests.unit.site_examples import host_key
from tests.unit.test_discover_parsers import (
    FIXTURES,
    NEW_LLDP,
    OLD_LLDP,
    WITH_NICS,
    a_machine,
    answered,
    recorded,
)


def second(**parts: str) -> Machine:
    told = answered()
    moved = {name: told[name].replace("192.168.20.11", "192.168.20.12") for name in ("addresses",)}
    own = {"hostname": "gpu2", "machine-id": "2" * 32, **moved}
    return a_machine("192.168.20.12", **{**own, **parts})


def texts(*machines: Machine) -> list[str]:
    return [f"{found.severity} {found.text}" for found in findings(machines)]


def test_two_equal_machines_that_are_well_have_no_problem() -> None:
    assert texts(a_machine(), second()) == []


def narrow(width: int, gpu: int = 1) -> str:
    parts = recorded("h200-x2-smi.xml").split("<gpu ")
    parts[gpu] = parts[gpu].replace("<current_link_width>16x", f"<current_link_width>{width}x")
    return "<gpu ".join(parts)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"smi": narrow(4)}, "GPU 0 (0000:00:06.0) runs at x4 of its x16"),
        ({"smi": narrow(8, 2)}, "PCIe is asymmetric (GPU 0 gen 5 x16, GPU 1 gen 5 x8)"),
        ({"modules": "nouveau drm"}, "nouveau drives the GPU"),
        ({"run-file": "/usr/bin/nvidia-uninstall"}, "came from a .run file"),
        ({"held": "linux-image-amd64"}, "linux-image-amd64 is held"),
        ({"os": 'ID=arch\nPRETTY_NAME="Arch Linux"'}, "it runs Arch Linux, but Debian 12"),
        (
            {"user": "rack", "sudo": "sudo: a password is required"},
            "sudo asks user rack for a password, and nobody is there to type it: write 'rack ALL=",
        ),
        ({"root": "ro,relatime"}, "its root is mounted read-only"),
        ({"clock": "1000600.0"}, "its clock is 600 s ahead of this machine's"),
        ({"clock": "999400.0"}, "its clock is 600 s behind this machine's"),
        ({"acs": "6"}, "6 PCIe bridges redirect peer traffic (ACS)"),
        ({"rdma": ""}, "ens1f0 has no RDMA"),
        ({"nics": answered()["nics"].replace("width=16", "width=8")}, "(0000:17:00.0) runs at x8"),
        ({"nics": answered()["nics"].splitlines()[0]}, "no network card beside the management one"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_machine_is_found(parts: dict[str, str], said: str) -> None:
    assert any(said in text for text in texts(a_machine(**parts)))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"docker": "version 27.1.1\ncontainers 3"},
            "note Docker 27.1.1 runs 3 containers: it is kept and they run on",
        ),
        ({"docker": "containers 0\nsnap"}, "problem Docker comes from snap"),
        (
            {"holders": "eno1 /etc/netplan/a.yaml\nens1f0 /etc/netplan/a.yaml"},
            "note ens1f0 is set up by /etc/netplan/a.yaml: an 'up' takes it over",
        ),
        (
            {"holders": "ens1f0 /etc/network/interfaces\nens1f0 NetworkManager"},
            "note ens1f0 is set up by /etc/network/interfaces and NetworkManager",
        ),
        ({"ufw": "Status: active"}, "let it in with 'ufw allow in on ens1f0'"),
    ],
)
def test_what_is_there_already_is_told_with_what_becomes_of_it(
    parts: dict[str, str], said: str
) -> None:
    (told,) = texts(a_machine(**parts))
    assert said in told


def test_an_interface_of_management_that_others_set_up_is_no_news() -> None:
    assert texts(a_machine(holders="eno1 NetworkManager", docker="version \ncontainers 0")) == []


def test_what_differs_between_machines_is_found() -> None:
    other = recorded("h200-x2-smi.xml").replace("580.159.04", "570.86.15")
    found = texts(a_machine(), second(smi=other))
    assert any("NVIDIA drivers differ (gpu1 580.159.04, gpu2 570.86.15)" in text for text in found)
    jumbo = (
        answered()["addresses"].replace("192.168.20.11", "192.168.20.12").replace("1500", "9000")
    )
    assert any(
        "MTUs of the fabric's cards differ" in text
        for text in texts(a_machine(), second(addresses=jumbo))
    )


def test_a_gpu_that_the_catalogue_lacks_works_and_the_gap_is_named() -> None:
    smi = recorded("h200-x2-smi.xml").replace("NVIDIA H200", "NVIDIA GeForce RTX 9090 Ti")
    found = site(stack_file([a_machine(smi=smi)], wishes()))
    gpus = found.nodes["gpu1"].gpus
    assert gpus
    assert gpus.model == "rtx-9090-ti"
    (gap,) = work._unknown(found)
    assert gap.machine == "gpu1"
    assert gap.text.startswith("GPU 'rtx-9090-ti' is not in the planner's catalogue")
    assert "it serves all the same" in gap.text
    planned = plan(found)
    assert (planned.models[0].tensor, planned.expected_gpus) == (2, 2)
    assert any("rtx-9090-ti" in line for line in planned.warnings())


def test_one_machine_at_two_addresses_is_found() -> None:
    twice = second(**{"machine-id": "1" * 32})
    assert any(
        "192.168.20.12 and 192.168.20.11 are one machine" in t for t in texts(a_machine(), twice)
    )


def test_the_picture_shows_gpus_paths_and_the_role_of_every_card() -> None:
    drawn = picture([a_machine(topology=WITH_NICS)])
    assert "GPU 1 NVIDIA H200 140 GiB at 0000:00:07.0, PCIe gen 5 x16" in drawn
    assert re.search(r"│\s+GPU0\s+X\s+NODE\s+PIX", drawn)
    assert (
        "eno1 02:00:00:00:00:01, 1 Gbit/s, MTU 1500, 0000:03:00.0, 192.168.20.11/24  [management]"
        in drawn
    )
    assert "[fabric, nearest to the GPUs]" in drawn


def site(text: str) -> Site:
    return load_site(yaml.safe_load(text)["config"]["rackform:site"])


def wishes(**more: object) -> Wishes:
    keys = {"192.168.20.11": KEY, "192.168.20.12": host_key("n2"), "192.168.20.5": host_key("tor")}
    return Wishes(name="mine", controller="192.168.20.2", host_keys=keys, **more)  # type: ignore[arg-type]  # of its fields


def test_the_stack_file_is_a_valid_site_whose_choices_are_explained() -> None:
    text = stack_file([a_machine(), second()], wishes())
    found = site(text)
    assert found.head == "gpu1"
    assert found.workers == ("gpu1", "gpu2")
    node = found.nodes["gpu2"]
    assert (node.interface, node.rdma_devices, str(node.fabric_address)) == (
        "ens1f0", ("mlx5_0",), "10.78.0.12",
    )  # fmt: skip
    assert node.gpus
    assert (node.gpus.model, node.gpus.count, node.gpus.link) == ("h200", 2, "nvlink4")
    assert str(found.management.subnet) == "192.168.20.0/24"
    assert found.fabric.link.rdma is Rdma.ROCE
    assert "every worker's card has it" in text
    assert "Found: gpu1 1500, gpu2 1500" in text


def test_a_switch_that_lldp_hears_gets_its_ports() -> None:
    machines = [
        a_machine(lldp=OLD_LLDP.format("Ethernet0")),
        second(lldp=NEW_LLDP.format("Ethernet4")),
    ]
    switch = SwitchWish("tor1", "sonic", "192.168.20.5", host_key=KEY)
    found = site(stack_file(machines, wishes(switches=[switch])))
    assert found.switches["tor1"].ports == {"Ethernet0": "gpu1.ens1f0", "Ethernet4": "gpu2.ens1f0"}


def test_a_machine_without_gpus_is_the_head_and_a_second_one_is_left_out() -> None:
    bare = {"smi": "", "topology": ""}
    found = site(stack_file([a_machine(), second(**bare)], wishes()))
    assert found.head == "gpu2"
    assert found.workers == ("gpu1",)
    with pytest.raises(InputError, match="no machine has a GPU"):
        stack_file([second(**bare)], wishes())
    with pytest.raises(InputError, match=r"--head w9 is none of the machines"):
        stack_file([a_machine()], wishes(head="w9"))


def asked(output: Path) -> work.Options:
    return work.Options(
        addresses=["192.168.20.11"],
        name="found",
        user="rack",
        port=22,
        key=None,
        accepted=[],
        accept_all=False,
        wishes=wishes(),
        switches=[],
        output=output,
        force=False,
    )


def stand_in(folder: Path) -> str:
    """Return the probe with a stand-in nvidia-smi on its PATH, which replays what was recorded."""
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        f"cd {shlex.quote(str(FIXTURES))}\n"
        'case "$*" in "-q -x") cat h200-x2-smi.xml;;\n'
        '"topo -m") cat h200-x2-topology.txt;; *) exit 1;; esac\n'
    )
    tool.chmod(0o755)
    return f"PATH={folder}:$PATH; export PATH\n{probe.SCRIPT}"


def connection(loopback: Loopback, folder: Path) -> Connection:
    key = folder / "id"
    key.write_text(loopback.private_key())
    key.chmod(0o600)
    return Connection(
        name="127.0.0.1",
        address="127.0.0.1",
        port=loopback.port,
        user="rack",
        private_key_file=key,
        host_key=loopback.public_host_key,
    )


def test_this_very_machine_is_asked_over_ssh_and_nvidia_smi_replays_a_recording(
    tmp_path: Path,
) -> None:
    with serving() as loopback:
        found = ask(connection(loopback, tmp_path), stand_in(tmp_path))
    kernel = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout
    assert found.kernel == kernel.strip()
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA H200", "NVIDIA H200"]
    assert found.memory_gib > 0
    assert abs(found.clock_off_s) < 5


def test_the_probe_changes_nothing() -> None:
    words = set(re.findall(r"[a-z-]+", probe.SCRIPT))
    assert not words & {"rm", "mv", "cp", "tee", "install", "mkdir", "touch", "modprobe", "ln"}
    assert set(re.findall(r">+\s*([^\s;]+)", probe.SCRIPT)) == {"/dev/null", "&1"}


def test_a_host_key_is_pinned_only_by_its_fingerprint_or_a_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving() as loopback:
        key = shown("127.0.0.1", loopback.port)
    options = asked(tmp_path / "x")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(InputError, match=re.escape(f"add --accept-host-key {key.fingerprint}")):
        work._accepted(key, None, options)
    accepting = replace(options, accepted=[key.fingerprint])
    assert work._accepted(key, None, accepting) == loopback.public_host_key
    with pytest.raises(InputError, match="but stack found pins another"):
        work._accepted(key, KEY, accepting)


@pytest.mark.parametrize(
    ("addresses", "said"),
    [(["gpu1"], "'gpu1' is no IPv4 address"), (["10.0.0.1", "10.0.0.1"], "given twice")],
)
def test_wrong_addresses_are_refused(addresses: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        work._addresses(addresses)


def test_two_addresses_with_one_host_key_are_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(work, "shown", lambda address, _: HostKey(address, KEY))
    monkeypatch.setattr(work, "ask_all", lambda _: pytest.fail("a machine was asked"))
    addresses = ["192.168.20.11", "192.168.20.12"]
    options = replace(asked(tmp_path / "x"), addresses=addresses, key=tmp_path, accept_all=True)
    with pytest.raises(InputError, match=r"20\.11 and 192\.168\.20\.12 show the same host key"):
        work.discover(options)


def test_every_machine_that_tells_nothing_is_named() -> None:
    def lost(last: int) -> Connection:
        return Connection(
            name=f"n{last}", address="127.0.0.1", port=1, private_key_file=Path("/k"), host_key=KEY
        )

    with pytest.raises(RackformError) as error:
        ask_all([lost(1), lost(2)])
    assert [line[:2] for line in str(error.value).splitlines()] == ["n1", "n2"]


def test_a_wrong_switch_option_is_refused_with_an_example() -> None:
    with pytest.raises(InputError, match=r"tor1=sonic@192\.168\.20\.5"):
        work._switch("tor1=junos@10.0.0.1")


def test_a_machine_without_a_shell_is_told(tmp_path: Path) -> None:
    with (
        serving() as loopback,
        pytest.raises(RackformError, match="runs no command for user rack"),
    ):
        ask(connection(loopback, tmp_path), "echo This account is currently not available. >&2")


def test_the_whole_command_writes_a_stack_and_will_not_overwrite_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(work, "ask_all", lambda _: [a_machine()])
    monkeypatch.setattr(work, "shown", lambda address, _: HostKey(address, KEY))
    monkeypatch.setattr(work, "_own_address", lambda _: "192.168.20.2")
    path, key = tmp_path / "stack.yaml", tmp_path / "id"
    options = replace(asked(path), key=key, accept_all=True)
    report = work.discover(options)
    assert path.read_text() == report.stack_file
    assert json.loads(report.model_dump_json())["host_keys"] == {"192.168.20.11": KEY}
    with pytest.raises(InputError, match="overwrite by --force"):
        work.discover(options)
