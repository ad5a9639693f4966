"""The rules that look at more than one setting: machines, networks and cables."""

import pytest

from stack.load import load_site
from tests.unit.site_examples import errors_of, example, host_key, only_error, real


def test_two_nodes_with_one_management_address_are_refused() -> None:
    assert only_error(example({"nodes.w2.address": "10.77.0.12"})) == (
        "nodes.w2.address = 10.77.0.12, but nodes.w1.address is the same, and no two may be: give"
        " each its own address"
    )


def test_two_nodes_with_one_fabric_address_are_refused() -> None:
    error = only_error(example({"nodes.w2.fabric_address": "10.78.0.12"}))
    assert error.startswith("nodes.w2.fabric_address = 10.78.0.12, but nodes.w1.fabric_address is")


def test_a_node_with_the_address_of_a_switch_is_refused() -> None:
    error = only_error(example({"switches.tor1.address": "10.77.0.13"}))
    assert error.startswith("switches.tor1.address = 10.77.0.13, but nodes.w2.address is the same")


def test_a_node_with_the_address_of_the_controller_is_refused() -> None:
    error = only_error(example({"nodes.w1.address": "10.77.0.1"}))
    assert error.startswith("management.controller = 10.77.0.1, but nodes.w1.address is the same")


def test_an_address_outside_the_fabric_is_refused() -> None:
    assert only_error(example({"nodes.w1.fabric_address": "10.79.0.12"})) == (
        "nodes.w1.fabric_address = 10.79.0.12, but it is outside fabric.subnet = 10.78.0.0/24: use"
        " one of 10.78.0.1 to 10.78.0.254, or change the subnet"
    )


def test_an_address_outside_the_management_network_is_refused() -> None:
    error = only_error(example({"nodes.w1.address": "192.168.1.4"}))
    assert "but it is outside management.subnet = 10.77.0.0/24" in error


@pytest.mark.parametrize("last", [0, 255])
def test_the_first_and_the_last_address_of_a_subnet_are_refused(last: int) -> None:
    error = only_error(example({"nodes.w1.fabric_address": f"10.78.0.{last}"}))
    assert "but the first and the last address of 10.78.0.0/24 belong to no machine" in error


def test_a_fabric_that_overlaps_the_management_network_is_refused() -> None:
    errors = errors_of(example({"fabric.subnet": "10.64.0.0/10"}))
    assert any("but it overlaps management.subnet = 10.77.0.0/24" in error for error in errors)


def test_the_controller_has_the_first_address_unless_told_otherwise() -> None:
    assert str(load_site(example()).controller) == "10.77.0.1"
    changed = real({"management.controller": "10.77.0.9"})
    assert str(load_site(changed).controller) == "10.77.0.9"


def test_the_controller_of_a_twin_has_the_first_address_and_another_is_told_to_be_ignored() -> None:
    site = load_site(example({"management.controller": "10.77.0.9"}))
    assert str(site.controller) == "10.77.0.1"
    assert site.notes() == (
        "management.controller: without effect in a twin, where it is 10.77.0.1",
    )


def test_a_site_without_a_head_is_refused() -> None:
    site = example({"nodes.head.roles": ["worker"], "nodes.head.gpus": {"count": 1}})
    assert "but one of them must be the head: add head to the roles of one" in only_error(site)


def test_a_second_head_is_refused() -> None:
    assert only_error(example({"nodes.w1.roles": ["worker", "head"]})) == (
        'nodes.w1.roles = ["worker", "head"], but head is the head already, and a site has one:'
        " remove head from one"
    )


def test_a_head_may_be_a_worker_too() -> None:
    site = load_site(example({"nodes.head.roles": ["head", "worker"], "nodes.head.gpus.count": 2}))
    assert (site.head, site.workers) == ("head", ("head", "w1", "w2"))


def test_a_role_given_twice_is_refused() -> None:
    assert "but a role counts once" in only_error(example({"nodes.head.roles": ["head", "head"]}))


def test_a_worker_without_gpus_is_refused() -> None:
    assert "but a worker serves with its GPUs" in only_error(example(without=("nodes.w1.gpus",)))


def test_gpus_that_would_not_serve_are_refused() -> None:
    error = only_error(example({"nodes.head.gpus.count": 2}))
    assert error.startswith("nodes.head.gpus.count = 2, but only a worker's GPUs serve")


def test_a_switch_with_the_name_of_a_node_is_refused() -> None:
    site = example()
    assert isinstance(site["switches"], dict)
    site["switches"]["w1"] = site["switches"].pop("tor1")
    assert "switches.w1 has the name of a node" in only_error(site)


@pytest.mark.parametrize(
    "path",
    [
        "registry.node",
        "edge.node",
        "monitoring.node",
        "frontends.open_webui.node",
        "frontends.anythingllm.node",
    ],
)
def test_a_service_on_an_unknown_node_is_refused_with_the_nearest_known_one(path: str) -> None:
    assert only_error(example({path: "haed"})) == (
        f"{path} = haed, but there is no such node: did you mean head?"
    )
    assert load_site(example({path: "w1"}))


def test_an_unknown_circuit_is_refused() -> None:
    circuits = {"power.circuits": {"left": {"volts": 240, "amps": 20}}}
    assert only_error(example({"nodes.w1.circuit": "lift", **circuits})) == (
        "nodes.w1.circuit = lift, but there is no such circuit: did you mean left?"
    )
    assert "declare it in power.circuits" in only_error(example({"nodes.w1.circuit": "a"}))
    assert load_site(example({"nodes.w1.circuit": "left", **circuits}))


def test_a_port_with_a_cable_to_an_unknown_node_is_refused() -> None:
    assert only_error(example({"switches.tor1.ports.Ethernet4": "w3.fab0"})) == (
        "switches.tor1.ports.Ethernet4 = w3.fab0, but there is no node w3: did you mean w2?"
    )


def test_a_port_with_a_cable_to_an_interface_that_is_not_the_fabrics_is_refused() -> None:
    error = only_error(example({"switches.tor1.ports.Ethernet2": "w1.eth0"}))
    assert "but the fabric interface of w1 is fab0: write w1.fab0" in error


def test_a_cable_in_two_ports_is_refused() -> None:
    assert only_error(example({"switches.tor1.ports.Ethernet9": "w1.fab0"})) == (
        "switches.tor1.ports.Ethernet9 = w1.fab0, but switches.tor1.ports.Ethernet2 has that end"
        " already, and a cable has one: remove one of the two"
    )


def test_a_node_on_no_switch_port_is_refused() -> None:
    assert only_error(example(without=("switches.tor1.ports.Ethernet3",))) == (
        "nodes.w2.interface = fab0, but no switch port has it: add a line 'PORT: w2.fab0' to the"
        " ports of a switch"
    )


def test_a_port_that_the_switch_cannot_have_is_refused() -> None:
    site = example(
        {"switches.tor1.ports.swp3": "w2.fab0"}, without=("switches.tor1.ports.Ethernet3",)
    )
    assert "but eos has no port of that name: write Ethernet1 or Ethernet1/1" in only_error(site)


def test_a_twin_without_a_switch_is_refused_and_real_machines_are_not() -> None:
    assert "but a twin has one switch" in only_error(example({"switches": {}}))
    site = load_site(real(without=("switches",)))
    assert any(note.startswith("switches: none is declared") for note in site.notes())


def test_a_twin_with_two_switches_is_refused() -> None:
    second = {"os": "eos", "address": "10.77.0.3", "ports": {"Ethernet1": "w2.fab0"}}
    site = example({"switches.tor2": second}, without=("switches.tor1.ports.Ethernet3",))
    assert "but a twin has one switch" in only_error(site)


def test_an_mtu_above_what_the_switch_takes_is_refused() -> None:
    assert only_error(example({"fabric.mtu_bytes": 9216})) == (
        "fabric.mtu_bytes = 9216, but switch tor1 allows at most 9214: lower it to 9214 or less"
    )


def test_an_mtu_above_what_the_switch_is_declared_to_allow_is_refused() -> None:
    assert only_error(example({"switches.tor1.max_mtu_bytes": 4200})) == (
        "fabric.mtu_bytes = 9000, but switch tor1 allows at most 4200: lower it to 4200 or less,"
        " or raise switches.tor1.max_mtu_bytes"
    )


def test_a_vlan_is_a_number_that_the_switch_has() -> None:
    site = load_site(example({"switches.tor1.vlan": 1}))
    assert site.switches["tor1"].vlan == 1
    sonic = {"switches.tor1.os": "sonic", "switches.tor1.vlan": 1}
    said = "switches.tor1.vlan = 1, but sonic has no VLAN 1: write 2 to 4094"
    assert said in errors_of(example(sonic))
    assert "switches.tor1.vlan = 4095" in only_error(example({"switches.tor1.vlan": 4095}))


def test_a_switch_limit_above_that_of_its_system_is_refused() -> None:
    error = only_error(example({"switches.tor1.max_mtu_bytes": 9300}))
    assert "switches.tor1.max_mtu_bytes = 9300, but eos takes at most 9214" in error


@pytest.mark.parametrize(
    ("system", "port", "refused"),
    [
        ("onyx", "Eth1/1", "1/1"),
        ("cumulus", "swp1", "Ethernet1"),
        ("sonic", "Ethernet0", "Ethernet1/1"),
        ("eos", "Ethernet1/1", "swp1"),
    ],
)
def test_each_network_system_has_its_own_names_for_ports(
    system: str, port: str, refused: str
) -> None:
    ports = {port: "head.fab0", port[:-1] + "7": "w1.fab0", port[:-1] + "8": "w2.fab0"}
    site = load_site(example({"switches.tor1.os": system, "switches.tor1.ports": ports}))
    assert site.switches["tor1"].mtu_limit_bytes == (9214 if system == "eos" else 9216)
    wrong = {refused: "head.fab0", **dict(list(ports.items())[1:])}
    error = only_error(example({"switches.tor1.os": system, "switches.tor1.ports": wrong}))
    assert f"but {system} has no port of that name: write" in error


def test_an_mtu_below_what_the_switch_takes_is_refused() -> None:
    ports = {"Eth1/1": "head.fab0", "Eth1/2": "w1.fab0", "Eth1/3": "w2.fab0"}
    changes = {"switches.tor1": {"os": "onyx", "address": "10.77.0.2", "ports": ports}}
    error = only_error(example({**changes, "fabric.mtu_bytes": 1400}))
    assert error == (
        "fabric.mtu_bytes = 1400, but onyx on switch tor1 takes no less than 1500: raise it"
    )


def test_rdma_that_does_not_fit_the_fabric_is_refused() -> None:
    assert "but that is RDMA over infiniband" in only_error(
        example({"fabric.link.rdma": "infiniband"})
    )
    link = {"kind": "infiniband", "rdma": "roce"}
    errors = errors_of(real({"fabric.link": link}, without=("switches",)))
    assert any("but that is RDMA over ethernet" in error for error in errors)


def test_an_ethernet_switch_on_an_infiniband_fabric_is_refused() -> None:
    error = only_error(example({"fabric.link.kind": "infiniband"}))
    assert "but the fabric is InfiniBand, which eos does not switch" in error


def test_real_workers_name_their_rdma_devices() -> None:
    errors = errors_of(real({"fabric.link.rdma": "roce"}))
    assert [error.partition(" = ")[0] for error in errors] == [
        "nodes.w1.rdma_devices",
        "nodes.w2.rdma_devices",
    ]
    assert load_site(example({"fabric.link.rdma": "roce"}))


def test_rdma_devices_without_rdma_are_refused() -> None:
    error = only_error(example({"nodes.w1.rdma_devices": ["mlx5_0"]}))
    assert "but fabric.link.rdma is none" in error


def test_a_real_machine_without_a_host_key_is_refused() -> None:
    for machine in ("nodes.w1", "switches.tor1"):
        error = only_error(real(without=(f"{machine}.host_key",)))
        assert error.startswith(
            f"{machine}.host_key is missing, but a real machine's key is pinned"
        )


def test_a_twin_of_real_machines_keeps_their_keys_without_effect() -> None:
    site = load_site(real({"twin": True}))
    assert "nodes.w1.host_key: without effect in a twin, which makes its own" in site.notes()
    assert site.nodes["w1"].host_key == host_key("w1")


def test_two_nodes_that_show_one_host_key_are_one_machine() -> None:
    error = only_error(real({"nodes.w2.host_key": host_key("w1")}))
    assert error.startswith(
        "nodes.w2.host_key is that of nodes.w1 too, so w1 (10.77.0.12) and w2 (10.77.0.13) are one "
        "machine"
    )
    assert load_site(real({"nodes.w2.host_key": host_key("w1"), "twin": True}))


def test_the_cuda_image_in_a_twin_is_refused() -> None:
    assert "but the nodes of a twin have no GPU" in only_error(example({"images.vllm": "cuda"}))


def test_the_cuda_image_needs_the_gpu_model() -> None:
    site = real(without=("nodes.w1.gpus.model",))
    assert only_error(site).startswith("nodes.w1.gpus.model is missing")
