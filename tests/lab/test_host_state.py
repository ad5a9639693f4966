"""The twin's hosts: converged, changed by hand, repaired by just the operations that this needs."""

import json
from typing import Any

import pytest

from provider.inputs import HostStateInputs
from pyinfra_deploys.client import HostWorker, Operation
from remote import ssh
from remote.connection import Connection
from tests.lab.appliance import STACK, pulumi

pytestmark = pytest.mark.twin

BY_HAND = [
    ("ip link set fab0 mtu 1500", ["fab0 now"]),
    ("ip addr add 10.78.0.199/24 dev fab0", ["fab0 now"]),
    ("rm /etc/nccl.conf", ["NCCL on this host"]),
    ("sysctl -w net.core.somaxconn=128 vm.swappiness=60", ["Kernel parameters"]),
    ("sed -i 2d /etc/hosts; chmod 600 /etc/hosts", ["Names of the site's machines"]),
    ("rm /etc/systemd/network/05-rackform-fabric.network", ["fab0 at boot", "fab0 now"]),
    ("systemctl disable systemd-networkd", ["systemd-networkd"]),
    ("echo '{}' > /etc/docker/daemon.json", ["Docker's configuration", "docker.service"]),
    ("nft flush table inet rackform", ["Firewall now"]),
    ("nft delete table inet rackform", ["Firewall now"]),
]


@pytest.fixture(scope="module")
def declared(report: dict[str, Any]) -> dict[str, HostStateInputs]:
    """Return what the stack declares of each of its hosts, as the engine keeps it."""
    _ = report
    exported = pulumi("stack", "export", "--stack", STACK)
    assert exported.status == 0, exported.text
    resources = json.loads(exported.out)["deployment"]["resources"]
    found = [
        HostStateInputs.model_validate(
            {k: v for k, v in resource["inputs"].items() if not k.startswith("__")}
        )
        for resource in resources
        if resource["type"] == "rackform:index:HostState"
    ]
    return {inputs.connection.name: inputs for inputs in found}


def names(operations: list[Operation]) -> list[str]:
    return [operation.name for operation in operations]


def test_every_converged_host_has_nothing_due(
    nodes: dict[str, Connection], declared: dict[str, HostStateInputs], worker: HostWorker
) -> None:
    assert set(declared) == set(nodes)
    for inputs in declared.values():
        assert worker.plan(inputs.connection, inputs.deploys) == []


@pytest.mark.parametrize(("command", "due"), BY_HAND)
def test_a_hand_made_change_is_repaired_by_just_what_it_needs(
    declared: dict[str, HostStateInputs], worker: HostWorker, command: str, due: list[str]
) -> None:
    inputs = declared["w1"]
    running = "docker ps -q --no-trunc | sort"
    containers = ssh.run(inputs.connection, running).stdout
    ssh.run(inputs.connection, command)

    assert names(worker.plan(inputs.connection, inputs.deploys)) == due
    assert names(worker.apply(inputs.connection, inputs.deploys).changed) == due
    assert worker.plan(inputs.connection, inputs.deploys) == []
    assert ssh.run(inputs.connection, running).stdout == containers


def test_a_dry_run_changes_nothing_and_tells_the_new_mtu(
    declared: dict[str, HostStateInputs], worker: HostWorker
) -> None:
    inputs = declared["w2"]
    fabric = {**inputs.deploys["fabric_link"], "mtu_bytes": 4200}
    plan = worker.plan(inputs.connection, {**inputs.deploys, "fabric_link": fabric})
    at_boot, now, metric = plan
    assert "+MTUBytes=4200" in at_boot.diff
    assert '+rackform_fabric_mtu_bytes{device="fab0"} 4200' in metric.diff
    assert "ip link set dev fab0 mtu 4200" in now.commands
    assert worker.plan(inputs.connection, inputs.deploys) == []
