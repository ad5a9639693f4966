"""A host of the twin that runs Debian 13: every deploy converges it, and again changes nothing."""

from collections.abc import Iterator

import pytest

from discover.ask import ask
from lab import nodes, switch
from pyinfra_deploys.client import HostWorker
from remote import ssh
from remote.connection import Connection
from stack.schema import TwinSystem
from tests.lab.test_nvidia_driver import VERSIONS, cluster, ends_boot, offered, rebooted
from tests.lab.test_restore import DEPLOYS, RESTORE, found
from tests.lab.two_hosts import claimed

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    variant = TwinSystem.DEBIAN_13.image_variant
    with claimed(tmp_path_factory.mktemp("state"), variant, rails=True) as made:
        switch.create(made.twin, made.tor)
        offers = {"driver": offered(VERSIONS[0])}
        yield nodes.create(made.twin, made.specs[0].model_copy(update=offers))


def test_a_host_of_debian_13_is_converged_and_given_back(
    host: Connection, worker: HostWorker
) -> None:
    before = found(host)
    worker.apply(host, DEPLOYS)
    assert worker.plan(host, DEPLOYS) == []

    seen = ask(host)
    assert (seen.os_id, seen.os_version) == ("debian", "13")
    assert ssh.run(host, "docker info --format '{{.LiveRestoreEnabled}}'").stdout == "true\n"
    assert ssh.run(host, "cat /sys/class/net/fab0/mtu").stdout == "4200\n"
    failed = "systemctl list-units --state=failed --no-legend --plain"
    assert ssh.run(host, failed).stdout == ""

    worker.apply(host, RESTORE)
    assert found(host) == before


def test_a_driver_on_debian_13_runs_after_the_reboot_that_it_asks_for(
    host: Connection, worker: HostWorker
) -> None:
    declared = cluster(VERSIONS[0])
    worker.apply(host, declared)
    assert "runs driver 570.86.15" in rebooted(host, ends_boot(host, worker, declared), VERSIONS[0])
    assert worker.plan(host, declared) == []
