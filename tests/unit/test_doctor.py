"""The doctor's checks: each on facts that are right, and on facts that are wrong."""

import pytest

from discover.model import Machine
from doctor.checks import CHECKS, examine, examined
from doctor.model import (
    Answer,
    Certificate,
    Check,
    Clock,
    ContainerFacts,
    Facts,
    Interface,
    NodeFacts,
    Ping,
    RayMember,
    Result,
    Room,
    Service,
    Status,
    SwitchFacts,
)
from fabric.protocol import Membership, Neighbour, PortState, SwitchState
from stack.load import load_site
from stack.schema import Site
from tests.unit.doctor_facts import IMAGE, facts, gpu_machine, node, served, switched
from tests.unit.site_examples import example, real

TWIN = load_site(example())
REAL = load_site(real())


def found(check: Check, told: Facts, site: Site = TWIN) -> list[Result]:
    return list(CHECKS[check](site, told))


def wrong(check: Check, told: Facts, site: Site = TWIN) -> list[Result]:
    """Return what is wrong, each with its three sentences."""
    results = [each for each in found(check, told, site) if each.status is Status.WRONG]
    assert all(each.measured and each.expected and each.remedy for each in results)
    return results


def only(check: Check, told: Facts, site: Site = TWIN) -> Result:
    (result,) = wrong(check, told, site)
    return result


def test_every_check_has_a_name_and_a_judge() -> None:
    assert list(CHECKS) == list(Check)


@pytest.mark.parametrize("site", [TWIN, REAL], ids=["twin", "real"])
@pytest.mark.parametrize("check", list(Check))
def test_a_healthy_cluster_has_nothing_wrong(check: Check, site: Site) -> None:
    results = found(check, facts(site), site)
    assert results
    assert [each for each in results if each.status is Status.WRONG] == []
    if not site.twin:
        skipped = {each.where for each in results if each.status is Status.SKIPPED}
        assert skipped <= {"power", "head"}, "only what is not declared goes unexamined"


def test_what_a_twin_only_simulates_is_said_to_be() -> None:
    for check in (Check.GPUS, Check.PCIE, Check.DRIVERS, Check.DEVICES):
        results = found(check, facts(TWIN))
        assert {each.status for each in results} == {Status.SKIPPED}
        assert "twin" in results[0].measured
    assert "simulated" in found(Check.LINK, facts(TWIN))[0].measured


def test_a_node_that_is_off_is_named_and_the_others_are_examined() -> None:
    off = NodeFacts(reachable=False, reason="w2 (root@10.77.0.13:22) can't be reached: timed out")
    told = facts(TWIN, w2=off)
    result = only(Check.NODES, told)
    assert (result.where, result.measured) == ("w2", off.reason)
    assert [each.where for each in found(Check.CONTAINERS, told)] == ["head", "w1"]
    assert [each.where for each in found(Check.NCCL, told)] == ["head", "w1"]


def test_a_switch_that_does_not_answer_is_named() -> None:
    told = facts(TWIN).model_copy(update={"switches": {"tor1": SwitchFacts(reason="timed out")}})
    assert only(Check.NODES, told).where == "tor1"
    assert found(Check.CABLING, told) == []


def test_a_stack_that_was_never_up_says_so_once() -> None:
    told = facts(TWIN).model_copy(update={"service": None, "never_up": "it was never brought up"})
    results = examine(TWIN, told, [Check.TOKENS, Check.RAY])
    (result,) = [each for each in results if each.status is Status.WRONG]
    assert (result.check, result.measured) == (Check.STACK, "it was never brought up")
    assert "./rackform up" in result.remedy


def test_a_named_check_stands_on_the_nodes_and_the_stack() -> None:
    assert examined([Check.MTU]) == {Check.MTU, Check.NODES}
    assert examined([Check.RAY]) == {Check.RAY, Check.NODES, Check.STACK}
    assert examined([]) == set(Check)
    assert {each.check for each in examine(TWIN, facts(TWIN), [Check.MTU])} == {
        Check.NODES,
        Check.MTU,
    }


def test_clocks_that_are_apart_name_the_node_that_is_off() -> None:
    told = facts(TWIN, w1=node(TWIN, "w1", clock=Clock(off_s=-4.2, uncertain_s=0.1)))
    result = only(Check.CLOCKS, told)
    assert "w1 is -4.2 s off" in result.measured


def test_when_all_clocks_are_off_alike_it_is_this_machine_s() -> None:
    off = Clock(off_s=-600.2, uncertain_s=0.1)
    told = facts(TWIN, **{name: node(TWIN, name, clock=off) for name in TWIN.nodes})
    result = only(Check.CLOCKS, told)
    assert (result.where, result.measured) == (
        "this machine",
        "every node's clock is 600 s behind it",
    )


def test_a_node_that_cannot_be_changed_is_wrong() -> None:
    bad = gpu_machine("w1").model_copy(
        update={"root_writable": False, "may_sudo": False, "user": "rack", "sudo_said": ""}
    )
    said = [
        each.measured
        for each in wrong(Check.NODES, facts(REAL, w1=node(REAL, "w1", machine=bad)), REAL)
    ]
    assert [text.partition(",")[0] for text in said] == [
        "sudo asks user rack for a password", "its root is mounted read-only",
    ]  # fmt: skip


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    told = facts(TWIN, w1=node(TWIN, "w1", clock=Clock(off_s=1.9, uncertain_s=1.5)))
    assert wrong(Check.CLOCKS, told) == []


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(path="/", size_bytes=10**12, free_bytes=10**10), "10.0 GB free of 1000.0 (1%)"),
        (Room(path="/", size_bytes=10**10, free_bytes=10**9), "1.0 GB free of 10.0 (10%)"),
        (
            Room(path="/", size_bytes=10**12, free_bytes=10**12, free_inodes_share=0.01),
            "1% of its inodes free",
        ),
    ],
)
def test_a_full_disk_is_told_in_bytes_and_in_inodes(room: Room, said: str) -> None:
    result = only(Check.DISK, facts(TWIN, w1=node(TWIN, "w1", rooms=(room,))))
    assert (result.where, result.measured) == ("w1:/", said)


def test_mixed_drivers_are_told_and_so_is_one_that_is_not_declared() -> None:
    other = gpu_machine("w2", driver="570.86.15")
    mixed = only(Check.DRIVERS, facts(REAL, w2=node(REAL, "w2", machine=other)), REAL)
    assert "w1 580.159.04, w2 570.86.15" in mixed.measured
    packages = {"nvidia-open": "570.86.15-1"}
    site = load_site(real({"nvidia.driver_version": "570.86.15", "nvidia.packages": packages}))
    results = wrong(Check.DRIVERS, facts(site), site)
    assert {(each.measured, each.expected) for each in results} == {("580.159.04", "570.86.15")}


def test_missing_device_files_and_rdma_devices_are_named() -> None:
    site = load_site(
        real(
            {
                "fabric.link.rdma": "roce",
                **{f"nodes.{name}.rdma_devices": ["mlx5_0:1"] for name in ("head", "w1", "w2")},
            }
        )
    )
    assert wrong(Check.DEVICES, facts(site), site) == []
    lacking = node(site, "w1", device_files=("/dev/nvidia0", "/dev/nvidiactl"), rdma_devices=())
    result = only(Check.DEVICES, facts(site, w1=lacking), site)
    assert result.measured == (
        "missing: /dev/nvidia1, /dev/nvidia-uvm, mlx5_0, /dev/infiniband/rdma_cm"
    )


def _with_gpus(**changes: object) -> Machine:
    machine = gpu_machine("w1")
    first, *rest = machine.gpus
    return machine.model_copy(update={"gpus": (first.model_copy(update=changes), *rest)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature_c": 91}, "91 °C"),
        ({"throttled": ("too hot (driver)",)}, "throttled now (too hot (driver))"),
        ({"uncorrected": 3}, "3 memory errors"),
    ],
)
def test_a_gpu_in_trouble_is_named(changes: dict[str, object], said: str) -> None:
    sick = node(REAL, "w1", machine=_with_gpus(**changes))
    result = only(Check.GPUS, facts(REAL, w1=sick), REAL)
    assert result.where == "w1 GPU 0"
    assert said in result.measured


def test_a_gpu_at_work_is_at_its_power_limit_and_what_is_past_is_told_without_alarm() -> None:
    busy = _with_gpus(throttled=("power limit",), slowed_us=1_500_000, power_w=699)
    told = facts(REAL, w1=node(REAL, "w1", machine=busy))
    assert wrong(Check.GPUS, told, REAL) == []
    state = found(Check.GPUS, told, REAL)[0].measured
    assert "699 W, at its power limit, slowed by heat or power for 1.5 s" in state


def test_a_gpu_that_is_gone_is_missed() -> None:
    machine = gpu_machine("w1")
    fewer = machine.model_copy(update={"gpus": machine.gpus[:1]})
    result = only(Check.GPUS, facts(REAL, w1=node(REAL, "w1", machine=fewer)), REAL)
    assert (result.measured, result.expected) == ("nvidia-smi shows 1 GPUs", "2 GPUs")


def test_a_narrow_slot_is_told_on_its_node_and_as_asymmetry() -> None:
    narrow = node(REAL, "w1", machine=_with_gpus(pcie_width=4))
    results = wrong(Check.PCIE, facts(REAL, w1=narrow), REAL)
    assert "x4 of its x16" in results[0].measured
    assert "asymmetric" in results[1].measured
    assert results[-1].where == "nodes"
    assert "w1: 1 GPUs at gen 5 x16, 1 GPUs at gen 5 x4" in results[-1].measured


def test_gpus_that_are_joined_otherwise_than_declared_are_told() -> None:
    site = load_site(real({"nodes.w1.gpus.link": "pcie4-x16"}))
    result = only(Check.PCIE, facts(site), site)
    assert "nvlink4" in result.measured
    assert "pcie4-x16" in result.expected


def test_a_circuit_is_judged_by_the_plan_and_by_what_gpus_may_draw() -> None:
    feeds = {f"nodes.{name}.circuit": "a" for name in ("w1", "w2")}
    circuit = {"power.circuits": {"a": {"volts": 240, "amps": 10}}, **feeds}
    small = load_site(real(circuit))
    results = wrong(Check.CIRCUITS, facts(small), small)
    assert results[0].where == "circuit a"
    assert results[0].measured == "about 827 W now, up to 2378 W by the plan"
    limits = {f"nodes.{name}.gpus.power_limit_w": 300 for name in ("w1", "w2")}
    large = load_site(
        real({**circuit, **limits, "power.circuits": {"a": {"volts": 240, "amps": 30}}})
    )
    told = wrong(Check.CIRCUITS, facts(large), large)
    assert [each.where for each in told] == ["w1 GPU 0", "w1 GPU 1", "w2 GPU 0", "w2 GPU 1"]
    assert "300 W" in told[0].expected


def test_a_circuit_that_carries_more_than_the_plan_has_is_told() -> None:
    site = load_site(
        real({"power.circuits": {"a": {"volts": 240, "amps": 20}}, "nodes.w1.circuit": "a"})
    )
    assert [each.where for each in wrong(Check.CIRCUITS, facts(site), site)] == [
        "w1 GPU 0",
        "w1 GPU 1",
    ], "an H200 may draw more than the RTX 4090 with which the plan reckons"
    hungry = facts(site, w1=node(site, "w1", machine=_with_gpus(power_w=5000.0)))
    assert "about 5" in wrong(Check.CIRCUITS, hungry, site)[0].measured


@pytest.mark.parametrize(
    ("interface", "said"),
    [
        (None, "not there"),
        (Interface(mtu_bytes=9000, up=False), "down or has no carrier"),
        (Interface(mtu_bytes=9000, up=True, addresses=("10.78.0.99",)), "it has 10.78.0.99"),
    ],
)
def test_a_fabric_interface_out_of_order_is_told(interface: Interface | None, said: str) -> None:
    interfaces = {"fab0": interface} if interface else {}
    result = only(Check.LINK, facts(TWIN, w1=node(TWIN, "w1", interfaces=interfaces)))
    assert result.where == "w1.fab0"
    assert said in result.measured
    assert "tor1.Ethernet2" in result.remedy


def test_a_link_below_its_declared_speed_is_told() -> None:
    slow = Interface(mtu_bytes=9000, up=True, addresses=("10.78.0.12",), speed_mbit_s=25000)
    result = only(Check.LINK, facts(REAL, w1=node(REAL, "w1", interfaces={"fab0": slow})), REAL)
    assert "25 Gbit/s" in result.measured
    assert "100 Gbit/s" in result.expected


def test_swapped_cables_are_named_once() -> None:
    heard = {
        "Ethernet1": [Neighbour(system_name="head", port_id="fab0")],
        "Ethernet2": [Neighbour(system_name="w2", port_id="fab0")],
        "Ethernet3": [Neighbour(system_name="w1", port_id="fab0")],
    }
    told = facts(TWIN).model_copy(update={"switches": {"tor1": switched(neighbours=heard)}})
    assert "Ethernet2 and Ethernet3 are swapped" in only(Check.CABLING, told).measured


def test_a_port_on_which_nobody_is_heard_proves_nothing() -> None:
    told = facts(TWIN).model_copy(update={"switches": {"tor1": switched(neighbours={})}})
    (result,) = found(Check.CABLING, told)
    assert result.status is Status.SKIPPED


def _lost(*pairs: tuple[str, str], passes: int = 1500) -> tuple[Ping, ...]:
    names = ("head", "w1", "w2")
    ways = [(a, b) for a in names for b in names if a != b]
    return tuple(
        Ping(source=a, target=b, small=True, large=(a, b) not in pairs,
             passes_bytes=passes if (a, b) in pairs else None)
        for a, b in ways
    )  # fmt: skip


AROUND_W1 = (("head", "w1"), ("w1", "head"), ("w1", "w2"), ("w2", "w1"))


def test_an_mtu_that_breaks_at_a_host_is_told_there_with_a_remedy() -> None:
    small = {"fab0": Interface(mtu_bytes=1500, up=True, addresses=("10.78.0.12",))}
    told = facts(TWIN, w1=node(TWIN, "w1", interfaces=small))
    told = told.model_copy(update={"pings": _lost(*AROUND_W1)})
    result = only(Check.MTU, told)
    assert result.where == "w1.fab0"
    assert result.measured.startswith("MTU 1500; lost: head to w1")
    assert "ip link set fab0 mtu 9000" in result.remedy


def test_an_mtu_that_breaks_at_a_switch_s_port_is_told_there() -> None:
    told = facts(TWIN).model_copy(
        update={
            "pings": _lost(*AROUND_W1),
            "switches": {"tor1": switched(mtus={"Ethernet2": 1500})},
        }
    )
    result = only(Check.MTU, told)
    assert result.where == "tor1.Ethernet2"
    assert "port Ethernet2 of switch tor1" in result.remedy


def test_an_mtu_that_breaks_where_nobody_looks_tells_what_is_right() -> None:
    told = facts(TWIN).model_copy(update={"pings": _lost(("w1", "w2"), passes=4200)})
    result = only(Check.MTU, told)
    assert result.where == "w1 to w2"
    assert "9000 bytes are lost, 4200 bytes pass" in result.measured
    assert "w1.fab0, tor1.Ethernet2, tor1.Ethernet3, w2.fab0" in result.measured


def test_a_way_that_carries_nothing_is_no_question_of_mtu() -> None:
    silent = Ping(source="w1", target="w2", small=False, large=False)
    told = facts(TWIN).model_copy(update={"pings": (silent,)})
    assert "no answer at all" in only(Check.MTU, told).measured
    assert told.switches["tor1"].state
    shut = told.switches["tor1"].state.ports["Ethernet3"].model_copy(update={"enabled": False})
    told.switches["tor1"].state.ports["Ethernet3"] = shut
    assert "tor1.Ethernet3 is shut down" in only(Check.MTU, told).measured


def test_a_way_that_ends_in_another_vlan_or_in_none_is_said_to() -> None:
    site = TWIN.model_copy(
        update={"switches": {"tor1": TWIN.switches["tor1"].model_copy(update={"vlan": 78})}}
    )
    silent = Ping(source="w1", target="w2", small=False, large=False)
    told = facts(TWIN).model_copy(update={"pings": (silent,)})
    assert told.switches["tor1"].state
    ways = told.switches["tor1"].state.membership
    ways |= {"Ethernet2": Membership(vlan=78), "Ethernet3": Membership(vlan=20)}
    [result] = wrong(Check.MTU, told, site)
    assert result.measured.endswith("; tor1.Ethernet3 is in VLAN 20")
    ways["Ethernet3"] = Membership()
    [result] = wrong(Check.MTU, told, TWIN)
    assert result.measured.endswith("; tor1.Ethernet3 is in no VLAN, and forwards to nobody")


def test_a_switch_that_could_not_be_read_is_told_where_packets_are_lost() -> None:
    told = facts(TWIN).model_copy(
        update={"pings": _lost(("w1", "w2")), "switches": {"tor1": SwitchFacts(reason="no")}}
    )
    assert "not read: tor1.Ethernet2, tor1.Ethernet3" in only(Check.MTU, told).measured


def test_one_node_alone_has_no_way_to_examine() -> None:
    (result,) = found(Check.MTU, facts(TWIN).model_copy(update={"pings": ()}))
    assert result.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        (None, "there is no /etc/nccl.conf"),
        ({"NCCL_SOCKET_IFNAME": "=eth9"}, "takes no interface"),
        ({"NCCL_SOCKET_IFNAME": "fab"}, "takes fab0, fab1"),
        ({"NCCL_SOCKET_IFNAME": "^fab1"}, "takes fab0, mgmt0"),
        ({}, "takes fab0, fab1, mgmt0"),
        ({"NCCL_SOCKET_IFNAME": "=mgmt0"}, "mgmt0: it has 10.77.0.12"),
    ],
)
def test_nccl_that_takes_other_than_the_fabric_is_told(
    conf: dict[str, str] | None, said: str
) -> None:
    up = {
        "lo": Interface(mtu_bytes=65536, up=True, addresses=("127.0.0.1",)),
        "mgmt0": Interface(mtu_bytes=1500, up=True, addresses=("10.77.0.12",)),
        "fab0": Interface(mtu_bytes=9000, up=True, addresses=("10.78.0.12",)),
        "fab1": Interface(mtu_bytes=9000, up=True, addresses=("10.79.0.12",)),
    }
    told = facts(TWIN, w1=node(TWIN, "w1", nccl=conf, interfaces=up))
    result = next(each for each in wrong(Check.NCCL, told) if each.where == "w1")
    assert said in result.measured


def test_a_variable_that_only_one_worker_has_is_told() -> None:
    conf = {"NCCL_SOCKET_IFNAME": "=fab0", "NCCL_P2P_DISABLE": "1"}
    result = only(Check.NCCL, facts(TWIN, w1=node(TWIN, "w1", nccl=conf)))
    assert result.measured == "NCCL_P2P_DISABLE is 1 on w1, not set on w2"


def test_rdma_devices_of_other_names_mean_the_same_and_a_missing_one_does_not() -> None:
    def conf(devices: str) -> dict[str, str]:
        return {"NCCL_SOCKET_IFNAME": "=fab0", "NCCL_IB_HCA": devices}

    one, other = (node(TWIN, n, nccl=conf(f"=mlx5_{i}")) for i, n in enumerate(("w1", "w2")))
    assert wrong(Check.NCCL, facts(TWIN, w1=one, w2=other)) == []
    assert "not set on w2" in only(Check.NCCL, facts(TWIN, w1=one)).measured


def test_a_stopped_container_is_named_with_the_way_to_its_log() -> None:
    stopped = ContainerFacts(name="ray-worker", state="exited", image_id=IMAGE)
    result = only(Check.CONTAINERS, facts(TWIN, w1=node(TWIN, "w1", containers=(stopped,))))
    assert (result.where, result.measured) == ("w1 ray-worker", "exited")
    assert "docker logs --tail 50 ray-worker" in result.remedy


def test_a_container_of_another_image_or_none_and_a_silent_docker_are_told() -> None:
    other = ContainerFacts(name="ray-worker", state="running", image_id="sha256:" + "f" * 64)
    told = facts(TWIN, w1=node(TWIN, "w1", containers=(other,)))
    assert only(Check.CONTAINERS, told).measured == "runs image ffffffffffff"
    told = facts(TWIN, w1=node(TWIN, "w1", containers=()))
    assert only(Check.CONTAINERS, told).measured == "it is not there"
    told = facts(TWIN, w1=node(TWIN, "w1", containers=None))
    assert only(Check.CONTAINERS, told).measured == "Docker does not answer"


def _service(**changes: object) -> Facts:
    told = facts(TWIN)
    assert told.service
    return told.model_copy(update={"service": told.service.model_copy(update=changes)})


def test_a_silent_redis_is_told_and_one_that_was_not_asked_is_not() -> None:
    assert only(Check.REDIS, _service(redis="")).measured == "no answer"
    assert found(Check.REDIS, _service(redis=None))[0].status is Status.SKIPPED
    assert wrong(Check.REDIS, _service(redis="-NOAUTH Authentication required.")) == []


def test_a_node_that_ray_lost_is_named() -> None:
    ray = (
        RayMember(address="10.78.0.11", alive=True),
        RayMember(address="10.78.0.12", alive=False, gpus=2),
        RayMember(address="10.78.0.13", alive=True, gpus=2),
    )
    assert only(Check.RAY, _service(ray=ray)).where == "w1"


def test_a_worker_with_too_few_gpus_and_a_silent_dashboard_are_told() -> None:
    ray = tuple(RayMember(address=f"10.78.0.1{n}", alive=True, gpus=n // 2) for n in (1, 2, 3))
    assert only(Check.RAY, _service(ray=ray)).measured == "3 of 3 nodes alive, 2 GPUs"
    silent = only(Check.RAY, _service(ray=None, ray_error="it refuses the token"))
    assert silent.measured == "it refuses the token"


def test_a_node_that_does_not_reach_the_head_is_named() -> None:
    result = only(Check.RAY, facts(TWIN, w2=node(TWIN, "w2", reaches_head=False)))
    assert result.where == "w2"


def test_a_certificate_that_ends_soon_or_is_refused_is_told() -> None:
    soon = Certificate(name="edge", address="10.77.0.11:443", days=3.4)
    bad = Certificate(name="edge", address="10.77.0.11:443", error="certificate has expired")
    assert only(Check.CERTIFICATE, _service(certificates=(soon,))).measured == "3 days left"
    assert only(Check.CERTIFICATE, _service(certificates=(bad,))).measured == bad.error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(error="503"), "503"),
        (Answer(pieces=0, seconds=1), "an answer without tokens"),
        (Answer(pieces=8, seconds=45), "8 pieces of an answer in 45.0 s"),
    ],
)
def test_an_engine_without_real_tokens_is_told(answer: Answer, said: str) -> None:
    assert only(Check.TOKENS, _service(answer=answer)).measured == said


def test_the_example_service_is_what_the_site_declares() -> None:
    service = served(TWIN)
    assert isinstance(service, Service)
    assert set(service.containers) == set(TWIN.nodes)
    assert isinstance(switched().state, SwitchState)
    assert PortState.model_fields
