"""The gate before serving: pairs side by side, floors with figures, and a hang that is named."""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cli import steps
from commission import gate as gates
from commission.model import Collective, NcclResult, Point
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from stack.load import load_site
from stack.steps import Gate, GateLink, GateNode, Step
from tests.unit.site_examples import example, only_error
from tests.unit.sites import changed
from tests.unit.test_components_appliance import Engine, declare

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "commission"
MEASURED = (FIXTURES / "nccl-bench-gloo-2.txt").read_text(encoding="utf-8")
HUNG = "Timeout (0:01:00)!\nThread 0x1 (most recent call first):\n"


def node(name: str, last: int) -> GateNode:
    connection = Connection(
        name=name, address=f"192.0.2.{last}", private_key_file=Path("/key"), host_key="ssh-rsa A"
    )
    return GateNode(
        connection=connection, interface="fab0", fabric_address=f"10.78.0.{last}", rdma=False
    )


def gate(*names: str, floor: float = 0.0, backend: str = "gloo") -> Gate:
    return Gate(
        nodes={name: node(name, last) for last, name in enumerate(names or ("w1", "w2"), 12)},
        image="sha256:1",
        backend=backend,
        mtu_bytes=9000,
        gbit_s=100,
        floor_gb_s=floor,
        limit_s=60,
    )


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_every_pair_is_tried_once_and_no_node_twice_in_a_round(count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    found = gates.rounds(names)
    assert len(found) == (count - 1 if count % 2 == 0 else count)
    for pairs in found:
        busy = [name for pair in pairs for name in pair]
        assert len(busy) == len(set(busy))
    tried = sorted(tuple(sorted(pair)) for pairs in found for pair in pairs)
    assert tried == sorted(combinations(names, 2))


def result(gb_s: float) -> NcclResult:
    point = Point(collective=Collective.ALL_REDUCE, size_bytes=1 << 28, time_us=1, busbw_gb_s=gb_s)
    return NcclResult(nodes=("w1", "w2"), ranks=2, points=(point,))


def test_a_link_below_its_floor_is_refused_with_both_figures() -> None:
    with pytest.raises(RackformError, match=r"3\.10 GB/s between w1 and w2, .* of 5\.50 for 100"):
        gates.judged(gate(floor=5.5), ("w1", "w2"), result(3.1))
    assert gates.judged(gate(floor=5.5), ("w1", "w2"), result(5.5)).best_gb_s == 5.5
    assert gates.judged(gate(), ("w1", "w2"), result(0.0))


def done(stdout: str = "", stderr: str = "", status: int = 0) -> ssh.Completed:
    return ssh.Completed(status, stdout, stderr)


MET = '{"ranks": 2, "nccl": "gloo"}\n'
FEW = MET + (
    '{"collective": "all_reduce", "size_bytes": 65536, "time_us": 1.0, "busbw_gb_s": 0.25}\n'
)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        ([done("", HUNG, 1), done("", HUNG, 1)], "the ranks did not even meet"),
        ([done(MET, HUNG, 1), done("", HUNG, 1)], "the ranks met, but no message arrived"),
        ([done(FEW, HUNG, 1), done("", HUNG, 1)], "0.25 GB/s up to 65536 bytes, then nothing"),
        ([done(MET, HUNG, 1), done("", "x\nNo CUDA GPUs", 1)], "failed on w2: No CUDA GPUs"),
    ],
)
def test_a_run_that_does_not_end_is_told_as_far_as_it_came(
    ranks: list[ssh.Completed], said: str
) -> None:
    with pytest.raises(RackformError) as error:
        gates.outcome(("w1", "w2"), ranks)
    assert said in str(error.value)


class Hosts:
    """Answers pings and runs; `lost` names a way on which packets of this payload are lost."""

    def __init__(self) -> None:
        self.lost: dict[tuple[str, str], int] = {}
        self.told: list[tuple[str, str]] = []

    def run(self, connection: Connection, command: Sequence[str] | str, **_: Any) -> ssh.Completed:
        if isinstance(command, str):
            self.told.append((connection.name, command))
            return done(MEASURED)
        size = int(command[command.index("-s") + 1])
        limit = self.lost.get((connection.name, command[-1]), 1 << 20)
        return done(status=0 if size < limit else 1)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    played = Hosts()
    monkeypatch.setattr(ssh, "run", played.run)
    return played


def test_what_each_link_carries_is_told(hosts: Hosts) -> None:
    told = steps.run(Step.GATE, gate("w1", "w2", "w3").model_dump_json())
    assert sorted(told.splitlines()) == [
        "w1 and w2: 0.45 GB/s", "w1 and w3: 0.45 GB/s", "w2 and w3: 0.45 GB/s",
    ]  # fmt: skip
    assert len(hosts.told) == 6


def test_jumbo_frames_that_are_lost_are_named_with_their_pair_before_anything_hangs(
    hosts: Hosts,
) -> None:
    hosts.lost["w2", "10.78.0.12"] = 1473
    with pytest.raises(RackformError) as error:
        steps.run(Step.GATE, gate().model_dump_json())
    assert "w1 and w2: packets of 9000 bytes don't get from w2 to w1 (10.78.0.12)" in str(
        error.value
    )
    assert hosts.told == []


def test_a_rail_without_a_way_is_named_though_the_first_link_is_well(hosts: Hosts) -> None:
    rails = {
        name: each.model_copy(
            update={"rails": {"rail1": GateLink(interface="fab1", address=f"10.79.0.{last}")}}
        )
        for last, (name, each) in enumerate(gate().nodes.items(), 12)
    }
    hosts.lost["w2", "10.79.0.12"] = 0
    with pytest.raises(RackformError) as error:
        steps.run(Step.GATE, gate().model_copy(update={"nodes": rails}).model_dump_json())
    assert "nothing gets from w2 to w1 (10.79.0.12) over fab1: no answer" in str(error.value)
    assert hosts.told == []


def test_a_pair_without_a_way_is_named_and_the_others_are_still_tried(hosts: Hosts) -> None:
    hosts.lost["w1", "10.78.0.13"] = 0
    with pytest.raises(RackformError) as error:
        steps.run(Step.GATE, gate("w1", "w2", "w3").model_dump_json())
    assert "nothing gets from w1 to w2" in str(error.value)
    assert "w3" not in str(error.value)
    assert len(hosts.told) == 4


def test_all_pairs_that_are_refused_are_told_together(hosts: Hosts) -> None:
    with pytest.raises(RackformError) as error:
        steps.run(Step.GATE, gate("w1", "w2", "w3", floor=3.0).model_dump_json())
    assert str(error.value).count("below the floor of 3.00") == 3
    assert len(hosts.told) == 6


def test_a_rank_runs_in_the_serving_image_on_the_fabric() -> None:
    words = gates.command(gate(backend="nccl"), ("w1", "w2"), 1)
    text = " ".join(words)
    assert "-e RANK=1" in text
    assert "-e MASTER_ADDR=10.78.0.12" in text
    assert "--gpus all" in text
    assert "/etc/nccl.conf:/etc/nccl.conf:ro" in text
    assert "sha256:1 - --backend nccl --limit-s 60" in text
    assert "--gpus" not in " ".join(gates.command(gate(), ("w1", "w2"), 0))


def test_a_program_that_hangs_in_c_ends_at_the_limit_and_says_so() -> None:
    hang = (
        "import faulthandler, threading\n"
        "faulthandler.dump_traceback_later(0.2, exit=True)\n"
        "threading.Lock().acquire() and threading.Event().wait()\n"
    )
    ended = subprocess.run([sys.executable, "-"], input=hang, capture_output=True, text=True,
                           check=False, timeout=20)  # fmt: skip
    assert ended.returncode == 1
    assert gates.HUNG in ended.stderr


@pytest.fixture(scope="module")
def lab() -> Engine:
    return declare(changed("lab", "fabric.mtu_bytes", 9000))


def order(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.inputs("nccl-gate-run")["stdin"])
    return found


def test_a_twin_s_workers_have_to_reach_each_other_at_all(lab: Engine) -> None:
    told = order(lab)
    assert sorted(told["nodes"]) == ["w1", "w2"]
    assert (told["backend"], told["floor_gb_s"], told["mtu_bytes"]) == ("gloo", 0.0, 9000)
    assert Gate.model_validate(told)


def test_the_gate_is_run_anew_when_a_host_a_switch_or_the_image_changed(lab: Engine) -> None:
    triggers = lab.inputs("nccl-gate-run")["triggers"]
    for changing in ("tor1-config-revision", "w1-host-revision", "sha256:" + "1" * 64):
        assert changing in triggers


def test_one_worker_alone_has_no_link_to_try() -> None:
    raw = example(
        without=("nodes.w2", "switches.tor1.ports.Ethernet3"),
    )
    assert "nccl-gate-run" not in declare(raw).declared


def test_the_floor_is_a_share_of_what_such_a_link_usually_carries() -> None:
    raw = changed("datacenter", "fabric.link.floor_share", 0.25)
    raw["images"] = {"vllm": "cuda"}
    link = load_site(raw).fabric.link
    told = order(declare(raw))
    assert told["backend"] == "nccl"
    assert told["floor_gb_s"] == round(link.gbit_s * 0.11 * 0.25, 2)
    assert "fabric.link.floor_share" in only_error(example({"fabric.link.floor_share": 2}))
