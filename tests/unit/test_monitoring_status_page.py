"""The status page: green or red by part, the reason in words, and never more load by visitors."""

import base64
import hashlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from monitoring import status
from monitoring.files import status_page
from monitoring.files.status_page import State, Subsystem
from monitoring.queries import Gpus, Hosts, Links, Models
from planner.plan import plan
from stack.load import load_site
from tests.unit.fake_prometheus import FakePrometheus, alert, fake_prometheus
from tests.unit.healthy_answers import MODEL, healthy
from tests.unit.sites import changed

FILES = Path(status_page.__file__).parent
STYLE = (FILES / "status_page.css").read_text(encoding="utf-8")


def _subsystems() -> list[status.Subsystem]:
    raw = changed("lab", "monitoring", {"node": "head"})
    raw |= {
        "frontends": {"open_webui": {"node": "head"}},
        "power": {"circuits": {"a": {"volts": 240, "amps": 20}}},
    }
    site = load_site(raw)
    return list(status.subsystems(site, plan(site)))


def _config(url: str) -> dict[str, Any]:
    return {
        "site": "lab",
        "prometheus": url,
        "subsystems": [each.model_dump(mode="json") for each in _subsystems()],
        "alerts": "Alerts",
    }


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    with fake_prometheus(healthy()) as fake:
        yield fake


def _look(prometheus: FakePrometheus, changes: dict[str, Any] | None = None) -> State:
    prometheus.answers = {**healthy(), **(changes or {})}
    return status_page.look(_config(prometheus.url))


def _reasons(state: State) -> dict[str, list[str]]:
    return {each.name: each.reasons for each in state.subsystems if not each.works}


def test_where_everything_works_every_part_is_green(prometheus: FakePrometheus) -> None:
    state = _look(prometheus)
    assert (state.works, state.said) == (True, "Everything works")
    assert [each.name for each in state.subsystems] == [
        "Models",
        "Front-ends",
        "Hosts",
        "Ray",
        "Network",
        "GPUs",
        "Circuits",
        "Certificates",
        "Alerts",
    ]
    facts = {each.name: each.facts for each in state.subsystems}
    assert facts["Hosts"] == ["3 of 3 answer", "fullest disk: 61\u00a0%"]
    assert facts["Models"] == [
        f"{MODEL}: first token after 412\u00a0ms",
        f"{MODEL}: 47.3 tokens a second",
    ]


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {f"({Gpus.temperature.expr}) > 85": [({"node": "w1", "gpu": "1"}, 91)]},
            {"GPUs": ["GPU 1 of w1 is at 91\u00a0°C, above 85 °C"]},
        ),
        (
            {
                f"({Links.loss.expr}) > 0.05": [
                    ({"node": "w1", "peer": "w2", "network": "fabric"}, 0.337)
                ]
            },
            {"Network": ["w1 to w2, fabric: 33.7\u00a0% of the packets lost"]},
        ),
        (
            {f"{Models.probe_success.expr} == 0": [({"model": MODEL}, 0)]},
            {"Models": [f"{MODEL} gives no real tokens"]},
        ),
        (
            {Models.probe_success.expr: []},
            {"Models": [f"{MODEL}: nothing is known of its answers"]},
        ),
        (
            {Hosts.ray.expr: [({"node": "head"}, 1), ({"node": "w2"}, 1)]},
            {"Ray": ["w1: nothing is known of it"]},
        ),
        ({Hosts.certificates.expr: []}, {"Certificates": ["nothing is known of them"]}),
    ],
)
def test_a_fault_and_a_silent_part_are_told_in_words(
    prometheus: FakePrometheus, changes: dict[str, Any], reasons: dict[str, list[str]]
) -> None:
    state = _look(prometheus, changes)
    assert _reasons(state) == reasons
    assert (state.works, state.said) == (False, f"Needs attention: {next(iter(reasons))}")


def test_alerts_are_told_by_their_own_summary_and_mere_information_is_not(
    prometheus: FakePrometheus,
) -> None:
    prometheus.firing = [
        alert("LinkLost", "Most pings are lost."),
        alert("PipelineBubbles", "Stages stand idle.", "info"),
        alert("NoSummary", ""),
    ]
    assert _reasons(_look(prometheus)) == {"Alerts": ["Most pings are lost.", "NoSummary"]}


@pytest.mark.parametrize("status", [500, 401])
def test_without_prometheus_nothing_is_claimed(prometheus: FakePrometheus, status: int) -> None:
    prometheus.status = status
    state = _look(prometheus)
    assert state.works is None
    assert state.said == f"Prometheus can't be asked (it answers {status}): nothing is known"
    assert {each.works for each in state.subsystems} == {None}


def test_a_prometheus_that_is_not_there_is_told_as_such() -> None:
    state = status_page.look(_config("http://127.0.0.1:1"))
    assert state.works is None
    assert "Connection refused" in state.said


def test_everything_is_escaped_and_nothing_is_fetched_or_run() -> None:
    evil = "<script>alert(1)</script>\"'"
    part = Subsystem(evil, works=False, reasons=[evil], facts=[evil])
    state = State(evil, as_of=evil, works=False, said=evil, subsystems=[part])
    text = status_page.page(state, STYLE)
    found: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Tags().feed(text)
    assert not {tag for tag, _ in found} & {"script", "link", "img", "iframe", "a", "form"}
    assert not [attrs for _, attrs in found if {"src", "href", "onload"} & set(attrs)]
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 9


@pytest.mark.parametrize("each", _subsystems(), ids=lambda each: each.name)
def test_all_that_is_asked_is_promql_and_its_words_name_known_labels(
    each: status.Subsystem,
) -> None:
    assert promql_parser.parse(each.present.expr)
    for told in (*each.faults, *each.facts):
        assert promql_parser.parse(told.expr)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000131, "s", "131 µs"),
        (0.412, "s", "412 ms"),
        (1.21, "s", "1.21 s"),
        (300 * 86400, "s", "300 days"),
        (0.6, "percentunit", "60 %"),
        (62, "celsius", "62 °C"),
        (float("inf"), "short", "inf"),
        (9000, "suffix: bytes", "9000 bytes"),
    ],
)
def test_numbers_are_shown_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert status_page.shown(float(value), unit).replace("\u00a0", " ") == text


def test_the_policy_allows_the_style_of_the_page_and_no_other() -> None:
    state = State("lab", as_of="now", works=True, said="Everything works", subsystems=[])
    style = re.findall(r"<style>(.*?)</style>", status_page.page(state, STYLE), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert status_page.policy(STYLE) == (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    )


@contextmanager
def _running(prometheus: FakePrometheus, folder: Path) -> Iterator[int]:
    config = folder / "config.json"
    config.write_text(json.dumps(_config(prometheus.url) | {"listen": ["127.0.0.1", 0]}))
    program = [FILES / "status_page.py", config, FILES / "status_page.css"]
    with subprocess.Popen(
        [sys.executable, "-Iu", *map(str, program)], stderr=subprocess.PIPE
    ) as it:
        assert it.stderr
        said = it.stderr.readline().decode()
        assert said.startswith("status-page: listens on 127.0.0.1:")
        yield int(said.rpartition(":")[2])
        it.terminate()


def _get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_the_program_serves_what_it_noted_and_asks_no_more_for_more_visitors(
    prometheus: FakePrometheus, tmp_path: Path
) -> None:
    with _running(prometheus, tmp_path) as port:
        asked = len(prometheus.asked)
        began = time.monotonic()
        answers = [_get(port, path) for path in ("/", "/status", "/status/", "/status?x=1") * 10]
        assert time.monotonic() - began < status_page.REFRESH_S / 2
        assert len(prometheus.asked) == asked
        assert {answer[0] for answer in answers} == {200}
        assert b"Everything works" in answers[0][2]
        headers = answers[0][1]
        assert headers["Content-Security-Policy"].startswith(
            "default-src 'none'; style-src 'sha256-"
        )
        code, _, document = _get(port, "/status.json")
        assert _get(port, "/status/status.json")[2] == document
        told = json.loads(document)
        assert (code, told["works"], len(told["subsystems"])) == (200, True, 9)
        assert _get(port, "/status", "HEAD")[2] == b""
        assert _get(port, "/../etc/passwd")[0] == 404
        assert _get(port, "/status", "POST")[0] == 501


def test_a_page_that_got_old_says_so(
    prometheus: FakePrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = status_page.Noted(_config(prometheus.url), STYLE)
    later = time.monotonic() + status_page.STALE_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    kind, content = noted.answer("/status.json") or ("", b"")
    assert kind == "application/json"
    assert json.loads(content)["said"] == "Nothing was looked at for 61 s: nothing is known"
