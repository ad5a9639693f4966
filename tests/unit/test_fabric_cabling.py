"""Cables as declared against cables as LLDP hears them."""

from hypothesis import given
from hypothesis import strategies as st

from fabric import lldp
from fabric.cabling import misplaced
from fabric.protocol import Neighbour

CABLES = {"Ethernet1": "head.fab0", "Ethernet2": "w1.fab0", "Ethernet3": "w2.fab0"}
LLDPCTL = """{"lldp": [{"interface": [
 {"name": "swp1", "via": "LLDP", "rid": "1", "age": "0 day, 00:02:09",
  "chassis": [{"id": [{"type": "mac", "value": "02:00:00:00:00:01"}],
               "name": [{"value": "head.example.org"}],
               "descr": [{"value": "Debian GNU/Linux 12"}]}],
  "port": [{"id": [{"type": "ifname", "value": "ens1f0np0"}], "ttl": [{"value": "120"}]}]}]}]}"""


def heard(**ends: str) -> dict[str, list[Neighbour]]:
    return {
        port: [Neighbour(system_name=end.partition(".")[0], port_id=end.partition(".")[2])]
        for port, end in ends.items()
    }


def test_cables_that_are_where_they_are_declared_are_not_told() -> None:
    assert misplaced("tor1", CABLES, heard(Ethernet1="head.fab0", Ethernet2="w1.fab0")) == []


def test_two_swapped_cables_are_named_once_with_both_ports() -> None:
    found = misplaced("tor1", CABLES, heard(Ethernet2="w2.fab0", Ethernet3="w1.fab0"))
    (sentence,) = found
    assert sentence == (
        "the cables in tor1's Ethernet2 and Ethernet3 are swapped: LLDP hears w2.fab0 on Ethernet2 "
        "and w1.fab0 on Ethernet3: swap the cables, or the two lines in switches.tor1.ports"
    )


def test_a_cable_that_sits_in_another_s_port_is_named_with_its_own() -> None:
    (found,) = misplaced("tor1", CABLES, heard(Ethernet1="w2.fab0"))
    assert "declared for head.fab0, but LLDP hears w2.fab0 there" in found
    assert "which is declared for Ethernet3" in found


def test_a_stranger_is_named() -> None:
    (found,) = misplaced("tor1", CABLES, heard(Ethernet1="printer.eth0"))
    assert "LLDP hears printer.eth0 there: move the cable" in found


def test_a_neighbour_that_tells_only_its_mac_is_known_by_its_name() -> None:
    told = {"Ethernet1": [Neighbour(system_name="head", port_id="02:00:00:00:00:01")]}
    assert misplaced("tor1", CABLES, told) == []


def test_a_domain_in_the_neighbour_s_name_does_not_matter() -> None:
    told = {"Ethernet1": [Neighbour(system_name="head.example.org", port_id="fab0")]}
    assert misplaced("tor1", CABLES, told) == []


@given(st.permutations(sorted(CABLES.values())))
def test_every_wrong_cable_is_named_and_no_right_one(ends: list[str]) -> None:
    told = dict(zip(CABLES, ends, strict=True))
    text = " ".join(misplaced("tor1", CABLES, heard(**told)))
    for port, end in told.items():
        assert (port in text) == (CABLES[port] != end)


def test_what_lldpctl_prints_is_read() -> None:
    assert lldp.neighbours(LLDPCTL) == {
        "swp1": [Neighbour(system_name="head.example.org", port_id="ens1f0np0")]
    }


@given(st.text(max_size=40) | st.sampled_from(["[]", "{}", '{"lldp": 3}', '{"lldp": [[1]]}']))
def test_nothing_that_lldpctl_might_print_breaks_the_reader(text: str) -> None:
    assert lldp.neighbours(text) == {}
