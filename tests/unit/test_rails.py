"""Several links per node, followed through the program: hosts, switches, doctor, monitoring."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from components import hardware
from doctor.checks import CHECKS
from doctor.model import Check, Interface, Ping, Result, Status
from doctor.probe import ping_script, pings
from fabric.cabling import misplaced
from fabric.protocol import Neighbour
from monitoring import exporters, prometheus
from monitoring.alerts import fabric as alerts
from planner.plan import plan
from remote.returned import differences
from stack.expectations import Expectations
from stack.load import load_site
from stack.schema import Site
from tests.unit.doctor_facts import facts, node
from tests.unit.rails import ROCE, real_rails, with_rails
from tests.unit.site_examples import example
from tests.unit.test_components_appliance import Engine, declared
from tests.unit.test_reboots import BACK

TWIN = load_site(with_rails())
CARDS = {
    "nodes.w1.pci": "0000:17:00.0",
    "nodes.w1.rails.rail1.pci": "0000:65:00.0",
    "nodes.w2.rails.rail1.mac": "02:00:00:00:00:02",
}
REAL = load_site(real_rails({**ROCE, **CARDS}))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return declared(with_rails({"monitoring": {"node": "head"}}))


def deploys(engine: Engine, name: str) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = engine.inputs(f"{name}-host")["deploys"]
    return told


def test_a_host_is_told_its_rails_and_one_without_is_told_nothing_of_them(engine: Engine) -> None:
    worker, head = deploys(engine, "w1"), deploys(engine, "head")
    assert worker["fabric_link"]["rails"] == [{"interface": "fab1", "address": "10.79.0.12/24"}]
    assert worker["firewall"]["rails"] == ["fab1"]
    assert worker["nccl_env"]["socket_interface"] == "fab0"
    assert worker["nccl_env"]["cards"] == ["fab0", "fab1"]
    for deploy in ("fabric_link", "firewall", "nccl_env"):
        assert not {"rails", "cards"} & set(head[deploy]), deploy


def test_a_site_without_rails_tells_nobody_of_any() -> None:
    plain = declared(example({"monitoring": {"node": "head"}}))
    told = repr({name: plain.inputs(name) for name in plain.declared})
    assert not [word for word in ("'rails':", '"rails":', "'cards'", "CROSS_NIC") if word in told]


def test_both_cables_of_a_node_are_plugged_and_their_ports_set_alike(engine: Engine) -> None:
    assert engine.inputs("w1-machine")["cables"] == {
        "fab0": "tor1.Ethernet2",
        "fab1": "tor1.Ethernet12",
    }
    ports = engine.inputs("tor1-config")["ports"]
    assert ports["Ethernet12"] == {**ports["Ethernet2"], "description": "w1.fab1"}


def test_what_is_verified_has_each_rail(engine: Engine) -> None:
    told = Expectations.model_validate_json(engine.inputs("verification-run")["stdin"])
    ends = {name: link.address for name, link in told.hosts["w2"].links.items()}
    assert ends == {"fabric": "10.78.0.13", "rail1": "10.79.0.13"}
    assert list(told.hosts["head"].links) == ["fabric"]


def test_a_real_host_is_told_its_cards_by_pci_or_by_mac() -> None:
    assert hardware.real_link(REAL, "w1")["pci"] == "0000:17:00.0"
    assert hardware.rails(REAL, "w1") == [
        {"interface": "fab1", "address": "10.79.0.12/24", "pci": "0000:65:00.0"}
    ]
    assert hardware.rails(REAL, "w2")[0]["mac"] == "02:00:00:00:00:02"
    assert hardware.cards(REAL, "w1") == ["fab0", "0000:17:00.0", "fab1", "0000:65:00.0"]
    assert hardware.cards(REAL, "head") == []


def test_nccl_stays_on_one_rail_where_there_are_several() -> None:
    assert hardware.nccl_settings(REAL) == {"NCCL_IB_TC": "106", "NCCL_CROSS_NIC": "0"}
    assert hardware.nccl_settings(TWIN) == {}
    fabric = {"fabric.link": {"kind": "infiniband", "rdma": "infiniband"}, "fabric.mtu_bytes": 4092}
    devices = {key: value for key, value in ROCE.items() if key.endswith("rdma_devices")}
    infiniband = load_site(real_rails({**fabric, **devices}, without=("switches",)))
    assert hardware.nccl_settings(infiniband) == {"NCCL_CROSS_NIC": "0"}


def test_two_cards_of_one_node_on_swapped_ports_are_named() -> None:
    cables = dict(TWIN.switches["tor1"].ports)
    heard = {
        "Ethernet2": [Neighbour(system_name="w1", port_id="fab1")],
        "Ethernet12": [Neighbour(system_name="w1", port_id="fab0")],
    }
    (told,) = misplaced("tor1", cables, heard)
    assert told == (
        "the cables in tor1's Ethernet2 and Ethernet12 are swapped: LLDP hears w1.fab1 on Ethernet2"
        " and w1.fab0 on Ethernet12: swap the cables, or the two lines in switches.tor1.ports"
    )


def wrong(check: Check, told: Any, site: Site = TWIN) -> list[Result]:
    return [each for each in CHECKS[check](site, told) if each.status is Status.WRONG]


def test_the_doctor_finds_nothing_wrong_with_healthy_rails() -> None:
    told = facts(TWIN)
    assert [wrong(check, told) for check in (Check.LINK, Check.MTU)] == [[], []]
    where = [each.where for each in CHECKS[Check.LINK](TWIN, told)]
    assert where == ["head.fab0", "w1.fab0", "w1.fab1", "w2.fab0", "w2.fab1"]
    (crossed,) = CHECKS[Check.MTU](TWIN, told)
    assert crossed.measured == "9000 bytes cross unfragmented, 8 ways"


def test_the_doctor_names_the_hop_of_the_rail_whose_mtu_is_small() -> None:
    told = facts(TWIN)
    interfaces = node(TWIN, "w1").interfaces
    small = {**interfaces, "fab1": interfaces["fab1"].model_copy(update={"mtu_bytes": 1500})}
    lost = Ping(
        source="w2", target="w1", network="rail1", small=True, large=False, passes_bytes=1500
    )
    told = facts(TWIN, w1=node(TWIN, "w1", interfaces=small))
    (result,) = wrong(Check.MTU, told.model_copy(update={"pings": (*told.pings, lost)}))
    assert result.where == "w1.fab1"
    assert result.measured == "MTU 1500; lost: w2 to w1 over rail1"
    (hidden,) = wrong(Check.MTU, facts(TWIN).model_copy(update={"pings": (lost,)}))
    assert hidden.where == "w2 to w1 over rail1"
    assert "not read: tor1.Ethernet13, tor1.Ethernet12" in hidden.measured


def test_the_doctor_names_a_rail_that_is_down_with_its_port() -> None:
    links = {**node(TWIN, "w1").interfaces, "fab1": Interface(mtu_bytes=9000, up=False)}
    (result,) = wrong(Check.LINK, facts(TWIN, w1=node(TWIN, "w1", interfaces=links)))
    assert (result.where, "tor1.Ethernet12" in result.remedy) == ("w1.fab1", True)
    assert result.expected.startswith("up, 10.79.0.12, ")


def test_pings_over_a_rail_are_asked_for_and_read_as_such() -> None:
    script = ping_script({"w2": "10.78.0.13", "w2/rail1": "10.79.0.13"}, 9000)
    assert "one w2/rail1 10.79.0.13 &" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    found = list(pings("w1", "w2 1 1 56\nw2/rail1 1 0 4172\n"))
    assert [(ping.target, ping.network, ping.large) for ping in found] == [
        ("w2", "fabric", True),
        ("w2", "rail1", False),
    ]


def test_every_rail_is_pinged_small_and_large_from_the_nodes_that_are_on_it() -> None:
    def hosts(name: str) -> list[list[str]]:
        told = exporters.smokeping(TWIN, name).files["/etc/rackform/settings.json"].content
        return [group["hosts"] for group in json.loads(told)["groups"]]

    small, large, *management = hosts("w1")
    assert small == ["10.78.0.11", "10.78.0.13", "10.79.0.13"]
    assert large == [f"::ffff:{address}" for address in small]
    assert management[0] == ["10.77.0.11", "10.77.0.13"]
    assert hosts("head")[0] == ["10.78.0.12", "10.78.0.13"]
    assert "--collector.ethtool.device-include=^(fab0|fab1)$" in (
        exporters.node_exporter(TWIN.nodes["w1"]).command
    )


def test_a_rail_s_pings_are_named_and_judged_as_the_fabric_s() -> None:
    site = load_site(with_rails({"monitoring": {"node": "head"}}))
    jobs = yaml.safe_load(prometheus.config(site, plan(site), []))["scrape_configs"]
    (job,) = [each for each in jobs if each["job_name"] == "smokeping"]
    named = [
        (each["target_label"], each["replacement"])
        for each in job["metric_relabel_configs"]
        if each.get("regex") == "10\\.79\\.0\\.12"
    ]
    assert named == [("peer", "w1"), ("network", "rail1")]
    rules = {rule.name: rule.expr for rule in alerts._links(site)}
    assert 'network=~"fabric|rail1"' in rules["LinkSlow"]
    slow = [rule.expr for rule in alerts._speeds(site)]
    assert [('device="fab1",node=~"w1|w2"' in expr) for expr in slow] == [False, True]


def test_a_node_that_is_back_without_its_rail_is_told_as_such() -> None:
    link = {"ifname": "fab0", "mtu": 4200, "operstate": "UP"}
    up = [{**link, "addr_info": [{"local": BACK.fabric_address}], "mtu": BACK.mtu_bytes}]
    order = BACK.model_copy(update={"rails": {"fab1": "10.79.0.12"}})
    said = list(differences(order, [f"link {json.dumps(up)}"]))
    assert "fab1 has no address (see 'networkctl status fab1')" in said
    assert not any(each.startswith("fab0") for each in said)
