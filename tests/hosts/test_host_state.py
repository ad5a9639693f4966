"""What pyinfra applied is in force."""

import pytest
from testinfra.host import Host

from stack.expectations import ExpectedHost


def test_nccl_uses_exactly_the_fabric_interface(host: Host, expected: ExpectedHost) -> None:
    file = host.file("/etc/nccl.conf")
    assert f"NCCL_SOCKET_IFNAME=={expected.fabric_interface}" in (
        line.replace(" ", "") for line in file.content_string.splitlines()
    )
    assert file.mode == 0o644


@pytest.mark.parametrize("service", ["docker", "systemd-networkd", "ssh"])
def test_the_service_runs(host: Host, service: str) -> None:
    assert host.service(service).is_running


@pytest.mark.parametrize("service", ["docker", "systemd-networkd"])
def test_the_service_starts_with_the_machine(host: Host, service: str) -> None:
    assert host.service(service).is_enabled


def test_no_unit_has_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --state=failed --no-legend --plain") == ""


def test_every_node_is_known_by_name(host: Host, expected: ExpectedHost) -> None:
    assert expected.connection.address in host.check_output(
        "getent ahosts %s", expected.connection.name
    )
