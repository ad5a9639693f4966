"""The doctor on the running twin: healthy first, then with one thing broken at a time by hand."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.appliance import Done, on, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

_BACK_S = 300


def doctor(*checks: str) -> tuple[int, list[dict[str, Any]], Done]:
    """Return the status, the results, and all that was said."""
    done = rackform("doctor", "--json", *checks, timeout_s=300)
    assert done.out, done.text
    return done.status, json.loads(done.out.splitlines()[-1])["results"], done


def wrong(*checks: str) -> list[dict[str, Any]]:
    status, results, done = doctor(*checks)
    bad = [each for each in results if each["status"] == "wrong"]
    assert status == (1 if bad else 0), done.text
    return bad


@contextmanager
def broken(node: str, break_: str, mend: str) -> Iterator[None]:
    done = on(node, break_)
    assert done.status == 0, done.text
    try:
        yield
    finally:
        on(node, mend)


def test_a_healthy_twin_has_nothing_wrong(report: dict[str, Any]) -> None:
    assert report
    status, results, done = doctor()
    assert status == 0, done.text
    found = {each["check"]: each for each in results}
    for check in ("nodes", "mtu", "nccl", "containers", "redis", "ray", "certificate", "tokens"):
        assert found[check]["status"] == "ok", found[check]
    assert "simulated" in found["gpus"]["measured"]


def test_the_screen_tells_what_was_measured_and_what_is_expected(report: dict[str, Any]) -> None:
    assert report
    done = rackform("doctor", "mtu", "redis")
    assert done.status == 0, done.text
    assert "9000 bytes cross unfragmented" in " ".join(done.out.split())
    assert "all right" in done.out


def test_a_smaller_mtu_of_one_host_is_found_on_that_hop(report: dict[str, Any]) -> None:
    assert report
    small, back = "ip link set fab0 mtu 1500", "ip link set fab0 mtu 9000"
    with broken("w1", small, back):
        (hop,) = wrong("mtu")
        assert hop["where"] == "w1.fab0"
        assert hop["measured"].startswith("MTU 1500; lost: ")
        assert "w2 to w1" in hop["measured"]
        assert "ip link set fab0 mtu 9000" in hop["remedy"]
    assert wrong("mtu") == []


def test_a_smaller_mtu_of_one_switch_port_is_found_on_that_hop(report: dict[str, Any]) -> None:
    assert report

    def port(mtu: int) -> None:
        lines = f"enable\nconfigure\ninterface Ethernet3\nmtu {mtu}\nend\nexit\n"
        done = rackform("ssh", "tor1", stdin=lines)
        assert done.status == 0, done.text

    port(1500)
    try:
        (hop,) = wrong("mtu")
        assert (hop["where"], "MTU 1500" in hop["measured"]) == ("tor1.Ethernet3", True)
    finally:
        port(9000)
    assert wrong("mtu") == []


def test_a_stopped_worker_is_named(report: dict[str, Any]) -> None:
    assert report
    with broken("w2", "docker stop ray-worker", "docker start ray-worker"):
        bad = {each["check"]: each for each in wrong("containers")}
        assert bad["containers"]["where"] == "w2 ray-worker"
        assert bad["containers"]["measured"] == "exited"
        assert "docker logs --tail 50 ray-worker" in bad["containers"]["remedy"]
    assert up()["answer"]


def test_a_node_that_is_off_is_named_and_the_others_are_examined(report: dict[str, Any]) -> None:
    assert report
    on("w2", "systemctl poweroff")
    deadline = time.monotonic() + 60
    while on("w2", "true").status == 0 and time.monotonic() < deadline:
        time.sleep(1)
    begin = time.monotonic()
    status, results, done = doctor("nodes", "mtu", "containers", "ray")
    assert status == 1, done.text
    assert time.monotonic() - begin < 120
    told = {(each["check"], each["where"]): each for each in results}
    assert told["nodes", "w2"]["status"] == "wrong"
    assert told["nodes", "w1"]["status"] == "ok"
    assert told["containers", "w1"]["status"] == "ok"
    assert told["mtu", "fabric"]["status"] == "ok", "the two that are left still see each other"
    assert "Paris" in up()["answer"]
    deadline = time.monotonic() + _BACK_S
    while (bad := wrong()) and time.monotonic() < deadline:
        time.sleep(5)
    assert bad == []


def test_bad_input_ends_with_status_2(report: dict[str, Any]) -> None:
    assert report
    done = rackform("doctor", "continers")
    assert done.status == 2
    assert "did you mean containers?" in done.err
    assert rackform("doctor", "--stack", "nowhere").status == 2


@pytest.mark.parametrize(
    "command",
    [
        "iftop -t -s 3 -i fab0",
        "ethtool -S fab0",
        "fping -c 3 10.78.0.13",
        "mtr -n -r -c 2 10.78.0.13",
        "iperf3 --version",
    ],
)
def test_an_interconnect_tool_runs_on_a_node(report: dict[str, Any], command: str) -> None:
    assert report
    done = rackform("ssh", "w1", *command.split())
    assert done.status == 0, done.text
    assert done.out
