"""NVIDIA's packages on a host of the twin: stand-ins of their names; apt, dpkg, reboots are real.

The tests share one host and tell one story, in the order of the file.
"""

from collections.abc import Iterator

import pytest
from pydantic import JsonValue

from cli import steps
from lab import nodes as lab_nodes
from lab import stand_ins, switch
from lab.spec import StandInDriver
from pyinfra_deploys.client import HostWorker
from remote import boot, returned, ssh
from remote.connection import Connection
from remote.end_boot import END_BOOT
from remote.errors import RackformError
from stack.steps import Return, Step
from tests.lab.two_hosts import claimed

pytestmark = pytest.mark.root

Deploys = dict[str, dict[str, JsonValue]]
VERSIONS = ("570.86.15-1", "580.159.04-1")
FABRIC: dict[str, JsonValue] = {
    "interface": "fab0",
    "address": "10.75.0.11/24",
    "mtu_bytes": 4200,
    "management_address": "10.76.0.11",
}


def offered(version: str) -> StandInDriver:
    number = version.partition("-")[0]
    manager = f"nvidia-fabricmanager-{number.partition('.')[0]}"
    return StandInDriver(driver_version=number, packages={"nvidia-open": version, manager: version})


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Make one host of a twin of its own, whose apt is offered two drivers."""
    with claimed(tmp_path_factory.mktemp("state")) as lab:
        switch.create(lab.twin, lab.tor)
        made = lab_nodes.create(lab.twin, lab.specs[0])
        stand_ins.lay(lab.twin.node("a") / "root", [offered(version) for version in VERSIONS])
        yield made


def driver(version: str, **more: JsonValue) -> dict[str, dict[str, JsonValue]]:
    number = version.partition("-")[0]
    return {
        "nvidia_driver": {
            "packages": {"nvidia-open": version},
            "driver_version": number,
            "cdi": False,
            **more,
        }
    }


def installed(host: Connection) -> tuple[str, str]:
    ask = "dpkg-query -W -f '${Version}' nvidia-open; echo; apt-mark showhold"
    version, _, held = ssh.run(host, ask).stdout.strip().partition("\n")
    return version, held


def names(
    host: Connection, worker: HostWorker, deploys: dict[str, dict[str, JsonValue]]
) -> list[str]:
    return [operation.name for operation in worker.plan(host, deploys)]


def test_the_driver_is_installed_held_upgraded_and_never_goes_back_unasked(
    host: Connection, worker: HostWorker
) -> None:
    old, new = VERSIONS
    assert "NVIDIA's packages" in names(host, worker, driver(old))
    worker.apply(host, driver(old))
    assert installed(host) == (old, "nvidia-open")
    due = worker.plan(host, driver(old))
    told = [line for operation in due for line in operation.commands]
    assert any("THIS HOST HAS TO BE REBOOTED: no driver is loaded" in line for line in told)
    assert "NVIDIA's packages" not in [operation.name for operation in due]

    worker.apply(host, driver(new))
    assert installed(host) == (new, "nvidia-open")

    with pytest.raises(RackformError, match="newer than declared: nvidia-open 580"):
        worker.apply(host, driver(old))
    assert installed(host) == (new, "nvidia-open")
    worker.apply(host, driver(old, allow_downgrade=True))
    assert installed(host) == (old, "nvidia-open")


def test_leftovers_of_a_run_file_are_refused_before_anything_changes(
    host: Connection, worker: HostWorker
) -> None:
    worker.apply(host, driver(VERSIONS[0], allow_downgrade=True))
    ssh.run(host, "touch /usr/bin/nvidia-uninstall")
    try:
        with pytest.raises(RackformError, match=r"came from a \.run file"):
            worker.apply(host, driver(VERSIONS[1]))
        assert installed(host) == (VERSIONS[0], "nvidia-open")
    finally:
        ssh.run(host, "rm /usr/bin/nvidia-uninstall")


def cluster(version: str, **more: JsonValue) -> Deploys:
    """Return a host with NVSwitch on a fabric."""
    return {"fabric_link": FABRIC, **driver(version, fabric_manager=version, **more)}


def ends_boot(host: Connection, worker: HostWorker, deploys: Deploys) -> str:
    due = worker.plan(host, deploys)
    (boot_id,) = {each.ends_boot for each in due if each.ends_boot} or {""}
    return boot_id


def state(host: Connection, unit: str) -> str:
    return ssh.run(host, ["systemctl", "is-active", unit], check=False).stdout.strip()


def rebooted(host: Connection, ended: str, version: str) -> str:
    """Do what the stack's two commands do after the drain; what the second one tells."""
    ssh.run(host, END_BOOT, input=ended)
    order = Return(
        node=host,
        ends_boot=ended,
        driver_version=version.partition("-")[0],
        gpus=2,
        fabric_manager=True,
        interface="fab0",
        fabric_address="10.75.0.11",
        mtu_bytes=4200,
        containers=[],
    )
    return steps.run(Step.RETURN, order.model_dump_json())


def test_a_first_driver_runs_after_the_reboot_that_it_asks_for(
    host: Connection, worker: HostWorker
) -> None:
    old = VERSIONS[0]
    worker.apply(host, cluster(old, allow_downgrade=True))
    now = boot.boot_id(host)
    assert ends_boot(host, worker, cluster(old)) == now
    assert state(host, "nvidia-fabricmanager") == "inactive"
    assert "runs driver 570.86.15" in rebooted(host, now, old)
    assert state(host, "nvidia-fabricmanager") == "active"
    assert state(host, "rackform-gpu") == "active"
    assert worker.plan(host, cluster(old)) == []


def test_an_upgrade_leaves_what_runs_alone_until_the_reboot(
    host: Connection, worker: HostWorker
) -> None:
    new = VERSIONS[1]
    worker.apply(host, cluster(new))
    assert installed(host)[0] == new
    assert ssh.run(host, ["nvidia-smi", "-L"], check=False).returncode == 18
    assert state(host, "nvidia-fabricmanager") == "active"
    due = worker.plan(host, cluster(new))
    assert [operation.name for operation in due] == ["Reboot"]
    assert "driver 570.86.15 is loaded, 580.159.04 is declared" in due[0].commands[0]


def test_only_the_boot_that_was_named_is_ended(host: Connection) -> None:
    now = boot.boot_id(host)
    ssh.run(host, END_BOOT, input="another")
    ssh.run(host, END_BOOT, input="")
    timers = ssh.run(host, "systemctl list-timers --all --no-legend 'run-*'").stdout
    assert timers.strip() == ""
    assert boot.boot_id(host) == now


def test_a_reboot_that_was_cut_off_is_found_on_the_host_and_done(
    host: Connection, worker: HostWorker
) -> None:
    new, now = VERSIONS[1], boot.boot_id(host)
    with HostWorker() as another:  # nothing is remembered from the run before
        assert ends_boot(host, another, cluster(new)) == now
    assert "runs driver 580.159.04" in rebooted(host, now, new)
    assert state(host, "nvidia-fabricmanager") == "active"
    assert worker.plan(host, cluster(new)) == []
    after = boot.boot_id(host)
    assert "runs driver 580.159.04" in rebooted(host, now, new), "run again, it reboots nothing"
    assert boot.boot_id(host) == after


def test_fabric_manager_of_another_version_is_refused_before_anything_changes(
    host: Connection, worker: HostWorker
) -> None:
    old, new = VERSIONS
    with pytest.raises(RackformError, match="NVSwitch works only where both have the same"):
        worker.apply(host, driver(new, fabric_manager=old))
    assert state(host, "nvidia-fabricmanager") == "active"


def test_a_driver_that_runs_is_not_taken_back_unasked(host: Connection, worker: HostWorker) -> None:
    old, new = VERSIONS
    with pytest.raises(RackformError, match="newer than declared: nvidia-open 580"):
        worker.apply(host, cluster(old))
    assert installed(host)[0] == new
    assert worker.plan(host, cluster(new)) == []


def test_a_host_that_comes_back_without_its_driver_is_told_with_the_reason(
    host: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returned, "SETTLE_S", 5)
    now = boot.boot_id(host)
    ssh.run(host, "systemctl mask stand-in-driver.service")
    with pytest.raises(RackformError, match="was rebooted, but no driver is loaded where 580"):
        rebooted(host, now, VERSIONS[1])
    ssh.run(host, "systemctl unmask stand-in-driver.service")
