"""A host of the twin that was set up by hand before: converged, and given back as it was found."""

import pytest
from pydantic import JsonValue

from pyinfra_deploys.base.settings import SERVING_SYSCTLS
from pyinfra_deploys.client import HostWorker
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError

pytestmark = pytest.mark.root

Deploys = dict[str, dict[str, JsonValue]]
RESTORE: Deploys = {
    "restore": {"management_address": "10.76.0.11", "registry": "10.76.0.11:5000"},
}
DEPLOYS: Deploys = {
    "base": {"hosts": {"10.76.0.11": ["a"]}, "time_sync": False, "timezone": "Europe/Berlin"},
    "fabric_link": {
        "interface": "fab0",
        "address": "10.75.0.11/24",
        "mtu_bytes": 4200,
        "management_address": "10.76.0.11",
        "rails": [{"interface": "fab1", "address": "10.74.0.11/24"}],
    },
    "firewall": {"fabric_interface": "fab0", "open_tcp": [22], "rails": ["fab1"]},
    "nccl_env": {"socket_interface": "fab0"},
    "docker_engine": {"registry": "10.76.0.11:5000", "ca_certificate": "not read here"},
    "watchdog": {
        "container": "ray-worker",
        "part": {"role": "follow", "node": "a", "orders": "http://10.75.0.12:9109/"},
    },
}
BY_HAND = """
set -eu
mkdir -p /etc/docker /etc/network/interfaces.d
printf '{"debug": false, "log-opts": {"max-size": "7m"}}' > /etc/docker/daemon.json
chmod 600 /etc/docker/daemon.json
echo '10.9.9.9 printer' >> /etc/hosts
printf 'auto fab0\\niface fab0 inet static\\n  address 10.75.0.99/24\\n' \
  > /etc/network/interfaces.d/fabric
ip addr add 10.75.0.99/24 dev fab0; ip link set fab0 mtu 1600 up
ip addr add 10.74.0.99/24 dev fab1; ip link set fab1 mtu 1700 up
systemctl enable -q docker; systemctl restart docker
"""
FAB1 = """
ip -4 -o addr show dev fab1 | cut -d' ' -f1-9; cat /sys/class/net/fab1/mtu
sysctl net.ipv4.conf.fab0.arp_ignore net.ipv4.conf.fab1.arp_ignore net.ipv4.conf.fab1.arp_announce
"""
FOUND = f"""
cd /etc
find . -type f ! -name ld.so.cache -printf '%p %m %U %G ' -exec sha256sum {{}} \\; | cut -d' ' -f1-5
find . -type l -printf '%p %l\\n'
find . -type d -printf '%p %m\\n'
systemctl list-unit-files --no-legend --no-pager --type=service,socket | awk '{{print $1, $2}}'
systemctl is-active docker containerd systemd-networkd systemd-networkd.socket rackform-firewall
sysctl {" ".join(sorted(SERVING_SYSCTLS))} 2>/dev/null
{FAB1}
ip -4 -o addr show dev fab0 | cut -d' ' -f1-9; cat /sys/class/net/fab0/mtu
nft list tables
true
"""


@pytest.fixture(scope="module", autouse=True)
def set_up_by_hand(host: Connection) -> None:
    ssh.run(host, BY_HAND)


def found(host: Connection) -> list[str]:
    return sorted(ssh.run(host, FOUND).stdout.splitlines())


def test_a_host_is_given_back_as_it_was_found(host: Connection, worker: HostWorker) -> None:
    before = found(host)
    container = "docker info --format '{{.LiveRestoreEnabled}} {{.Driver}}'"

    worker.apply(host, DEPLOYS)
    assert worker.plan(host, DEPLOYS) == []
    assert ssh.run(host, container).stdout.strip() == "true overlay2"
    assert '"debug": false' in ssh.run(host, "cat /etc/docker/daemon.json").stdout
    assert "printer" in ssh.run(host, "cat /etc/hosts").stdout
    taken = ssh.run(host, "cat /etc/network/interfaces.d/fabric").stdout
    assert all(line.startswith("#") for line in taken.splitlines())
    assert ssh.run(host, "stat -c '%a %U' /var/lib/rackform/before").stdout == "700 root\n"
    assert found(host) != before

    foretold = [line for each in worker.plan(host, RESTORE) for line in each.commands]
    assert "/etc/nccl.conf: removed: it was not there" in foretold
    done = [line for each in worker.apply(host, RESTORE).changed for line in each.commands]
    assert done == foretold
    assert found(host) == before
    assert worker.plan(host, RESTORE) == []
    gone = ssh.run(host, "ls -d /var/lib/rackform/before", check=False)
    assert gone.returncode != 0


def test_a_rail_that_is_declared_no_more_is_put_back_and_the_first_link_stays(
    host: Connection, worker: HostWorker
) -> None:
    rail = ssh.run(host, FAB1).stdout
    without = {key: v for key, v in DEPLOYS["fabric_link"].items() if key != "rails"}
    worker.apply(host, DEPLOYS)
    up = ssh.run(host, FAB1).stdout
    assert "10.74.0.11/24" in up
    assert "\n4200\n" in up
    assert "fab1.arp_ignore = 1" in up
    worker.apply(host, {**DEPLOYS, "fabric_link": without})
    assert ssh.run(host, FAB1).stdout == rail
    assert worker.plan(host, {**DEPLOYS, "fabric_link": without}) == []
    assert "10.75.0.11/24" in ssh.run(host, "ip -4 addr show dev fab0").stdout
    worker.apply(host, RESTORE)


def test_changes_by_hand_since_are_kept_and_a_half_done_up_goes_back_too(
    host: Connection, worker: HostWorker
) -> None:
    before = found(host)
    ssh.run(host, "ip link add fab9 type veth peer name fab9-peer")  # it gets no carrier
    fabric = {**DEPLOYS["fabric_link"], "interface": "fab9"}
    with pytest.raises(RackformError, match="fab9"):
        worker.apply(host, {**DEPLOYS, "fabric_link": fabric})
    ssh.run(host, "systemctl stop rackform-way-back.timer; ip link delete fab9")
    worker.apply(host, DEPLOYS)
    ssh.run(host, "echo '10.9.9.8 scanner' >> /etc/hosts; echo '# mine' >> /etc/nccl.conf")

    worker.apply(host, RESTORE)
    lines = ssh.run(host, "cat /etc/hosts").stdout
    assert "scanner" in lines
    assert "# mine" in ssh.run(host, "cat /var/lib/rackform/left/etc/nccl.conf").stdout
    ssh.run(host, "sed -i /scanner/d /etc/hosts")
    assert found(host) == before
