"""Only SSH and the declared services are let in, and nobody is locked out."""

import configparser
from typing import Any

import pytest
from pydantic import JsonValue
from pyinfra.context import ctx_host

from pyinfra_deploys import registry
from pyinfra_deploys.firewall.steps import RULES, TABLE, UNIT
from pyinfra_deploys.operations.nftables import TableInForce, load_table
from pyinfra_deploys.templating import render
from remote.errors import RackformError
from stack import doors
from stack.doors import open_tcp
from stack.load import load_site, read_stack
from stack.schema import Site
from tests.unit.sites import changed

FIREWALL: dict[str, JsonValue] = {"fabric_interface": "fab0", "open_tcp": [5000, 22, 443, 22]}


def rules(**values: JsonValue) -> list[str]:
    settings = registry.settings("firewall", {**FIREWALL, **values})
    text = render("firewall", "firewall.nft.j2", settings)
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_all_is_let_in_over_loopback_and_the_fabric_alone() -> None:
    assert [line for line in rules() if "iifname" in line] == ['iifname { "lo", "fab0" } accept']


def test_declared_ports_are_open_each_once_and_in_order() -> None:
    assert [line for line in rules() if "tcp dport" in line] == [
        "tcp dport { 22, 443, 5000 } accept"
    ]


def test_what_no_rule_let_in_is_dropped_last() -> None:
    *accepting, last = [line for line in rules() if line.endswith((" accept", " drop"))]
    assert last == "meta l4proto { tcp, udp } counter drop"
    assert all(line.endswith(" accept") for line in accepting)


def test_answers_are_let_in_before_anything_is_dropped() -> None:
    lines = rules()
    assert lines.index("ct state established,related accept") < lines.index(
        "meta l4proto { tcp, udp } counter drop"
    )


def test_only_our_own_table_is_replaced_and_in_the_same_transaction() -> None:
    lines = [line for line in rules() if not line.startswith("#")]
    assert lines[:3] == [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    assert not any("flush" in line for line in lines)
    assert [line for line in lines if line.startswith(("table", "delete"))] == lines[:3]


def test_the_unit_loads_the_rules_before_the_network_and_after_the_distributions_own() -> None:
    unit = configparser.RawConfigParser(strict=False)
    settings = registry.settings("firewall", FIREWALL)
    unit.read_string(render("firewall", f"{UNIT}.j2", settings))
    assert unit["Service"]["ExecStart"].endswith(f"nft -f {RULES}")
    assert unit["Service"]["ExecReload"] == unit["Service"]["ExecStart"]
    assert unit["Service"]["ExecStop"].endswith(f"delete table {TABLE}")
    assert "network-pre.target" in unit["Unit"]["Before"]
    for relation in ("After", "PartOf", "ReloadPropagatedFrom"):
        assert unit["Unit"][relation] == "nftables.service"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"open_tcp": [443]}, "reached by SSH on port 22; add that to open_tcp"),
        ({"open_tcp": []}, "would lock everybody out"),
        ({"ssh_port": 2222}, "reached by SSH on port 2222"),
        ({"open_tcp": [22, 70000]}, "firewall.open_tcp.1 = 70000"),
        ({"fabric_interface": 'fab0" } accept'}, "firewall.fabric_interface"),
    ],
)
def test_settings_that_would_lock_out_or_make_no_rule_are_refused(
    values: dict[str, JsonValue], said: str
) -> None:
    with pytest.raises(RackformError) as error:
        registry.settings("firewall", {**FIREWALL, **values})
    assert said in str(error.value)


class RecordedHost:
    def __init__(self, *, in_force: bool) -> None:
        self.in_force = in_force

    def get_fact(self, fact: type, **_: object) -> bool:
        assert fact is TableInForce
        return self.in_force

    def noop(self, _: str) -> None: ...


def told(*, in_force: bool, new_file: bool) -> list[str]:
    operation: Any = load_table
    with ctx_host.use(RecordedHost(in_force=in_force)):
        found = operation._inner(table=TABLE, path=RULES, load_if=lambda: new_file)
        return [str(command) for command in found]


def test_rules_in_force_are_not_loaded_again() -> None:
    assert told(in_force=True, new_file=False) == []


@pytest.mark.parametrize(("in_force", "new_file"), [(False, False), (True, True), (False, True)])
def test_rules_changed_by_hand_or_by_the_site_are_loaded(
    in_force: bool,  # noqa: FBT001 - parameters of the table
    new_file: bool,  # noqa: FBT001
) -> None:
    assert told(in_force=in_force, new_file=new_file) == [f"nft -f {RULES}"]


def test_a_table_is_in_force_only_if_the_host_says_so() -> None:
    assert TableInForce().process(["same"]) is True
    assert TableInForce().process(["Error: no such table"]) is False
    assert TableInForce.default() is False


def test_the_path_of_the_rules_is_quoted_for_both_shells() -> None:
    command = TableInForce().command(table=TABLE, path="/etc/a b")
    assert "nft -f '\"'\"'/etc/a b'\"'\"' && nft -s list table inet rackform" in command


def site(**parts: dict[str, Any]) -> Site:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    return load_site({**raw, **parts})


def test_a_worker_opens_ssh_alone_and_the_head_what_it_serves() -> None:
    lab = site()
    assert open_tcp(lab, "head") == [22, 443, 5000, 8443, 8445]
    assert open_tcp(lab, "w1") == open_tcp(lab, "w2") == [22]


def test_the_ports_follow_the_site() -> None:
    ports = {"port": 9443, "operations_port": 9445}
    moved = site(edge=ports, registry={"port": 5001}, frontends={})
    assert open_tcp(moved, "head") == [22, 5001, 9443, 9445]


def test_every_port_of_the_edge_is_opened_on_its_node_wherever_the_front_end_runs() -> None:
    moved = site(edge={"node": "w1"}, frontends={"open_webui": {"node": "w2"}})
    assert open_tcp(moved, "w1") == [22, 443, 8443, 8445]
    assert open_tcp(moved, "w2") == [22]


def test_a_front_end_that_cannot_be_run_opens_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = site(frontends={"anythingllm": {"node": "head"}})
    monkeypatch.setattr(doors, "runs", lambda _: False)
    assert 8444 not in open_tcp(declared, "head")
    monkeypatch.setattr(doors, "runs", lambda _: True)
    assert 8444 in open_tcp(declared, "head")


def test_without_anything_for_the_operator_its_port_stays_closed() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    alone = load_site({**raw, "edge": {"node": "w1"}, "monitoring": None, "frontends": {}})
    assert open_tcp(alone, "w1") == [22, 443]


def test_the_port_of_ssh_follows_the_site_where_machines_are_real() -> None:
    real = load_site(changed("homelab-4x2", "ssh", {"port": 2222}))
    assert open_tcp(real, "n2") == [2222]
