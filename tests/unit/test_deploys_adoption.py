"""A network that others set up: taken over with a way back, and given back as it was."""

import shlex
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.exceptions import OperationError

from pyinfra_deploys.fabric_link.places import LINK
from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.facts import Links, LinkState
from pyinfra_deploys.operations.holders import (
    NETWORK,
    UNMANAGED,
    Holders,
    InterfaceHolders,
    expect_own_interface,
)
from pyinfra_deploys.operations.link import apply_link
from pyinfra_deploys.operations.marks import unmarked, without_interface
from pyinfra_deploys.operations.record import Entry
from pyinfra_deploys.operations.restore_network import of_network, restore_network
from pyinfra_deploys.operations.way_back import arm
from tests.unit.test_deploys_operations import LINK as DECLARED
from tests.unit.test_deploys_operations import commands, link, told

INTERFACES = """\
source /etc/network/interfaces.d/*
auto lo eno1 fab0
iface lo inet loopback

allow-hotplug eno1
iface eno1 inet static
    address 10.77.0.11/24

iface fab0 inet static
    address 10.99.0.1/24
    mtu 9000
iface fab0 inet6 manual

iface fab01 inet dhcp
"""
TAKEN = """\
source /etc/network/interfaces.d/*
#rackform: auto lo eno1 fab0
# Rackform's lines begin
auto lo eno1
# Rackform's lines end
iface lo inet loopback

allow-hotplug eno1
iface eno1 inet static
    address 10.77.0.11/24

#rackform: iface fab0 inet static
#rackform:     address 10.99.0.1/24
#rackform:     mtu 9000
#rackform: iface fab0 inet6 manual

iface fab01 inet dhcp
"""
MANAGEMENT = "10.77.0.11"


def test_a_stanza_of_interfaces_is_put_out_of_force_and_comes_back_letter_by_letter() -> None:
    assert without_interface(INTERFACES, "fab0") == TAKEN
    assert without_interface(TAKEN, "fab0") == TAKEN
    assert unmarked(TAKEN) == INTERFACES


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Holders()),
        (["ifupdown /etc/network/interfaces"], Holders(ifupdown=("/etc/network/interfaces",))),
        (["nm"], Holders(network_manager=True)),
        (["member bond0"], Holders(member_of="bond0")),
        (["carries fab0.10", "carries br1"], Holders(carries=("fab0.10", "br1"))),
        (["instead eno1 lo"], Holders(instead=("eno1", "lo"))),
    ],
)
def test_who_holds_an_interface_is_read(lines: list[str], expected: Holders) -> None:
    assert InterfaceHolders().process(lines) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (INTERFACES, True),
        (TAKEN, False),
        ("iface fab01 inet dhcp\n", False),
        ("allow-hotplug eno1 fab0\n", True),
        ("# iface fab0 inet dhcp\n", False),
    ],
)
def test_only_a_stanza_in_force_counts(text: str, *, found: bool) -> None:
    command = InterfaceHolders().command(interface="fab0")
    subprocess.run(["sh", "-n"], input=command, text=True, check=True)
    words = shlex.split(command)
    pattern = words[words.index("-qsE") + 1]
    done = subprocess.run(["grep", "-qE", pattern], input=text, text=True, check=False)
    assert (done.returncode == 0) is found


def test_a_part_of_a_bond_is_refused_with_the_remedy() -> None:
    with pytest.raises(OperationError, match=r"fab0 is a part of bond0.*declare bond0"):
        expect_own_interface("fab0", Holders(member_of="bond0"))
    expect_own_interface("fab0", Holders(network_manager=True))


def test_an_interface_that_carries_others_or_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(OperationError, match=r"fab0 carries fab0\.10, which would be lost"):
        expect_own_interface("fab0", Holders(carries=("fab0.10",)))
    with pytest.raises(OperationError, match=r"no interface fab0 \(there are eno1, ens1f0np0\)"):
        expect_own_interface("fab0", Holders(instead=("eno1", "ens1f0np0", "lo")))
    expect_own_interface("fab0", Holders(instead=("ens1f0np0", "lo")), comes_later=True)


def test_what_lies_upon_an_interface_is_told_apart_from_what_it_is_a_part_of(
    tmp_path: Path,
) -> None:
    for name in ("ens1", "ens1.10", "br0", "lo"):
        (tmp_path / name).mkdir()
    for upper in ("upper_ens1.10", "upper_br0"):
        (tmp_path / "ens1" / upper).symlink_to(tmp_path / upper.removeprefix("upper_"))
    (tmp_path / "ens1" / "master").symlink_to(tmp_path / "br0")

    def found(interface: str) -> Holders:
        script = InterfaceHolders().command(interface=interface)
        script = script.replace("/sys/class/net", str(tmp_path))
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        return InterfaceHolders().process(done.stdout.splitlines())

    assert (found("ens1").member_of, found("ens1").carries) == ("br0", ("ens1.10",))
    assert found("ens1").instead is None
    assert found("fab0").instead == ("br0", "ens1", "ens1.10", "lo")


def test_our_files_come_before_those_of_netplan() -> None:
    for path in (NETWORK, LINK):
        folder, _, name = path.rpartition("/")
        assert folder == "/etc/systemd/network"
        assert name < "10-netplan-fab0.network"


def test_networkmanager_lets_go_before_the_interface_is_set_up_and_is_told_on_the_way_back() -> (
    None
):
    lines = told(apply_link, link(1500), reload_if=lambda: True, files=[UNMANAGED], **DECLARED)
    assert lines[1:3] == ["systemctl reload NetworkManager", "networkctl reload"]
    former = LinkState(1500, up=True, addresses=())
    assert "systemctl reload NetworkManager" in arm({"fab0": former}, [UNMANAGED]).get_raw_value()


def test_an_interface_is_recorded_before_anything_happens_to_it() -> None:
    first = commands(apply_link, link(1500), **DECLARED)[0].get_raw_value()
    assert first.startswith(f"{before.link('fab0')} && {{ ")
    subprocess.run(["sh", "-n"], input=first, text=True, check=True)


def entry(kind: str, target: str, **fields: str) -> Entry:
    return Entry(
        f"id-{target}", kind, target, 1, {k.replace("_", "-"): v for k, v in fields.items()}
    )


RECORD = [
    entry(
        "link", "fab0", was="link", name="ens1f0", mtu="1500", up="yes", addresses="10.99.0.1/24"
    ),
    entry(
        "unit", "systemd-networkd.service", UnitFileState="disabled", ActiveState="inactive",
        now_LoadState="loaded", now_UnitFileState="enabled", now_ActiveState="active",
    ),
    entry("file", NETWORK, was="absent", now="file"),
    entry("file", "/etc/network/interfaces", was="file", content="c", undo="marks", now="file"),
]  # fmt: skip


def going_back(*addresses: str) -> list[str]:
    links: dict[type, object] = {Links: {"fab0": LinkState(9000, up=True, addresses=addresses)}}
    arguments = {"entries": RECORD, "management_address": MANAGEMENT}
    for command in commands(restore_network, links, **arguments):
        subprocess.run(["sh", "-n"], input=command.get_raw_value(), text=True, check=True)
    return told(restore_network, links, **arguments)


def test_the_network_goes_back_as_one_trial() -> None:
    assert going_back("10.78.0.11/24") == [
        "keep the present network's files until it is over",
        "go back to the present network in 60 s unless the host is reached again",
        f"{NETWORK}: removed: it was not there",
        "/etc/network/interfaces: put back as it was",
        "systemctl disable -q systemd-networkd.service",
        "systemctl stop systemd-networkd.service",
        "fab0: addresses 10.99.0.1/24, MTU 1500",
        "the host is reached again: keep the new network",
        "fab0 is called ens1f0 again",
        "the network is as it was",
    ]


def test_an_interface_by_which_the_host_is_reached_by_now_is_left_alone() -> None:
    assert going_back("10.77.0.11/24") == [
        "fab0 stays as it is: the host is reached by it",
    ]


def test_an_interface_that_never_was_there_needs_no_trial() -> None:
    never = entry("link", "fab9", was="absent", name="fab9")
    arguments = {"entries": [never, RECORD[2]], "management_address": MANAGEMENT}
    assert told(restore_network, {Links: {}}, **arguments) == [
        f"{NETWORK}: removed: it was not there",
        "networkctl reload",
        "the network is as it was",
    ]


def test_an_address_too_many_goes_before_the_declared_one_comes() -> None:
    lines = told(apply_link, link(9000, "10.75.0.99/24"), **DECLARED)
    assert lines.index("networkctl reconfigure fab0") > lines.index(
        "ip addr del 10.75.0.99/24 dev fab0 2>/dev/null || true"
    )


def test_only_what_belongs_to_the_network_goes_back_with_it() -> None:
    other = [entry("file", "/etc/nccl.conf"), entry("unit", "docker.service")]
    assert of_network([*RECORD, *other]) == RECORD


def test_files_without_an_interface_are_put_back_too() -> None:
    arguments = {"entries": RECORD[2:], "management_address": MANAGEMENT}
    assert told(restore_network, {Links: {}}, **arguments) == [
        f"{NETWORK}: removed: it was not there",
        "/etc/network/interfaces: put back as it was",
        "networkctl reload",
        "the network is as it was",
    ]
