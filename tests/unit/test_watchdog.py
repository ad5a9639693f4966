"""The watchdog: when it restarts what, and how the nodes are told."""

import configparser
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.watchdog import watchdog
from planner.plan import plan
from pyinfra_deploys import registry
from pyinfra_deploys.operations.facts import Unit, UnitState
from pyinfra_deploys.operations.service import stop_service
from pyinfra_deploys.templating import render
from pyinfra_deploys.watchdog.files import watchdog as program
from pyinfra_deploys.watchdog.files.watchdog import Ladder, Rung, Serve
from stack.load import load_site, read_stack
from tests.unit.test_deploys_operations import told

AFTER_S, START_S = 100, 1000
MODEL = "llama"
WORKERS = ("w1", "w2")
HEAD: tuple[str, ...] = ()


def ladder(workers: tuple[str, ...] = WORKERS) -> Ladder:
    return Ladder(AFTER_S, START_S, {MODEL: workers}, since=0)


def steps(it: Ladder, *seen: tuple[float, Serve]) -> list[tuple[float, set[str]]]:
    """Return when what was restarted, where no tokens come at any of these times."""
    orders = [(now, it.step(now, serve, [MODEL])) for now, serve in seen]
    return [(now, set(order)) for now, order in orders if order is not None]


def every(seconds: int, until: int, serve: Serve) -> list[tuple[float, Serve]]:
    return [(float(now), serve) for now in range(0, until, seconds)]


def test_workers_are_restarted_first_then_the_head_and_then_a_person_is_needed() -> None:
    it = ladder()
    assert steps(it, *every(10, 1000, Serve.RUNNING)) == [(100, {"w1", "w2"}), (220, set())]
    assert it.rung is Rung.GAVE_UP


def test_serve_is_given_the_time_to_notice_a_restart() -> None:
    it = Ladder(40, START_S, {MODEL: WORKERS}, since=0)
    hung = [*every(10, 50, Serve.RUNNING), *((now, Serve.RUNNING) for now in (80, 120, 150))]
    assert steps(it, *hung) == [(40, {"w1", "w2"})]
    assert steps(it, (155, Serve.STARTING), (900, Serve.STARTING)) == []


def test_the_first_token_sets_it_back() -> None:
    it = ladder()
    steps(it, *every(10, 1000, Serve.RUNNING))
    assert it.step(1000, Serve.RUNNING, []) is None
    assert it.rung is Rung.CALM
    assert steps(it, (1099, Serve.RUNNING), (1100, Serve.RUNNING)) == [(1100, {"w1", "w2"})]


def test_a_model_that_loads_is_given_the_time_to_load() -> None:
    it = ladder()
    assert steps(it, *every(50, 1000, Serve.STARTING)) == []
    assert steps(it, (1000, Serve.RUNNING), (1090, Serve.RUNNING)) == []
    assert steps(it, (1100, Serve.RUNNING)) == [(1100, {"w1", "w2"})]


def test_a_load_that_never_ends_is_begun_anew() -> None:
    assert steps(ladder(), *every(50, 1900, Serve.STARTING)) == [(1000, {"w1", "w2"})]


def test_a_head_that_does_not_answer_is_itself_what_is_restarted() -> None:
    assert steps(ladder(), *every(50, 1900, Serve.MUTE)) == [(1000, set())]


def test_a_head_that_has_all_ranks_itself_is_restarted_at_once() -> None:
    assert steps(ladder(HEAD), *every(10, 150, Serve.RUNNING)) == [(100, set())]


def test_only_the_nodes_of_the_silent_model_are_restarted() -> None:
    it = Ladder(AFTER_S, START_S, {MODEL: ["w1"], "other": ["w2"]}, since=0)
    it.step(0, Serve.RUNNING, ["other"])
    assert it.step(100, Serve.RUNNING, ["other"]) == {"w2"}


def test_nothing_is_restarted_where_nothing_is_to_be_served() -> None:
    assert steps(ladder(), *every(10, 5000, Serve.EMPTY)) == []


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.sampled_from(Serve), st.booleans()),
        min_size=1,
        max_size=80,
    )
)
def test_between_two_restarts_lies_the_silence_that_is_borne(
    seen: list[tuple[int, Serve, bool]],
) -> None:
    it, now, last_token, restarts = ladder(), 0, 0, list[int]()
    for pause, serve, silent in seen:
        now += pause
        due = it.step(now, serve, [MODEL] if silent else [])
        if not silent:
            assert due is None
            last_token, restarts = now, []
        elif due is not None:
            assert serve is not Serve.EMPTY
            assert now - (restarts[-1] if restarts else last_token) >= AFTER_S
            restarts.append(now)
        assert len(restarts) <= 2


@dataclass
class Cluster:
    """Stands in for Serve's proxy, Ray's dashboard and Ray's metrics."""

    answers: bool = True
    statuses: Mapping[str, str] = field(default_factory=lambda: {"llm": "RUNNING"})
    generated: int = 0

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == "/metrics":
            labels = f'{{model_name="{MODEL}",WorkerId="x"}}'
            text = f"# TYPE\nray_vllm_generation_tokens_total{labels} {self.generated}.0\n"
            return 200, text.encode()
        if path == "/api/serve/applications/":
            found = {name: {"status": status} for name, status in self.statuses.items()}
            return 200, json.dumps({"applications": found}).encode()
        usage = {"usage": {"completion_tokens": 1}}
        return (200, json.dumps(usage).encode()) if self.answers else (500, b"")


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = cluster.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["model"] == MODEL
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    containers: list[str] = []
    monkeypatch.setattr(program, "restart", containers.append)
    return containers


def head(folder: Path, address: str, after_s: float = 0) -> program.Watch:
    (folder / "token").write_text("t\n")
    settings = {
        "api": f"http://{address}", "dashboard": f"http://{address}", "metrics": [address],
        "timeout_s": 5, "token_file": str(folder / "token"), "container": "ray-head",
        "armed_file": str(folder / "armed"), "metrics_file": str(folder / "watchdog.prom"),
    }  # fmt: skip
    return program.Watch(settings, Ladder(after_s, START_S, {MODEL: WORKERS}, since=0, noticed_s=0))


def follower(folder: Path, address: str) -> program.Follow:
    return program.Follow(
        {
            "node": "w1", "orders": f"http://{address}/", "timeout_s": 5,
            "container": "ray-worker", "done_file": str(folder / "done"),
        }
    )  # fmt: skip


def test_a_hung_model_has_its_workers_restarted_and_then_the_head(
    tmp_path: Path, restarted: list[str]
) -> None:
    cluster = Cluster()
    with served(cluster) as address:
        watch = head(tmp_path, address)
        watch.once()
        cluster.answers = False
        watch.once()
        assert sorted(json.loads(watch.orders.told())) == ["w1", "w2"]
        assert restarted == []
        watch.once()
        assert restarted == ["ray-head"]
        watch.once()
        assert restarted == ["ray-head"]
        metrics = (tmp_path / "watchdog.prom").read_text()
        assert "\nrackform_watchdog_rung 3\n" in metrics
        assert '\nrackform_watchdog_restarts_total{what="workers"} 1\n' in metrics
        assert f'\nrackform_watchdog_silent{{model="{MODEL}"}} 1\n' in metrics


def test_a_model_whose_queue_is_long_answers_others_and_is_alive(
    tmp_path: Path, restarted: list[str]
) -> None:
    cluster = Cluster()
    with served(cluster) as address:
        watch = head(tmp_path, address, after_s=0.01)
        watch.once()
        cluster.answers = False
        cluster.generated = 7
        watch.once()
        for _ in range(5):
            cluster.generated += 3
            watch.once()
    assert watch.ladder.rung is Rung.CALM
    assert restarted == []


def test_an_appliance_that_never_answered_is_left_to_its_up(
    tmp_path: Path, restarted: list[str]
) -> None:
    with served(Cluster(answers=False)) as address:
        watch = head(tmp_path, address)
        for _ in range(4):
            watch.once()
    assert json.loads(watch.orders.told()) == {}
    assert restarted == []


def test_one_application_that_starts_is_a_cluster_that_starts() -> None:
    def state(*statuses: str) -> Serve:
        return program.serve_state({"applications": {s: {"status": s} for s in statuses}})

    assert state() is Serve.EMPTY
    assert state("RUNNING") is Serve.RUNNING
    assert state("RUNNING", "DEPLOYING") is Serve.STARTING


def test_a_follower_carries_an_order_out_once_and_only_its_own(
    tmp_path: Path, restarted: list[str]
) -> None:
    orders = program.Orders()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    orders.offer("127.0.0.1", port)
    node = follower(tmp_path, f"127.0.0.1:{port}")
    orders.give(["w2"])
    node.once()
    assert restarted == []
    orders.give(["w1", "w2"])
    node.once()
    node.once()
    assert restarted == ["ray-worker"]
    follower(tmp_path, f"127.0.0.1:{port}").once()
    assert restarted == ["ray-worker"], "a follower that begins anew knows what it did"
    orders.give(["w1"])
    node.once()
    assert restarted == ["ray-worker"] * 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"w1": 3}', b'{"w1": {"id": 1}}'])
def test_a_follower_does_nothing_by_an_answer_that_it_cannot_read(
    body: bytes, tmp_path: Path, restarted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    monkeypatch.setattr(cluster, "answer", lambda _: (200, body))
    with served(cluster) as address:
        follower(tmp_path, address).once()
    assert restarted == []


def test_an_old_order_is_not_carried_out(
    tmp_path: Path, restarted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    old = json.dumps({"w1": {"id": 5, "age_s": 61}}).encode()
    monkeypatch.setattr(cluster, "answer", lambda _: (200, old))
    with served(cluster) as address:
        follower(tmp_path, address).once()
    assert restarted == []


def test_a_head_that_is_away_restarts_nothing(tmp_path: Path, restarted: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    follower(tmp_path, address).once()
    assert restarted == []


def test_the_head_watches_and_workers_follow_it() -> None:
    site = load_site(read_stack("lab"))
    planned = plan(site)
    parts = {node: watchdog(site, planned, node)["part"] for node in site.nodes}
    roles = {node: part["role"] for node, part in parts.items() if isinstance(part, dict)}
    assert roles == {"head": "watch", "w1": "follow", "w2": "follow"}
    for node in site.nodes:
        registry.settings("watchdog", watchdog(site, planned, node))


def test_a_site_without_a_watchdog_stops_the_one_that_was() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    site = load_site({**raw, "watchdog": None})
    assert watchdog(site, plan(site), "head")["part"] is None
    running = UnitState(loaded=True, active=True, enabled=True, stale=False)
    absent = UnitState(loaded=False, active=False, enabled=False, stale=False)
    unit = "rackform-watchdog.service"
    assert told(stop_service, {Unit: running}, unit=unit) == [f"systemctl disable -q --now {unit}"]
    assert told(stop_service, {Unit: absent}, unit=unit) == []


def test_the_unit_may_speak_to_docker_and_write_its_metrics_and_no_more() -> None:
    unit = configparser.RawConfigParser(strict=False)
    settings = registry.settings("watchdog", {})
    text = render(
        "watchdog", "rackform-watchdog.service.j2", settings,
        program="/p.py", settings_file="/s.json", metrics="/metrics",
    )  # fmt: skip
    unit.read_string(text)
    service = unit["Service"]
    assert service["ExecStart"] == "/usr/bin/python3 -I /p.py /s.json"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "/metrics"
