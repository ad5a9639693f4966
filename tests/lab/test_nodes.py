"""Hosts and a switch of a twin of their own: they behave like machines, and nothing stays."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from lab import cgroups, login, network, nodes, overlay, processes, switch
from lab import twin as twins
from lab.layout import Twin
from pyinfra_deploys.client import HostWorker
from remote.connection import Connection
from remote.errors import RackformError
from stack.paths import ROOT, store_dir
from tests.lab.two_hosts import FABRIC, RAIL, Lab, claimed

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with claimed(tmp_path_factory.mktemp("a state, with: odd, name"), rails=True) as made:
        yield made


@pytest.fixture
def up(lab: Lab) -> Lab:
    lab.up()
    return lab


def wait(condition: str, lab: Lab, name: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            lab.ssh(name, condition)
        except RackformError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return


def test_hosts_boot_systemd_without_failed_units_and_run_docker(up: Lab) -> None:
    for name in ("a", "b"):
        assert up.ssh(name, "systemctl is-system-running --wait") == "running"
        assert up.ssh(name, "cat /proc/1/comm") == "systemd"
        assert up.ssh(name, "hostname") == name
        assert up.ssh(name, "docker info -f '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2"


def test_making_it_again_changes_nothing(up: Lab) -> None:
    before = [processes.supervisor(up.twin.node(name)) for name in ("a", "b")]
    up.up()
    assert [processes.supervisor(up.twin.node(name)) for name in ("a", "b")] == before


def test_a_host_has_kernel_parameters_of_its_own(up: Lab) -> None:
    ours = Path("/proc/sys/net/core/rmem_max").read_text().strip()
    up.ssh("a", "sysctl -w vm.swappiness=11 net.core.rmem_max=67108865 net.ipv4.tcp_mtu_probing=1")
    assert up.ssh("a", "sysctl -n net.core.rmem_max") == "67108865"
    assert up.ssh("b", "sysctl -n net.core.rmem_max") == ours
    assert Path("/proc/sys/net/core/rmem_max").read_text().strip() == ours


def test_a_host_cannot_set_the_clock(up: Lab) -> None:
    with pytest.raises(RackformError, match="not permitted"):
        up.ssh("a", "date -s @1")


def test_the_switch_port_bounds_what_passes_the_fabric(up: Lab) -> None:
    for name in ("a", "b"):
        up.fabric(name)
        wait(f"ip -br addr show fab0 | grep -q 'UP.*{FABRIC[name]}'", up, name)
    for device in ("swp1", "swp2"):
        up.port_mtu(device, 9000)
    assert up.ping(9000)
    for device in ("swp1", "swp2"):
        up.port_mtu(device, 4200)
        assert up.ping(4200)
        assert not up.ping(9000), f"9000 bytes passed {device} at 4200"
        up.port_mtu(device, 9000)
    assert up.ping(9000)


def links(name: str) -> dict[str, JsonValue]:
    """Return what a host is told of its two links."""
    return {
        "interface": "fab0",
        "address": f"{FABRIC[name]}/24",
        "mtu_bytes": 9000,
        "management_address": {"a": "10.76.0.11", "b": "10.76.0.12"}[name],
        "rails": [{"interface": "fab1", "address": f"{RAIL[name]}/24"}],
    }


def test_a_rail_carries_what_its_own_ports_let_through_by_its_own_cards(
    up: Lab, worker: HostWorker
) -> None:
    for name in ("a", "b"):
        found = nodes.read(up.twin, name)
        assert found
        declared = {"fabric_link": links(name)}
        worker.apply(found.connection, declared)
        assert worker.plan(found.connection, declared) == []
    for device in ("swp3", "swp4"):
        up.port_mtu(device, 9000)
    assert up.ping(9000, RAIL["b"])
    for device in ("swp3", "swp4"):
        up.port_mtu(device, 4200)
        assert up.ping(4200, RAIL["b"])
        assert not up.ping(9000, RAIL["b"]), f"9000 bytes passed {device} at 4200"
        assert up.ping(9000)
        up.port_mtu(device, 9000)
    heard = up.ssh("a", f"ip neigh show {RAIL['b']} dev fab1").split()
    assert network.mac("b", "fab1") in heard


def test_a_reboot_is_one_and_the_addresses_of_the_fabric_come_back(up: Lab) -> None:
    up.fabric("a")
    before = up.ssh("a", "cat /proc/sys/kernel/random/boot_id")
    with contextlib.suppress(RackformError):  # the connection ends with the host
        up.ssh("a", "systemctl --no-block reboot")
    deadline = time.monotonic() + 30
    after = before
    while after == before and time.monotonic() < deadline:
        time.sleep(0.5)
        nodes.wait_ssh(up.twin, "a")
        after = up.ssh("a", "cat /proc/sys/kernel/random/boot_id")
    assert after != before
    wait(f"ip -br addr show fab0 | grep -q '{FABRIC['a']}'", up, "a")
    assert up.ssh("a", "cat /sys/class/net/fab0/mtu") == "9000"
    wait(f"ip -br addr show fab1 | grep -q '{RAIL['a']}'", up, "a")
    assert up.ssh("a", "cat /sys/class/net/fab1/mtu") == "9000"


def _answers(connection: Connection) -> bool:
    return login.banner(connection)


@pytest.mark.parametrize("hard", [False, True])
def test_a_host_that_is_powered_off_is_found_so_and_comes_back(up: Lab, hard: bool) -> None:  # noqa: FBT001 - a parameter of the test
    up.ssh("b", "echo kept > /root/kept; sync")
    nodes.power_off(up.twin, "b", hard=hard)
    found = nodes.read(up.twin, "b")
    assert found
    assert found.power == "off"
    assert not _answers(found.connection)
    assert "LOWER_UP" not in network.links("tor")["swp2"]["flags"]
    nodes.create(up.twin, up.specs[1])
    assert up.ssh("b", "cat /root/kept") == "kept"


def test_a_poweroff_from_inside_ends_the_host(up: Lab) -> None:
    with contextlib.suppress(RackformError):  # the connection ends with the host
        up.ssh("b", "systemctl --no-block poweroff")
    assert processes.wait_ended(up.twin.node("b"), timeout_s=30)
    found = nodes.read(up.twin, "b")
    assert found
    assert found.problems == ("it is powered off",)


def test_a_host_that_is_shutting_down_is_told_as_such_and_comes_back(up: Lab) -> None:
    nodes.create(up.twin, up.specs[1])
    slow = "[Service]\\nExecStart=sleep infinity\\nExecStop=sleep 6\\n"
    up.ssh("b", f"printf '{slow}' > /run/systemd/system/slow.service && systemctl start slow")
    with contextlib.suppress(RackformError):  # the connection may end before the answer comes
        up.ssh("b", "systemctl --no-block poweroff")
    found = nodes.read(up.twin, "b")
    assert found
    deadline = time.monotonic() + 5
    while _answers(found.connection) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = nodes.read(up.twin, "b")
    assert found
    assert found.power == "on"
    assert found.problems == ("its SSH server does not answer: it hangs, starts or shuts down",)
    nodes.create(up.twin, up.specs[1])
    assert up.ssh("b", "systemctl is-active slow || true") == "inactive"


def test_a_removed_host_leaves_its_port_as_it_was_configured(up: Lab) -> None:
    up.port_mtu("swp2", 4321)
    key = nodes.create(up.twin, up.specs[1]).host_key
    nodes.delete(up.twin, "b")
    nodes.delete(up.twin, "b")
    assert nodes.read(up.twin, "b") is None
    assert not network.exists("b")
    assert nodes.create(up.twin, up.specs[1]).host_key == key
    assert network.links("tor")["swp2"]["mtu"] == 4321


def test_a_switch_made_anew_gets_its_cables_back(up: Lab) -> None:
    switch.delete(up.twin, "tor")
    found = nodes.read(up.twin, "a")
    assert found
    assert found.problems == (
        "fab0 is not plugged into tor.Ethernet1",
        "fab1 is not plugged into tor.Ethernet3",
    )
    switch.create(up.twin, up.tor)
    assert nodes.read(up.twin, "a") == found.model_copy(update={"problems": ()})


def test_what_a_killed_supervisor_leaves_is_found_and_the_host_boots_again(up: Lab) -> None:
    pid = processes.supervisor(up.twin.node("a"))
    assert pid
    os.kill(pid, signal.SIGKILL)
    (up.twin.nodes / "half").mkdir()
    subprocess.run(["ip", "netns", "add", "rf-stray"], check=True)
    time.sleep(0.5)
    cleaned = twins.clean_leftovers(up.twin)
    assert "removed what was half made of half" in cleaned
    assert "removed the namespace rf-stray" in cleaned
    found = nodes.read(up.twin, "a")
    assert found
    assert found.power == "off"
    nodes.create(up.twin, up.specs[0])
    assert up.ssh("a", "true") == ""


def test_another_checkout_is_refused_while_the_twin_is_up(up: Lab, tmp_path: Path) -> None:
    other = Twin(tmp_path, store_dir())
    with pytest.raises(RackformError, match=str(ROOT)):
        twins.claim(other, tmp_path)
    twins.claim(up.twin, ROOT)


def test_down_removes_all_of_it_and_can_be_repeated(up: Lab) -> None:
    twins.down(up.twin, keep_images=False)
    twins.down(up.twin, keep_images=False)
    assert not up.twin.path.exists()
    assert not cgroups.names()
    assert network.BRIDGE not in network.links(None)
    assert not any(p.name.startswith("rf-") for p in network.NETNS.glob("*"))
    assert not overlay.mounts_below(up.twin.state)
    assert twins.claimed_by() is None
    twins.claim(up.twin, ROOT)
