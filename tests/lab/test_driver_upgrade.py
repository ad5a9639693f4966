"""A driver's upgrade on the running twin: drain, reboots, return and the model, in one `up`.

The packages are stand-ins without a driver; apt, the reboots, Ray and the tokens are real. The
tests share one appliance and tell one story, in the order of the file.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.appliance import STACK, configure, on, pulumi, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

OLD, NEW = "570.86.15", "580.159.04"
EDGE_WAIT_S = 900
CLEARLY_WAITED_S = 15


def declare(version: str) -> None:
    configure("nvidia.driver_version", version)
    configure("nvidia.packages.nvidia-open", f"{version}-1")


@pytest.fixture(scope="module", autouse=True)
def given_back(report: dict[str, Any]) -> Iterator[None]:
    """Leave the appliance without a declared driver, however the tests end."""
    assert report
    yield
    for path in ("nvidia", "edge"):
        done = pulumi("config", "rm", "--path", f"rackform:site.{path}", "--stack", STACK)
        assert done.status == 0, done.text
    assert "Paris" in up()["answer"]


def boots() -> dict[str, str]:
    ask = "cat /proc/sys/kernel/random/boot_id"
    return {node: on(node, ask).out.strip() for node in ("head", "w1", "w2")}


def drivers() -> dict[str, str]:
    """Return node → driver of each of its GPUs, as its nvidia-smi tells."""
    ask = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
    return {node: on(node, ask).out.strip() for node in ("w1", "w2")}


class Caller(threading.Thread):
    """Somebody who asks the model one thing after the other, until told to stop.

    A 503 is asked again when it says so, as OpenAI's clients do: it may meet the one request that
    is between the edge's question whether Serve is ready and Serve, when that loses its route.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.answers: list[tuple[int, float, str]] = []
        self.again = 0
        key = Path(report["api_key_file"]).read_text(encoding="utf-8").strip()
        self._ask: dict[str, Any] = {
            "url": f"{report['endpoint']}/chat/completions",
            "headers": {"Authorization": f"Bearer {key}"},
            "json": {
                "model": report["model"],
                "messages": [{"role": "user", "content": "Write a story about the sea."}],
                "max_tokens": 48,
                "temperature": 0,
            },
        }
        self._trust = ssl.create_default_context(cafile=report["ca_file"])

    def run(self) -> None:
        with httpx.Client(verify=self._trust, trust_env=False, timeout=EDGE_WAIT_S) as client:
            while not self.stopped.is_set():
                began = time.monotonic()
                answer = client.post(**self._ask)
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and self.again < 1:
                    self.again += 1
                    time.sleep(int(answer.headers["Retry-After"]))
                    continue
                spent = time.monotonic() - began
                self.answers.append((answer.status_code, spent, answer.text))
                self.stopped.wait(0.5)


def test_a_first_driver_is_installed_and_runs_after_a_reboot_of_each_worker(
    report: dict[str, Any],
) -> None:
    before = boots()
    assert on("w1", "command -v nvidia-smi").status
    configure("edge.wait_s", str(EDGE_WAIT_S))
    declare(OLD)
    assert "Paris" in up()["answer"]
    after = boots()
    assert [node for node in after if after[node] != before[node]] == ["w1", "w2"]
    assert drivers() == dict.fromkeys(("w1", "w2"), f"{OLD}\n{OLD}")
    assert report


def test_a_preview_names_the_reboots_their_order_and_that_serving_stops() -> None:
    declare(NEW)
    shown = pulumi("preview", "--diff", "--stack", STACK, "--non-interactive")
    assert shown.status == 0, shown.text
    told = " ".join(shown.text.split())
    for node in ("w1", "w2"):
        assert (
            f"{node} would be rebooted after this, when it is drained: one node at a time, in the"
            " order w1, w2; no other nodes can serve without it, so nothing is served until all"
            " are back"
        ) in told
        assert f"driver {OLD} is loaded, {NEW} is declared" in told
        assert f"{node}-reboot" in told
    assert "head-reboot" not in told
    assert drivers()["w1"] == f"{OLD}\n{OLD}", "a preview changes nothing"


def test_an_upgrade_drains_reboots_one_at_a_time_and_serves_again_and_no_request_fails(
    report: dict[str, Any],
) -> None:
    before, caller = boots(), Caller(report)
    caller.start()
    done = rackform("up", "--json")
    caller.stopped.set()
    assert done.status == 0, done.text
    assert "Paris" in json.loads(done.out.splitlines()[-1])["answer"]
    said = [done.err.index(f" {node}-{step} in ") for node in ("w1", "w2")
            for step in ("drain", "reboot", "return")]  # fmt: skip
    assert said == sorted(said), done.err
    after = boots()
    assert [node for node in after if after[node] != before[node]] == ["w1", "w2"]
    assert drivers() == dict.fromkeys(("w1", "w2"), f"{NEW}\n{NEW}")

    caller.join(timeout=120)
    assert {status for status, _, _ in caller.answers} == {httpx.codes.OK}, caller.answers
    assert max(spent for _, spent, _ in caller.answers) > CLEARLY_WAITED_S


def test_the_next_up_changes_nothing_and_reboots_nothing() -> None:
    before = boots()
    done = rackform("up")
    assert done.status == 0, done.text
    assert "nothing to change" in done.err
    assert boots() == before


def test_going_back_is_refused_before_anything_changes() -> None:
    before = boots()
    declare(OLD)
    done = rackform("up")
    assert done.status == 1
    assert f"newer than declared: nvidia-open {NEW}-1 (declared {OLD}-1)" in done.err
    assert "Traceback" not in done.text
    assert (boots(), drivers()["w2"]) == (before, f"{NEW}\n{NEW}")
    declare(NEW)
