"""Several links per node: which are refused, with value, rule and remedy, and what is told."""

import pytest

from stack.load import load_site
from tests.unit.rails import ROCE, real_rails, with_rails
from tests.unit.site_examples import only_error


def test_a_node_s_links_are_told_by_the_names_of_their_networks() -> None:
    site = load_site(with_rails())
    links = site.nodes["w1"].links
    assert {name: (link.interface, str(link.address)) for name, link in links.items()} == {
        "fabric": ("fab0", "10.78.0.12"),
        "rail1": ("fab1", "10.79.0.12"),
    }
    assert site.cables("w1") == {"fab0": "tor1.Ethernet2", "fab1": "tor1.Ethernet12"}
    assert list(site.fabric.subnets) == ["fabric", "rail1"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "nodes.w1.rails.rail1.address",
            "10.80.0.12",
            (
                "nodes.w1.rails.rail1.address = 10.80.0.12, but it is outside fabric.rails.rail1 ="
                " 10.79.0.0/24: use one of 10.79.0.1 to 10.79.0.254, or change the subnet"
            ),
        ),
        (
            "nodes.w1.rails.rail1.address",
            "10.79.0.255",
            (
                "nodes.w1.rails.rail1.address = 10.79.0.255, but the first and the last address of"
                " 10.79.0.0/24 belong to no machine: use one of 10.79.0.1 to 10.79.0.254"
            ),
        ),
        (
            "nodes.w2.rails.rail1.address",
            "10.79.0.12",
            (
                "nodes.w2.rails.rail1.address = 10.79.0.12, but nodes.w1.rails.rail1.address is the"
                " same, and no two may be: give each its own address"
            ),
        ),
        (
            "nodes.w1.rails.rail1.interface",
            "mgmt0",
            (
                "nodes.w1.rails.rail1.interface = mgmt0, but that is a twin's management link: name"
                " the interface of a card, such as fab0"
            ),
        ),
    ],
)
def test_a_rail_s_address_or_interface_that_cannot_be_is_refused(
    path: str, value: str, said: str
) -> None:
    changes = {path: value}
    if path.endswith("interface"):
        changes["switches.tor1.ports.Ethernet12"] = f"w1.{value}"
    assert only_error(with_rails(changes)) == said


@pytest.mark.parametrize(
    ("subnet", "other"),
    [("10.78.0.0/16", "fabric.subnet = 10.78.0.0/24"), ("10.77.0.0/25", "management.subnet = ")],
)
def test_a_rail_s_subnet_that_is_part_of_another_is_refused(subnet: str, other: str) -> None:
    first = subnet.rpartition(".")[0]
    addresses = {f"nodes.w{n}.rails.rail1.address": f"{first}.7{n}" for n in (1, 2)}
    error = only_error(with_rails({"fabric.rails.rail1": subnet, **addresses}))
    assert error.startswith(f"fabric.rails.rail1 = {subnet}, but it overlaps {other}")
    assert error.endswith("use two subnets that share nothing")


def test_two_rails_in_one_subnet_are_refused() -> None:
    error = only_error(with_rails({"fabric.rails.rail2": "10.79.0.128/25"}))
    assert error.startswith("fabric.rails.rail2 = 10.79.0.128/25, but it overlaps fabric.rails.rai")


def test_a_rail_that_the_fabric_has_not_is_refused_with_the_one_that_was_meant() -> None:
    other = {"nodes.w1.rails.rail2": {"interface": "fab1", "address": "10.79.0.12"}}
    assert only_error(with_rails(other, without=("nodes.w1.rails.rail1",))) == (
        "nodes.w1.rails.rail2 = fab1, but fabric.rails has no rail2: did you mean rail1?"
    )
    nowhere = ("fabric.rails", "nodes.w2.rails", "switches.tor1.ports.Ethernet13")
    error = only_error(with_rails(without=nowhere))
    assert error.endswith("no rail1: add 'rail1: SUBNET' to fabric.rails")


def test_a_wrong_rail_is_told_once() -> None:
    assert only_error(with_rails({"nodes.w1.rails.rail1.address": "10.79.0.300"})).startswith(
        "nodes.w1.rails.rail1.address = 10.79.0.300, but an IPv4 address is needed"
    )


def test_a_rail_with_another_network_s_name_is_refused() -> None:
    error = only_error(with_rails({"fabric.rails.management": "10.81.0.0/24"}))
    assert error.endswith("but management is what another network is called: rename the rail")


@pytest.mark.parametrize(
    ("key", "value"),
    [("interface", "fab0"), ("pci", "0000:17:00.0"), ("mac", "02:00:00:00:00:02")],
)
def test_one_card_for_two_links_of_a_node_is_refused(key: str, value: str) -> None:
    changes = {f"nodes.w1.rails.rail1.{key}": value, f"nodes.w1.{key}": value}
    twice = ("switches.tor1.ports.Ethernet12",) if key == "interface" else ()
    site = real_rails(changes, without=twice)
    assert only_error(site) == (
        f"nodes.w1.rails.rail1.{key} = {value}, but nodes.w1.{key} is the same, and each link has a"
        " card of its own: name another one, or remove the rail"
    )


def test_one_card_for_rails_of_two_nodes_is_refused() -> None:
    macs = {f"nodes.{name}.rails.rail1.mac": "02:00:00:00:00:02" for name in ("w1", "w2")}
    assert only_error(real_rails(macs)) == (
        "nodes.w2.rails.rail1.mac = 02:00:00:00:00:02, but nodes.w1.rails.rail1.mac is the same,"
        " and a card is in one node: correct one of the two"
    )


def test_a_card_that_is_named_twice_is_refused_on_a_rail_as_on_the_first_link() -> None:
    card = {"pci": "0000:17:00.0", "mac": "02:00:00:00:00:02"}
    both = {f"nodes.w1.rails.rail1.{key}": value for key, value in card.items()}
    assert only_error(real_rails(both)) == (
        "nodes.w1.rails.rail1.pci = 0000:17:00.0, but nodes.w1.rails.rail1.mac names the card, too:"
        " remove one of the two"
    )


def test_a_worker_without_the_rail_of_others_is_refused_only_where_nccl_pairs_cards() -> None:
    lacking = ("nodes.w2.rails", "switches.tor1.ports.Ethernet13")
    site = load_site(with_rails(without=lacking))
    assert "fabric.rails.rail1: without effect, as w1 alone is on it" in site.notes()
    assert only_error(with_rails({"fabric.link.rdma": "roce"}, without=lacking)) == (
        "nodes.w2.rails = [], but w1 has rail1, and with RDMA NCCL pairs the cards of two nodes:"
        " add nodes.w2.rails.rail1, or remove it there"
    )


def test_a_rail_without_a_cable_or_with_one_of_another_name_is_refused() -> None:
    assert only_error(with_rails(without=("switches.tor1.ports.Ethernet12",))) == (
        "nodes.w1.rails.rail1.interface = fab1, but no switch port has it: add a line 'PORT:"
        " w1.fab1' to the ports of a switch"
    )
    assert only_error(with_rails({"switches.tor1.ports.Ethernet12": "w1.fab2"})) == (
        "switches.tor1.ports.Ethernet12 = w1.fab2, but w1 has no link of that name: write one of"
        " w1.fab0, w1.fab1, or add it to nodes.w1.rails"
    )


def test_a_node_whose_rail_alone_is_plugged_in_is_refused() -> None:
    site = with_rails(without=("switches.tor1.ports.Ethernet2",))
    assert only_error(site).startswith("nodes.w1.interface = fab0, but no switch port has it")


def test_rails_that_nccl_does_not_go_by_are_told() -> None:
    assert any(
        note.startswith("fabric.rails: without effect on NCCL, which without RDMA")
        for note in load_site(with_rails()).notes()
    )
    one = {f"nodes.{name}.rdma_devices": ["mlx5_0"] for name in ("w1", "w2")}
    notes = load_site(real_rails({**ROCE, **one})).notes()
    assert (
        "nodes.w1.rails: NCCL is told of 1 of 2 cards, and the others carry nothing: add theirs to"
        " nodes.w1.rdma_devices"
    ) in notes
    assert not [note for note in load_site(real_rails(ROCE)).notes() if "rails" in note]
