"""A host's network on a real host of the twin: a bad change goes back, the next one works."""

import time

import pytest
from pydantic import JsonValue

from discover.ask import ask
from pyinfra_deploys.client import HostWorker
from pyinfra_deploys.operations.way_back import SECONDS, UNIT
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from tests.lab.bench import wait_until

pytestmark = pytest.mark.root

FILE = "/etc/systemd/network/05-rackform-fabric.network"
GOOD: dict[str, JsonValue] = {
    "interface": "fab0",
    "address": "10.75.0.11/24",
    "mtu_bytes": 4200,
    "management_address": "10.76.0.11",
}


def told(host: Connection, command: str) -> str:
    return ssh.run(host, command, check=False).stdout.strip()


def test_a_bad_change_fails_and_goes_back_by_itself_and_the_next_works(
    host: Connection, worker: HostWorker
) -> None:
    good = {"fabric_link": GOOD}
    worker.apply(host, good)
    assert worker.plan(host, good) == []
    assert told(host, f"systemctl is-active {UNIT}.timer") != "active"
    assert told(host, "ls /run/rackform/former") == ""

    assert told(host, "ip link add fab9 type veth peer name fab9-peer") == ""  # it gets no carrier
    with pytest.raises(RackformError, match="fab9"):
        worker.apply(host, {"fabric_link": {**GOOD, "interface": "fab9", "mtu_bytes": 9000}})
    assert "fab9" in told(host, f"cat {FILE}")
    assert told(host, f"systemctl is-active {UNIT}.timer") == "active"

    end = time.monotonic() + SECONDS + 30
    while "fab9" in told(host, f"cat {FILE}"):
        assert time.monotonic() < end, "the network did not go back"
        time.sleep(1)
    wait_until_gone(host)
    # networkd was told, and does it in its own time
    wait_until(lambda: worker.plan(host, good) == [], 30, "the network as it was before")

    assert told(host, "ip link delete fab9") == ""
    better = {"fabric_link": {**GOOD, "mtu_bytes": 9000}}
    worker.apply(host, better)
    assert worker.plan(host, better) == []


def wait_until_gone(host: Connection) -> None:
    """Wait until what goes back has come to its end."""
    for _ in range(20):
        if told(host, f"systemctl is-active {UNIT}.service") not in {"active", "activating"}:
            return
        time.sleep(0.5)


def test_a_host_of_the_twin_is_discovered(host: Connection) -> None:
    found = ask(host)
    assert (found.os_id, found.os_version) == ("debian", "12")
    assert found.may_sudo
    assert found.root_writable
    assert found.gpus == ()
    assert abs(found.clock_off_s) < 5
