"""From what was found to findings, a picture and a stack file."""

import re
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
import yaml

import cli.discover as work
from discover.findings import findings
from discover.model import Machine
from discover.picture import picture
from discover.proposal import FALLBACK
from discover.stackfile import stack_file
from discover.switches import cautions
from discover.wishes import CableWish, CircuitWish, SwitchWish, Wishes
from fabric.protocol import Membership, SwitchState
from planner.architecture import checkpoints
from planner.decide import decide
from planner.plan import plan
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Rdma, Site
from tests.unit.site_examples import HOST_KEY as KEY
from tests.unit.site_examples import host_key
from tests.unit.test_discover_parsers import (
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


def addressed(machine: Machine, *addresses: str) -> Machine:
    """Return a machine whose card for the fabric has addresses."""
    management, fabric = machine.nics
    own = fabric.model_copy(update={"addresses": addresses})
    return machine.model_copy(update={"nics": (management, own)})


def unlinked(machine: Machine) -> Machine:
    """Return a machine whose card for the fabric has no link."""
    management, fabric = machine.nics
    own = fabric.model_copy(update={"up": False, "speed_mbit_s": None})
    return machine.model_copy(update={"nics": (management, own)})


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
    assert "rdma: roce # every worker has it" in text
    assert "mtu_bytes: 9000 # now: gpu1 1500, gpu2 1500" in text


def test_another_card_with_rdma_is_named_as_what_may_be_a_rail() -> None:
    one = a_machine()
    management, fabric = one.nics
    other = fabric.model_copy(
        update={"name": "ens2f0", "pci": "0000:65:00.0", "rdma": "mlx5_1", "up": False}
    )
    machine = one.model_copy(update={"nics": (management, fabric, other)})
    text = stack_file([machine, second()], wishes())
    assert "        # ens2f0 (0000:65:00.0, mlx5_1) may be a rail: see fabric.rails\n" in text
    assert site(text).nodes["gpu1"].rails == {}
    assert "may be a rail" not in stack_file([one, second()], wishes())


def test_a_switch_that_lldp_hears_gets_its_ports() -> None:
    machines = [
        a_machine(lldp=OLD_LLDP.format("Ethernet0")),
        second(lldp=NEW_LLDP.format("Ethernet4")),
    ]
    switch = SwitchWish("tor1", "sonic", "192.168.20.5", host_key=KEY)
    found = site(stack_file(machines, wishes(switches=[switch])))
    assert found.switches["tor1"].ports == {"Ethernet0": "gpu1.ens1f0", "Ethernet4": "gpu2.ens1f0"}


def test_ports_that_lldp_does_not_tell_are_given_by_options_and_missed_otherwise() -> None:
    switch = SwitchWish("tor1", "sonic", "192.168.20.5", host_key=KEY)
    machines = [a_machine(), second(lldp=NEW_LLDP.format("Ethernet4"))]
    cable = CableWish("tor1", "Ethernet0", "192.168.20.11")
    text = stack_file(machines, wishes(switches=[switch], cables=[cable]))
    assert "Ethernet0: gpu1.ens1f0 # by --cable" in text
    assert "Ethernet4: gpu2.ens1f0 # heard by LLDP" in text

    with pytest.raises(InputError, match=r"hears nothing .* by --cable tor1\.PORT=gpu1"):
        stack_file([a_machine()], wishes(switches=[switch]))
    other = replace(switch, name="rack9")
    with pytest.raises(InputError, match=r"it hears gpu2: tor1 Ethernet4"):
        stack_file(machines, wishes(switches=[other]))
    with pytest.raises(InputError, match=r"names w9, which is none of the nodes"):
        stack_file(machines, wishes(switches=[switch], cables=[replace(cable, node="w9")]))
    with pytest.raises(InputError, match=r"no --switch is named tor1"):
        stack_file(machines, wishes(switches=[other], cables=[cable]))


def test_circuits_are_written_at_the_nodes_that_they_feed() -> None:
    machines = [a_machine(), second()]
    both = [CircuitWish("a", 240, 20, ["gpu1"]), CircuitWish("b", 230, 16, ["192.168.20.12"])]
    found = site(stack_file(machines, wishes(circuits=both)))
    assert (found.nodes["gpu1"].circuit, found.nodes["gpu2"].circuit) == ("a", "b")
    assert (found.power.circuits["b"].volts, found.power.circuits["b"].amps) == (230, 16)
    with pytest.raises(InputError, match="gpu1 is fed by a and a, but a node has one circuit"):
        stack_file(machines, wishes(circuits=[both[0], both[0]]))


def test_the_subnet_of_the_cards_is_kept_and_the_next_free_address_is_given() -> None:
    has = [addressed(a_machine(), "10.9.0.12/24"), addressed(second(), "10.9.0.40/24")]
    found = site(stack_file(has, wishes()))
    assert str(found.fabric.subnet) == "10.9.0.0/24"
    assert str(found.nodes["gpu1"].fabric_address) == "10.9.0.12"

    one = [a_machine(), addressed(second(), "10.78.0.11/24", "169.254.1.1/16")]
    text = stack_file(one, wishes())
    assert "subnet: 10.78.0.0/24 # ASSUMED" in text
    assert str(site(text).nodes["gpu1"].fabric_address) == "10.78.0.12"
    assert str(site(text).nodes["gpu2"].fabric_address) == "10.78.0.11"


def test_what_no_machine_tells_is_marked_as_assumed() -> None:
    text = stack_file([unlinked(a_machine()), unlinked(second())], wishes())
    marked = [line for line in text.splitlines() if line.lstrip().find("ASSUMED") >= 0]
    told = " ".join(marked)
    assert "gbit_s: 100" in told
    assert "subnet: 10.78.0.0/24" in told
    assert "write the commit" in told
    sure_of = wishes(gbit_s=25, fabric_subnet=IPv4Network("10.5.0.0/24"), revision="a" * 40)
    sure = stack_file([unlinked(a_machine()), unlinked(second())], sure_of)
    assert sure.count("ASSUMED") == 1, "only the line that explains the word"
    assert site(sure).fabric.link.gbit_s == 25


def test_the_planner_proposes_the_largest_model_that_is_fast_enough() -> None:
    text = stack_file([a_machine(), second()], wishes())
    found = site(text)
    assert "The planner's proposal: of the models that it knows, the largest" in text
    (decision,) = decide(found)[1]
    chosen = decision.choice.chosen if decision.choice else None
    assert chosen
    assert chosen.prediction.tpot_ms <= 50
    known = list(checkpoints())
    larger = known[: known.index(found.models["chat"].source.removeprefix("hf:"))]
    for name in larger:
        model = found.models["chat"].model_copy(update={"source": f"hf:{name}"})
        (other,) = decide(found.model_copy(update={"models": {"chat": model}}))[1]
        best = other.choice.chosen if other.choice else None
        assert best is None or best.prediction.tpot_ms > 50, name


def test_a_chosen_model_stays_with_the_plans_word_on_it() -> None:
    source = "hf:meta-llama/Llama-3.1-405B-Instruct"
    text = stack_file([a_machine(), second()], wishes(model=source))
    assert site(text).models["chat"].source == source
    assert "# The plan refuses it: models.chat: llama-3.1-405b in bf16" in text


def test_gpus_that_the_planner_does_not_know_get_an_example() -> None:
    unknown = recorded("h200-x2-smi.xml").replace("NVIDIA H200", "NVIDIA GeForce GTX 1234")
    text = stack_file([a_machine(smi=unknown), second(smi=unknown)], wishes())
    assert "An example: the planner can't propose a model for GPUs that it doesn't know." in text
    assert site(text).models["chat"].source == FALLBACK


def test_a_virtual_machines_card_can_carry_the_fabric() -> None:
    nics = answered()["nics"].replace(
        "pci=0000:17:00.0 driver=mlx5_core", "pci=virtio1 driver=virtio_net"
    )
    found = site(stack_file([a_machine(nics=nics, rdma="")], wishes()))
    assert found.nodes["gpu1"].interface == "ens1f0"


def test_a_machine_without_gpus_is_the_head_and_a_second_one_is_left_out() -> None:
    bare = {"smi": "", "topology": ""}
    found = site(stack_file([a_machine(), second(**bare)], wishes()))
    assert found.head == "gpu2"
    assert found.workers == ("gpu1",)
    with pytest.raises(InputError, match="no machine has an NVIDIA GPU"):
        stack_file([second(**bare)], wishes())
    with pytest.raises(InputError, match=r"--head w9 is none of the machines"):
        stack_file([a_machine()], wishes(head="w9"))


def joined(seen: SwitchState | None, unseen: str = "", os: str = "sonic") -> str:
    """Return the stack file of two machines at a switch that told this of itself."""
    machines = [
        a_machine(lldp=OLD_LLDP.format("Ethernet0")),
        second(lldp=NEW_LLDP.format("Ethernet4")),
    ]
    switch = SwitchWish("tor1", os, "192.168.20.5", host_key=KEY, seen=seen, unseen=unseen)
    return " ".join(stack_file(machines, wishes(switches=[switch])).replace("# ", "").split())


def told(managed_vlan: int | None = None, **ports: Membership) -> SwitchState:
    return SwitchState(
        ports={},
        lldp=True,
        neighbours={},
        membership=ports,
        vlans=frozenset({1, 20, 78}),
        managed_vlan=managed_vlan,
    )


def test_a_vlan_is_proposed_where_the_switch_tells_that_the_ports_do_not_forward() -> None:
    address = Membership(carries="INTERFACE|Ethernet4|10.0.0.0/31", remedy="config it away")
    text = joined(told(Ethernet0=Membership(), Ethernet4=address))
    assert "vlan: 79 Ethernet0, Ethernet4: forwards to no other of these ports now" in text
    assert (
        "'up' refuses Ethernet4 while it has 'INTERFACE|Ethernet4|10.0.0.0/31': 'config it away' on"
        " the switch ends it."
    ) in text
    partly = joined(told(Ethernet0=Membership(vlan=20), Ethernet4=Membership(vlan=1)))
    assert "vlan: 20 Ethernet4: forwards to no other of these ports now" in partly


def test_no_vlan_is_proposed_where_the_ports_forward_or_the_switch_told_nothing() -> None:
    text = joined(told(Ethernet0=Membership(vlan=1), Ethernet4=Membership(vlan=1)))
    assert "vlan is left out: these ports forward to each other in VLAN 1." in text
    assert " vlan: " not in text
    text = joined(None, "switch tor1 refuses the login")
    assert "ASSUMED that these ports forward to each other: switch tor1 refuses the login." in text


def test_a_switch_that_is_managed_over_its_own_ports_is_cautioned_of() -> None:
    seen = told(1, Ethernet0=Membership(vlan=1), Ethernet4=Membership(vlan=20))
    assert "it is managed in VLAN 1, over its own ports: leave the port over which" in joined(seen)
    switch = SwitchWish("tor1", "sonic", "192.168.20.5", seen=seen)
    assert [each.machine for each in cautions([switch, replace(switch, seen=told())])] == ["tor1"]
