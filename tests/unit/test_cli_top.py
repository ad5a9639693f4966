"""`./rackform top`: what it asks, what it shows at any width, and what it says when it can't."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from cli import prometheus as client
from cli import top
from cli.prometheus import Prometheus
from cli.top_screen import screen
from cli.top_seen import GpuLine, LinkLine, Top
from monitoring.queries import Gpus, Links, Models
from remote.connection import Connection
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Site
from tests.unit.fake_prometheus import FakePrometheus, alert, fake_prometheus
from tests.unit.healthy_answers import MODEL, NODES, healthy
from tests.unit.sites import changed


def _site() -> Site:
    raw = changed("lab", "monitoring", {"node": "head"})
    raw["power"] = {"circuits": {"a": {"volts": 240, "amps": 20}}}
    return load_site(raw)


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    with fake_prometheus(healthy()) as fake:
        yield fake


def _look(fake: FakePrometheus, changes: dict[str, Any] | None = None) -> Top:
    fake.answers = {**healthy(), **(changes or {})}
    return top.look(Prometheus(fake.url, "Prometheus on head"), _site())


def _shown(seen: Top, width: int, trouble: str = "") -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(screen(seen, width, trouble))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_look_has_every_model_node_gpu_link_and_circuit(prometheus: FakePrometheus) -> None:
    seen = _look(prometheus)
    (model,) = seen.models
    assert (model.model, model.real_tokens, model.running, model.stages) == (MODEL, True, 3, 2)
    assert (model.first_token_p50_s, model.first_token_p95_s) == (0.38, 1.21)
    assert [(line.node, line.ray, line.received_bit_s) for line in seen.nodes] == [
        (node, True, 3.1e8) for node in NODES
    ]
    assert [(line.node, line.gpu) for line in seen.gpus] == [
        ("w1", "0"), ("w1", "1"), ("w2", "0"), ("w2", "1"),
    ]  # fmt: skip
    assert len(seen.links) == 12
    assert [(line.circuit, line.share) for line in seen.circuits] == [("a", 0.6)]


def test_each_query_is_asked_once(prometheus: FakePrometheus) -> None:
    _look(prometheus)
    assert len(prometheus.asked) == len(set(prometheus.asked))


def test_what_prometheus_does_not_know_is_none_and_a_dash(prometheus: FakePrometheus) -> None:
    nothing: dict[str, Any] = {expression: [] for expression in healthy()}
    idle = nothing | {Models.first_token_p50.expr: [({"model_name": MODEL}, float("nan"))]}
    seen = _look(prometheus, idle)
    assert seen.models[0].first_token_p50_s is None
    assert seen.models[0].real_tokens is None
    assert (seen.gpus, seen.links) == ([], [])
    assert "per output token       -     -" in _shown(seen, 80)


@pytest.mark.parametrize("width", [80, 100, 149, 150, 160, 220])
def test_nothing_is_cut_off_at_any_width(prometheus: FakePrometheus, width: int) -> None:
    prometheus.firing = [alert("LinkLossy", "34 % of the pings between w1 and w2 are lost.")]
    lines = _shown(_look(prometheus), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for told in ("Models", "GPUs", "Nodes", "Circuits", "Fabric: median", "1 alert firing", MODEL):
        assert told in text


def test_a_narrow_screen_has_one_column_and_a_wide_one_two(prometheus: FakePrometheus) -> None:
    seen = _look(prometheus)
    assert "Models" in _shown(seen, 80)
    assert [line.split() for line in _shown(seen, 160) if line.startswith("Models")] == [
        ["Models", "Nodes"]
    ]
    assert len(_shown(seen, 160)) < len(_shown(seen, 80))


def test_heat_loss_and_a_wrong_mtu_are_told_in_words(prometheus: FakePrometheus) -> None:
    ends = {"node": "w1", "peer": "w2", "network": "fabric"}
    back = {"node": "w2", "peer": "w1", "network": "fabric"}
    lines = _shown(
        _look(
            prometheus,
            {
                Gpus.lowered_by_heat.expr: [({"node": "w1", "gpu": "0"}, 1)],
                Gpus.xid.expr: [({"node": "w2", "gpu": "1"}, 79)],
                Links.loss.expr: [(ends, 0.34), (back, 0)],
                Links.large_loss.expr: [(back, 1)],
            },
        ),
        100,
    )
    text = "\n".join(lines)
    assert "slowed by heat" in text
    assert "Xid 79" in text
    assert "130 µs  34% lost" in text
    assert "130 µs  MTU differs" in text


def test_text_from_outside_is_no_markup(prometheus: FakePrometheus) -> None:
    prometheus.firing = [alert("Odd", "[red]not a colour[/red] [/]")]
    assert "[red]not a colour[/red] [/]" in "\n".join(_shown(_look(prometheus), 100))


def test_many_gpus_have_a_line_for_each_node_and_many_nodes_a_list_of_the_worst_links() -> None:
    nodes = [f"n{index:02}" for index in range(9)]
    gpu = GpuLine(
        node="", gpu="0", busy=0.5, memory=0.5, temperature_c=60, power_w=100, sm_clock_hz=1e9,
        lowered_by_heat=False, lowered_by_hardware=False, xid=0,
    )  # fmt: skip
    link = LinkLine(
        node="", peer="", network="fabric", latency_p50_s=1e-4, latency_p99_s=1e-3, loss=0.0,
        large_loss=0.0,
    )  # fmt: skip
    seen = Top(
        site="big", at=datetime(2026, 1, 1, tzinfo=UTC), models=[], nodes=[], circuits=[],
        alerts=[],
        gpus=[
            gpu.model_copy(
                update={
                    "node": node, "gpu": str(index), "temperature_c": 60.0 + index,
                    "power_w": None if node == "n04" else 100,
                }
            )
            for node in nodes
            for index in range(8)
        ],
        links=[
            link.model_copy(update={"node": a, "peer": b, "loss": 0.5 * ((a, b) == ("n03", "n07"))})
            for a in nodes
            for b in nodes
            if a != b
        ],
    )  # fmt: skip
    lines = _shown(seen, 80)
    (heat,) = [line for line in lines if line.startswith("n03  ")]
    assert "67 °C" in heat
    assert "800 W" in heat
    (silent,) = [line for line in lines if line.startswith("n04  ")]
    assert " W" not in silent
    assert "Fabric: median time there and back, loss; the worst 10 of 72" in lines
    assert "n03 to n07  100 µs  50% lost" in lines


def test_trouble_while_looking_is_told_and_the_last_numbers_stay(
    prometheus: FakePrometheus,
) -> None:
    lines = _shown(_look(prometheus), 100, "Prometheus on head does not answer")
    assert lines[1] == "nothing newer: Prometheus on head does not answer"
    assert "Models" in lines


def connection(node: str) -> Connection:
    return Connection(
        name=node,
        address="192.0.2.1",
        user="root",
        private_key_file="/key",
        host_key="ssh-ed25519 A",
    )


@pytest.fixture
def _tunnelled(monkeypatch: pytest.MonkeyPatch, prometheus: FakePrometheus) -> None:
    """Lead the tunnel to the fake, and the site to one that is monitored."""
    monkeypatch.setattr(client, "machine", lambda _, node: connection(node))

    @contextmanager
    def tunnel(_: Connection, host: str, port: int) -> Iterator[int]:
        assert (host, port) == ("10.78.0.11", 9090)
        yield urlsplit(prometheus.url).port or 0

    monkeypatch.setattr(client, "tunnel", tunnel)
    monkeypatch.setattr(top, "read_stack", lambda _: changed("lab", "monitoring", {"node": "head"}))


@pytest.mark.usefixtures("_tunnelled")
def test_json_is_one_object_of_all_that_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    top.show("lab", once=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["site"] == "lab"
    assert told["models"][0]["tokens_per_s"] == 47.3
    assert set(told) == set(Top.model_fields)


@pytest.mark.usefixtures("_tunnelled")
def test_where_nobody_watches_one_screen_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    top.show("lab", once=False, as_json=False)
    assert "no alert is firing" in capsys.readouterr().out


def test_a_stack_without_monitoring_is_told_how_to_get_it() -> None:
    site = load_site(changed("lab", "monitoring", None))
    with (
        pytest.raises(
            InputError, match=r"stack lab has no monitoring.*monitoring.node to one of head, w1, w2"
        ),
        client.reached("lab", site),
    ):
        pass


def test_a_prometheus_that_does_not_answer_is_told_with_where_to_look() -> None:
    nobody = Prometheus("http://127.0.0.1:1", "Prometheus on head")
    with pytest.raises(RackformError, match=r"Prometheus on head does not answer: .*status' shows"):
        nobody.ask(Models.running)


def test_a_refused_query_is_told_with_the_reason(prometheus: FakePrometheus) -> None:
    prometheus.status = 503
    with pytest.raises(RackformError, match="Prometheus on head answered 503: no"):
        Prometheus(prometheus.url, "Prometheus on head").alerts()
