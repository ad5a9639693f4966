"""Monitoring on the running twin: every target is up, and each fault is told and taken back.

Faults are made as they happen: by a simulated card, at the switch, on a host. The tests share one
appliance and each mends what it broke.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.exporters import SIMULATOR_DATA
from tests.lab.appliance import configure, on, rackform, up
from tests.lab.bench import wait_until
from tests.lab.webhook import RECEIVER, told, was_told

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

_CONTROLLER, _PORT = "10.77.0.1", 9900
_PROMETHEUS = "http://10.78.0.11:9090/prometheus"
_WITHIN_S = 90
_PORT_OF_W2 = "enable\nconfigure\ninterface Ethernet3\n{}\nend\nexit\n"


@pytest.fixture(scope="module")
def hook(
    report: dict[str, Any], stack_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Bring monitoring up with a web hook on the controller; the file that it writes to."""
    assert report["endpoint"]
    before = stack_file.read_text(encoding="utf-8")
    file = tmp_path_factory.mktemp("hook") / "told"
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVER, _CONTROLLER, str(_PORT), file])
    try:
        configure("monitoring.node", "head")
        configure("monitoring.routes.hook.kind", "webhook")
        configure("monitoring.routes.hook.url", f"http://{_CONTROLLER}:{_PORT}/")
        up()
        assert receiver.poll() is None, f"something else listens on {_CONTROLLER}:{_PORT}"
        yield file
    finally:
        receiver.kill()
        receiver.wait()
        stack_file.write_text(before, encoding="utf-8")
    up()


def _asked(path: str) -> dict[str, Any]:
    done = on("head", f"curl -sf --max-time 10 '{_PROMETHEUS}/api/v1/{path}'")
    answer: dict[str, Any] = json.loads(done.out)["data"] if done.status == 0 and done.out else {}
    return answer


def _down() -> list[tuple[str, str, str]]:
    """Return job, node and error of each target that is not up."""
    targets = _asked("targets?state=active").get("activeTargets", [])
    return [
        (target["labels"]["job"], target["labels"].get("node", ""), target["lastError"])
        for target in targets
        if target["health"] != "up"
    ] or ([] if targets else [("prometheus", "head", "does not answer")])


def _value(query: str) -> float | None:
    found = _asked(f"query?query={query}").get("result", [])
    return float(found[0]["value"][1]) if found else None


def _raised_and_cleared(
    file: Path, alert: str, break_it: list[str], mend_it: list[str], **labels: str
) -> None:
    """Break something on a machine by commands, and see the alert come and go."""
    machine, *commands = break_it
    assert on(machine, "\n".join(commands)).status == 0
    try:
        raised = wait_until(
            lambda: was_told(file, alert, "firing", **labels),
            _WITHIN_S,
            f"{alert} {labels}; told: {[each['labels'] for each in told(file)]}",
        )
    finally:
        machine, *commands = mend_it
        assert on(machine, "\n".join(commands)).status == 0
    cleared = wait_until(
        lambda: was_told(file, alert, "resolved", **labels), _WITHIN_S, f"{alert} resolved"
    )
    print(f"{alert}: raised after {raised:.0f} s, cleared after {cleared:.0f} s")  # noqa: T201


def test_every_target_is_up(hook: Path) -> None:
    assert hook.parent.exists()
    wait_until(lambda: _down() == [], 180, str(_down()))


def test_the_probe_gets_real_tokens_and_vllms_metrics_come_out_of_ray(hook: Path) -> None:
    assert hook.parent.exists()
    wait_until(lambda: _value("token_probe_success") == 1, 120, "real tokens by the probe")
    running = "count(%7B__name__%3D~%22(ray_)%3Fvllm%5B:_%5Dnum_requests_running%22%7D)"
    wait_until(lambda: bool(_value(running)), 120, "vLLM's metrics")


def test_a_hot_gpu_is_told(hook: Path) -> None:
    file = f"{SIMULATOR_DATA}/gpu0.json"
    _raised_and_cleared(
        hook,
        "GpuTooHot",
        ["w1", f"""echo '{{"DCGM_FI_DEV_GPU_TEMP": 91}}' > {file}"""],
        ["w1", f"rm {file}"],
        node="w1",
        gpu="0",
        lab_simulated="true",
    )


def test_an_mtu_that_differs_on_one_host_is_told(hook: Path) -> None:
    _raised_and_cleared(
        hook,
        "MtuMismatch",
        ["w1", "ip link set fab0 mtu 1500"],
        ["w1", "ip link set fab0 mtu 9000"],
        node="head",
        peer="w1",
        network="fabric",
    )


def test_a_link_that_is_cut_at_the_switch_is_told(hook: Path) -> None:
    """Last: the model loses a stage by it, and is asked for tokens again by `up`."""
    shut = rackform("ssh", "tor1", stdin=_PORT_OF_W2.format("shutdown"))
    assert shut.status == 0, shut.text
    try:
        wait_until(
            lambda: was_told(hook, "LinkLost", "firing", node="head", peer="w2", network="fabric"),
            _WITHIN_S,
            "LinkLost",
        )
    finally:
        opened = rackform("ssh", "tor1", stdin=_PORT_OF_W2.format("no shutdown"))
        assert opened.status == 0, opened.text
    wait_until(
        lambda: was_told(hook, "LinkLost", "resolved", node="head", peer="w2", network="fabric"),
        _WITHIN_S,
        "LinkLost resolved",
    )
    up()
