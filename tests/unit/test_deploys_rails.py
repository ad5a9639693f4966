"""Further links of a host: set up as the first, tried one by one, and given back when they go."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from pyinfra_deploys import registry
from pyinfra_deploys.fabric_link import rails as fabric_rails
from pyinfra_deploys.fabric_link import steps as fabric
from pyinfra_deploys.fabric_link.places import ARP, LINK, Places, arp_answers
from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.facts import Links, LinkState, Sysctls
from pyinfra_deploys.operations.holders import (
    NETWORK,
    UNMANAGED,
    Holders,
    InterfaceHolders,
    is_network_managers,
)
from pyinfra_deploys.operations.rdma import NearestRdma
from pyinfra_deploys.operations.record import Entry, Record
from pyinfra_deploys.operations.restore_network import restore_network
from pyinfra_deploys.operations.sysctl import set_sysctls
from pyinfra_deploys.operations.way_back import arm
from pyinfra_deploys.templating import render
from remote.errors import RackformError
from tests.unit.test_deploys_adoption import entry
from tests.unit.test_deploys_firewall import rules
from tests.unit.test_deploys_operations import told
from tests.unit.test_deploys_settings import FABRIC
from tests.unit.test_discover_parsers import WITH_NICS
from tests.unit.test_systems import Recorder, run

RAIL: dict[str, JsonValue] = {"interface": "fab1", "address": "10.79.0.11/24"}
FIRST_NETWORK = "/etc/systemd/network/05-rackform-fabric.network"
RAIL_NETWORK = "/etc/systemd/network/05-rackform-fabric-fab1.network"


def settings(**more: JsonValue) -> Any:
    return registry.settings("fabric_link", {**FABRIC, "rails": [{**RAIL, **more}]})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record what both modules of the deploy ask for, in one list."""
    recorder = Recorder(monkeypatch, fabric)
    of_rails = Recorder(monkeypatch, fabric_rails)
    of_rails.given = recorder.given
    for name in ("name_card", "set_ipoib_mode", "expect_roce_tools"):
        monkeypatch.setattr(fabric, name, recorder._kept(name))
    return recorder


def test_a_rail_has_files_of_its_own_and_a_trial_of_its_own_after_the_first_link_s(
    seen: Recorder,
) -> None:
    run(fabric, "fabric_link", {InterfaceHolders: Holders()}, **FABRIC, rails=[RAIL])
    first, rail = seen.of("apply_link")
    assert (first["interface"], first["files"]) == ("fab0", [FIRST_NETWORK])
    assert (rail["interface"], rail["files"]) == ("fab1", [RAIL_NETWORK])
    assert (rail["address"], rail["mtu_bytes"]) == ("10.79.0.11/24", FABRIC["mtu_bytes"])
    files = {each["path"]: each for each in seen.of("write_file")}
    assert "Name=fab1\n" in files[RAIL_NETWORK]["content"]
    assert files[RAIL_NETWORK]["keep_former"]
    assert files[RAIL_NETWORK]["link"] == "fab1"
    order = [given.get("path", name) for name, given in seen.given]
    assert order.index("apply_link") < order.index(RAIL_NETWORK)
    assert len(seen.of("run_service")) == 1


def test_a_host_with_one_link_is_asked_for_nothing_more(seen: Recorder) -> None:
    run(fabric, "fabric_link", {InterfaceHolders: Holders()}, **FABRIC)
    assert [given.get("path", name) for name, given in seen.given] == [
        "/etc/systemd/networkd.conf.d/10-rackform.conf",
        FIRST_NETWORK,
        "run_service",
        "apply_link",
        "/var/lib/rackform/metrics/fabric.prom",
    ]


def test_each_of_several_links_answers_for_its_own_address_alone(seen: Recorder) -> None:
    run(fabric, "fabric_link", {InterfaceHolders: Holders()}, **FABRIC, rails=[RAIL])
    (values,) = seen.of("set_sysctls")
    assert values["values"] == {**arp_answers("fab0"), **arp_answers("fab1")}
    (at_boot,) = [each for each in seen.of("write_file") if each["path"] == ARP]
    lines = [line for line in at_boot["content"].splitlines() if not line.startswith("#")]
    assert lines == [f"{key} = {value}" for key, value in values["values"].items()]
    assert "net.ipv4.conf.fab1.arp_ignore = 1" in lines


def test_a_dot_in_an_interface_s_name_is_no_dot_of_the_parameter_s(tmp_path: Path) -> None:
    folder = tmp_path / "net" / "ipv4" / "conf" / "fab1.5"
    folder.mkdir(parents=True)
    (folder / "arp_ignore").write_text("0\n")
    (key,) = [key for key in arp_answers("fab1.5") if key.endswith("ignore")]
    ask = Sysctls().command(keys=[key]).replace("/proc/sys", str(tmp_path))
    done = subprocess.run(["sh", "-c", ask], capture_output=True, text=True, check=True)
    assert Sysctls().process(done.stdout.splitlines()) == {key: "0"}
    assert told(set_sysctls, {Sysctls: {key: "0"}}, values={key: "1"}) == [f"sysctl -q -w {key}=1"]
    assert "tr ./ /." in before.sysctls(key)


def test_a_rail_s_card_roce_and_units_are_told_apart_from_the_first_link_s(
    seen: Recorder,
) -> None:
    rail = {**RAIL, "pci": "0000:65:00.0"}
    run(fabric, "fabric_link", {InterfaceHolders: Holders()}, **FABRIC, rails=[rail], roce={})
    (named,) = seen.of("name_card")
    assert (named["interface"], named["pci"]) == ("fab1", "0000:65:00.0")
    assert [each["interface"] for each in seen.of("expect_roce_tools")] == ["fab0", "fab1"]
    files = {each["path"]: each["content"] for each in seen.of("write_file")}
    assert "Path=pci-0000:65:00.0\n" in files["/etc/systemd/network/05-rackform-fabric-fab1.link"]
    assert LINK not in files
    for name, script in (("fab0", "roce"), ("fab1", "roce-fab1")):
        assert f"\ncard={name}\n" in files[f"/etc/rackform/{script}.sh"]
        unit = files[f"/etc/systemd/system/rackform-{script}.service"]
        assert f"ExecStart=/etc/rackform/{script}.sh\n" in unit
        assert f"net-devices-{name}.device" in unit
    units = [each["unit"] for each in seen.of("run_service")]
    assert units[1:] == ["rackform-roce.service", "rackform-roce-fab1.service"]


def test_a_rail_of_infiniband_has_its_mode_and_the_first_link_alone_a_manager(
    seen: Recorder,
) -> None:
    facts: dict[type, object] = {InterfaceHolders: Holders()}
    infiniband: JsonValue = {"opensm": True}
    wide = {**FABRIC, "mtu_bytes": 2044, "infiniband": infiniband}
    run(fabric, "fabric_link", facts, **wide, rails=[RAIL])
    assert [each["script"] for each in seen.of("set_ipoib_mode")] == [
        "/etc/rackform/ipoib.sh",
        "/etc/rackform/ipoib-fab1.sh",
    ]
    units = [each["unit"] for each in seen.of("run_service")]
    assert units.count("opensm.service") == 1
    assert "rackform-ipoib-fab1.service" in units
    assert len(seen.of("install_packages")) == 1


def test_networkmanager_lets_go_of_each_link_by_a_file_of_its_own(seen: Recorder) -> None:
    held: dict[type, object] = {InterfaceHolders: Holders(network_manager=True)}
    run(fabric, "fabric_link", held, **FABRIC, rails=[RAIL])
    files = {each["path"]: each["content"] for each in seen.of("write_file")}
    own = "/etc/NetworkManager/conf.d/05-rackform-fabric-fab1.conf"
    assert files[own] == "[keyfile]\nunmanaged-devices+=interface-name:fab1\n"
    assert files[UNMANAGED].endswith(":fab0\n")
    assert seen.of("apply_link")[1]["files"] == [RAIL_NETWORK, own]
    assert is_network_managers(own)
    former = LinkState(1500, up=True, addresses=())
    assert "systemctl reload NetworkManager" in arm({"fab1": former}, [own]).get_raw_value()


def test_every_link_s_mtu_is_among_the_metrics_the_first_one_s_first() -> None:
    lines = render("fabric_link", "fabric.prom.j2", settings()).splitlines()[2:]
    assert lines == [
        f'rackform_fabric_mtu_bytes{{device="{name}"}} {FABRIC["mtu_bytes"]}'
        for name in ("fab0", "fab1")
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"interface": "fab0"}, "fab0 is in two links: each needs a card of its own"),
        ({"address": "10.78.0.99/24"}, "10.78.0.99/24 is in the subnet of 10.78.0.11/24"),
        ({"address": "10.77.0.11/24"}, "10.77.0.11 is the management address, too"),
        ({"pci": "0000:17:00.0", "mac": "02:00:00:00:00:02"}, "both name the card"),
        ({"mtu_bytes": 1500}, "fabric_link.rails.0.mtu_bytes"),
    ],
)
def test_a_rail_that_is_not_apart_is_refused(more: dict[str, JsonValue], said: str) -> None:
    with pytest.raises(RackformError) as error:
        settings(**more)
    assert said in str(error.value)


def test_the_rails_that_a_host_has_are_found_by_their_files(tmp_path: Path) -> None:
    for name in ("05-rackform-fabric", "05-rackform-fabric-fab1", "05-rackform-fabric-ens2-x.5"):
        (tmp_path / f"{name}.network").touch()
    script = InterfaceHolders().command(interface="lo")
    script = script.replace("/etc/systemd/network", str(tmp_path))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    found = InterfaceHolders().process(done.stdout.splitlines())
    assert sorted(found.rails) == ["ens2-x.5", "fab1"]


RECORD: list[Entry] = [
    entry("sysctl", "net.ipv4.conf.fab1.arp_ignore", value="0", now="1"),
    entry("sysctl", "net.ipv4.conf.fab0.arp_ignore", value="0", now="1"),
    entry("file", ARP, was="absent", now="file"),
    entry("unit", Places("fab1").roce),
    entry("file", Places("fab1").roce_script, was="absent", now="file"),
    entry("file", RAIL_NETWORK, was="absent", now="file"),
    entry("link", "fab1", was="link", name="fab1", mtu="1500", up="no", addresses=""),
    entry("file", FIRST_NETWORK, was="absent", now="file"),
    entry("link", "fab0", was="link", name="fab0", mtu="1500", up="yes", addresses=""),
    entry("sysctl", "net.ipv4.tcp_ecn", value="2", now="1"),
]


def given_back(monkeypatch: pytest.MonkeyPatch, rails: list[JsonValue]) -> list[list[str]]:
    """Return what is put back of a host that has fab1 and fab2, by a site with these rails."""
    asked: list[list[str]] = []
    for module in (fabric, fabric_rails):
        Recorder(monkeypatch, module)

    def keep(entries: list[Entry], management_address: str, **_: str) -> None:
        assert management_address == FABRIC["management_address"]
        asked.append([each.target for each in entries])

    monkeypatch.setattr(fabric_rails, "restore_entries", keep)
    facts: dict[type, object] = {
        InterfaceHolders: Holders(rails=("fab1", "fab2")), Record: RECORD,
    }  # fmt: skip
    run(fabric, "fabric_link", facts, **FABRIC, rails=rails)
    return asked


def test_a_rail_that_is_declared_no_more_is_put_back_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    other: dict[str, JsonValue] = {"interface": "fab2", "address": "10.80.0.11/24"}
    assert given_back(monkeypatch, [other]) == [
        [
            "net.ipv4.conf.fab1.arp_ignore",
            Places("fab1").roce,
            Places("fab1").roce_script,
            RAIL_NETWORK,
            "fab1",
        ]
    ]


def test_with_the_last_rail_goes_what_all_of_them_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = given_back(monkeypatch, [])
    assert first[:3] == [each.target for each in RECORD[:3]]
    assert not {FIRST_NETWORK, "fab0", "net.ipv4.tcp_ecn"} & {*first, *second}


def test_the_network_of_several_links_goes_back_as_one_trial() -> None:
    links = {
        name: LinkState(9000, up=True, addresses=("10.79.0.1/24",)) for name in ("fab0", "fab1")
    }
    entries = [
        each for each in RECORD if each.kind in {"link", "file"} and "network" in each.target
    ]
    entries += [each for each in RECORD if each.kind == "link"]
    lines = told(restore_network, {Links: links}, entries=entries, management_address="10.77.0.11")
    assert lines == [
        "keep the present network's files until it is over",
        "go back to the present network in 60 s unless the host is reached again",
        f"{RAIL_NETWORK}: removed: it was not there",
        f"{FIRST_NETWORK}: removed: it was not there",
        "networkctl reload",
        "fab1: addresses none, MTU 1500",
        "fab0: addresses none, MTU 1500",
        "the host is reached again: keep the new network",
        "the network is as it was",
    ]
    armed = arm(links, [NETWORK]).get_raw_value()
    inner = next(word for word in shlex.split(armed) if "networkctl reload" in word)
    subprocess.run(["sh", "-n"], input=inner, text=True, check=True)
    for name in links:
        assert f"ip addr replace 10.79.0.1/24 dev {name}\n" in inner


def test_the_firewall_lets_the_fabric_in_over_every_rail() -> None:
    assert [line for line in rules(rails=["fab1", "fab2"]) if "iifname" in line] == [
        'iifname { "lo", "fab0", "fab1", "fab2" } accept'
    ]


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        (["ens1", "ens2"], ["mlx5_0", "mlx5_1"]),
        (["ens1", "0000:65:00.0"], ["mlx5_0", "mlx5_1"]),
        (["ens1", "02:00:00:00:00:02"], ["mlx5_0", "mlx5_1"]),
        (["ens1", "ens3"], ["mlx5_0"]),
        (["ens11", "ens1"], ["mlx5_0"]),
    ],
)
def test_of_several_cards_the_declared_ones_are_nearest_whatever_name_they_have_yet(
    tmp_path: Path, cards: list[str], expected: list[str]
) -> None:
    rows = (("mlx5_0", "ens1", "0000:17:00.0", "01"), ("mlx5_1", "ens2", "0000:65:00.0", "02"))
    for device, name, pci, last in rows:
        (tmp_path / "pci" / pci / "net" / name).mkdir(parents=True)
        (tmp_path / "pci" / pci / "net" / name / "address").write_text(f"02:00:00:00:00:{last}\n")
        (tmp_path / "ib" / device).mkdir(parents=True)
        (tmp_path / "ib" / device / "device").symlink_to(tmp_path / "pci" / pci)
    (tmp_path / "topology").write_text(WITH_NICS)
    script = NearestRdma().command(interface="ens1", cards=cards)
    script = script.replace("/sys/class/infiniband", f"{tmp_path}/ib")
    script = script.replace("nvidia-smi topo -m", f"cat {tmp_path}/topology")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert NearestRdma().process(done.stdout.splitlines()) == expected
