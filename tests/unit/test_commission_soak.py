"""GPUs under full load: what a real host printed is read, watched, judged and told."""

import ast
import shlex
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cli import commission as work
from commission import soak
from commission.judge import verdict
from commission.links import End
from commission.model import Baseline, CircuitLoad, GpuWork, Sample, SoakResult
from commission.nccl import Rank
from commission.report import html
from planner.power import wall_w
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from stack.load import load_site
from tests.unit.site_examples import example, real

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "commission"
SAMPLES = (FIXTURES / "h100-x2-soak-samples.csv").read_text(encoding="utf-8")
WORKS = (FIXTURES / "h100-x2-soak.txt").read_text(encoding="utf-8")


def rank(name: str, gpus: int = 2) -> Rank:
    connection = Connection(
        name=name, address="192.0.2.1", private_key_file=Path("/unused"), host_key="unused"
    )
    return Rank(End(connection, "10.78.0.1"), gpus, "ray-worker")


def circuit(limit_w: float, *nodes: str) -> soak.Circuit:
    return soak.Circuit("a", limit_w, dict.fromkeys(nodes, lambda gpus_w: 500 + gpus_w))


def gpu(tflop_s: float = 650, *, errors: int = 0, **changes: object) -> SoakResult:
    done = GpuWork(gpu=0, seconds=20, tflop_s=tflop_s, lowest_tflop_s=tflop_s, errors=errors)
    usual = SoakResult(
        node="n1", gpu=0, together=False, work=done, samples=24, hottest_c=74, most_w=701,
        mean_w=571, clock_mhz=1305, reasons=("power limit",),
    )  # fmt: skip
    return usual.model_copy(update=changes)


def measured(*results: SoakResult, circuits: tuple[CircuitLoad, ...] = ()) -> Baseline:
    return Baseline(
        site="home", measured_at="2026-11-26 12:00 UTC", gbit_s=100, rdma=False, soak=results,
        circuits=circuits,
    )  # fmt: skip


def test_what_a_host_with_two_h100_showed_under_load_is_read() -> None:
    seen = soak.samples(SAMPLES)
    assert len(seen) == 48
    assert seen[0] == Sample(gpu=0, temperature_c=43, power_w=70.09, limit_w=700, clock_mhz=345)
    done = soak.works(WORKS)
    found = [soak.result("n1", n, seen, done[n], together=True) for n in (0, 1)]
    assert [(each.hottest_c, each.most_w) for each in found] == [(74, 701.11), (68, 702.17)]
    assert [each.reasons for each in found] == [("power limit",)] * 2
    assert [each.work and each.work.tflop_s for each in found] == [650.7, 653.7]
    assert verdict(measured(*found)).fit


def test_a_card_that_does_not_tell_all_is_read_as_far_as_it_does() -> None:
    (sample,) = soak.samples("0, 61, [N/A], [N/A], 1800, [N/A]\nNVIDIA-SMI has failed\n")
    assert sample == Sample(gpu=0, temperature_c=61, clock_mhz=1800)
    (hot,) = soak.samples("1, 92, 300.1, 450.00, 1200, 0x0000000000000068")
    assert hot.reasons == ("hardware slowdown", "too hot (driver)", "too hot (hardware)")


def test_the_program_needs_nothing_but_what_the_serving_image_has() -> None:
    tree = ast.parse(soak.PROGRAM.read_text())
    imported = {
        (each.module if isinstance(each, ast.ImportFrom) else each.names[0].name) or ""
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom)
    }
    assert imported == {"argparse", "json", "threading", "time", "torch"}


def test_the_soak_runs_in_the_serving_image_without_a_network() -> None:
    text = shlex.join(soak.command([0, 1], 60, "sha256:abc"))
    assert "--network none --gpus all" in text
    assert "--entrypoint python3 sha256:abc /gpu_soak.py --seconds 60 --gpus 0,1" in text


class Hosts:
    """Nodes whose GPUs draw 70 W idle and 700 W under a load that ends by itself or is killed."""

    def __init__(self, *, rounds: int = 3) -> None:
        self.rounds = rounds
        self.loaded: dict[str, list[int]] = {}
        self.asked: dict[str, int] = {}
        self.begun: list[tuple[str, str]] = []
        self.killed: list[str] = []
        self.silent: set[str] = set()
        self.turn = threading.Condition()

    def run(self, connection: Connection, command: object, **_: object) -> ssh.Completed:
        words = command if isinstance(command, list) else str(command).split()
        name = connection.name
        match words[:2]:
            case ["docker", "inspect"]:
                return ssh.Completed(0, "sha256:abc\n", "")
            case ["docker", "run"]:
                return self._load(name, words[-1])
            case ["docker", "kill"]:
                with self.turn:
                    self.killed.append(name)
                    self.loaded.pop(name, None)
                    self.turn.notify_all()
            case ["nvidia-smi", _]:
                return ssh.Completed(0, self._smi(name), "")
            case _:
                pass
        return ssh.Completed(0, "", "")

    def _load(self, name: str, gpus: str) -> ssh.Completed:
        with self.turn:
            self.begun.append((name, gpus))
            self.asked[name] = 0
            self.loaded[name] = [int(number) for number in gpus.split(",")]
            ended = self.turn.wait_for(
                lambda: name not in self.loaded or self.asked[name] > self.rounds, timeout=10
            )
            assert ended
            if name not in self.loaded:
                return ssh.Completed(137, "", "Killed")
            numbers = self.loaded.pop(name)
        lines = [WORKS.splitlines()[0].replace('"gpu": 0', f'"gpu": {n}') for n in numbers]
        return ssh.Completed(0, "\n".join(lines), "")

    def _smi(self, name: str) -> str:
        with self.turn:
            self.asked[name] = self.asked.get(name, 0) + 1
            self.turn.notify_all()
            busy = self.loaded.get(name, [])
            if name in self.silent:
                return "NVIDIA-SMI has failed"
            rows = ((n, 700 if n in busy else 70) for n in (0, 1))
            return "\n".join(f"{n}, 60, {watts}, 700, 1300, 0x4" for n, watts in rows)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    made = Hosts()
    monkeypatch.setattr(ssh, "run", made.run)
    monkeypatch.setattr(soak, "_EVERY_S", 0.01)
    monkeypatch.setattr(soak, "_START_S", 0.02)
    yield made
    assert made.loaded == {}, "nothing is left running"


def test_each_gpu_is_loaded_alone_and_then_all_together(hosts: Hosts) -> None:
    outcome = soak.run([rank("n1"), rank("n2", 1)], [circuit(9000, "n1", "n2")], 1)
    assert sorted(hosts.begun[:2]) == [("n1", "0"), ("n2", "0")]
    assert hosts.begun[2:] == [("n1", "1"), ("n1", "0,1"), ("n2", "0")]
    assert [(each.node, each.gpu, each.together) for each in outcome.results] == [
        ("n1", 0, False), ("n2", 0, False), ("n1", 1, False),
        ("n1", 0, True), ("n1", 1, True), ("n2", 0, True),
    ]  # fmt: skip
    assert all(each.work for each in outcome.results)
    assert outcome.failed == []
    assert not outcome.circuits["a"].stopped
    assert 1000 < outcome.circuits["a"].most_w <= 1000 + 4 * 700


def test_the_soak_ends_at_the_circuit_s_limit_and_says_so(hosts: Hosts) -> None:
    hosts.rounds = 1000
    outcome = soak.run([rank("n1")], [circuit(1000, "n1", "head")], 1)
    assert hosts.killed
    assert hosts.begun == [("n1", "0")], "nothing more is started"
    assert outcome.circuits["a"].stopped
    assert [each.work for each in outcome.results] == [None]
    found = verdict(measured(*outcome.results, circuits=tuple(outcome.circuits.values())))
    assert not found.fit
    assert "circuit a carried 1770 W (n1, head), over the 1000 W" in found.reasons[0]
    assert "the soak was ended there" in found.reasons[0]


def test_a_soak_that_nobody_can_watch_is_ended(hosts: Hosts) -> None:
    hosts.rounds, hosts.silent = 1000, {"n1"}
    outcome = soak.run([rank("n1")], [circuit(9000, "n1")], 1)
    assert outcome.failed == ["GPU soak: nvidia-smi on n1 does not answer"]
    assert hosts.killed


def test_a_container_that_does_not_start_is_told_by_its_last_line(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = ssh.Completed(125, "", "docker: could not select device driver")
    monkeypatch.setattr(soak, "_load", lambda *_: failing)
    outcome = soak.run([rank("n1", 1)], [], 1)
    assert outcome.failed == ["GPU soak on n1 (docker: could not select device driver)"]
    assert hosts.begun == []


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([gpu(errors=2)], "n1 GPU 0 alone: 2 rounds gave another result"),
        ([gpu(reasons=("too hot (hardware)",))], "held down by too hot (hardware) at 74 °C"),
        ([gpu(hottest_c=88)], "88 °C, not below the 85 °C of the alert"),
        ([gpu(), gpu(500, together=True)], "with all others: 500 TFLOP/s, alone 650"),
        (
            [gpu(), gpu(640, gpu=1), gpu(400, gpu=2)],
            "GPU 2 alone: 400 TFLOP/s, the others 640",
        ),
    ],
)
def test_a_gpu_that_is_not_fit_is_told(results: list[SoakResult], said: str) -> None:
    found = verdict(measured(*results))
    assert not found.fit
    (reason,) = found.reasons
    assert said in reason


def test_a_gpu_at_its_own_power_limit_is_fit() -> None:
    assert verdict(measured(gpu(), gpu(645, together=True))).fit


def test_a_gpu_that_became_slower_is_told_and_is_no_refusal() -> None:
    found = verdict(measured(gpu(500)), measured(gpu(650)))
    assert found.fit
    assert "n1 GPU 0: 500 TFLOP/s, was 650 at 2026-11-26" in found.reasons[0]


def test_the_report_tells_gpus_and_circuits() -> None:
    load = CircuitLoad(circuit="a", nodes=("n1",), most_w=3468, limit_w=2900, stopped=True)
    bad = measured(gpu(hottest_c=90, reasons=("too hot (driver)",)), circuits=(load,))
    text = html(bad, verdict(bad))
    assert "<h2>GPUs at full load</h2>" in text
    assert '<td class="low">90</td>' in text
    assert '<td class="low">too hot (driver)</td>' in text
    assert '<span class="low">3468 W</span> of 2900 W' in text


def test_a_twin_tells_that_its_gpus_were_not_measured() -> None:
    skipped: list[str] = []
    assert work._soak(load_site(example()), {}, 60, skipped).results == []
    assert skipped == ["GPUs at full load, since the nodes of a twin have no GPU"]


def test_circuits_are_watched_by_what_their_nodes_draw_from_the_wall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feeds = {f"nodes.{name}.circuit": "a" for name in ("head", "w1")}
    site = load_site(real({"power.circuits": {"a": {"volts": 240, "amps": 20}}, **feeds}))
    (found,) = work._circuits(site)
    assert (found.name, list(found.wall_w)) == ("a", ["head", "w1"])
    assert 0 < found.limit_w < 240 * 20
    assert found.wall_w["w1"](800) == pytest.approx(partial(wall_w, site.nodes["w1"])(800))
    assert found.wall_w["w1"](900) > found.wall_w["w1"](800) > 800
    ends = {name: rank(name).end for name in site.nodes}

    def refused(*_: object) -> soak.Outcome:
        raise RackformError("w1 has no container ray-worker")

    monkeypatch.setattr(soak, "run", refused)
    skipped: list[str] = []
    assert work._soak(site, ends, 60, skipped).results == []
    assert skipped == ["GPUs at full load: w1 has no container ray-worker"]
