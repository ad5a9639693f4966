"""The fabric carries what the site promises: checked with packets, not with configuration."""

from pathlib import Path

import testinfra
from testinfra.host import Host

from stack.expectations import Expectations, ExpectedHost

_IP_AND_ICMP_HEADER_BYTES = 28


def test_the_interface_has_the_sites_mtu_and_address(
    host: Host, expected: ExpectedHost, expectations: Expectations
) -> None:
    interface = host.interface(expected.fabric_interface)
    mtu = host.file(f"/sys/class/net/{expected.fabric_interface}/mtu").content_string
    assert int(mtu) == expectations.mtu_bytes
    assert expected.fabric_address in interface.addresses


def test_the_largest_packet_crosses_unfragmented(
    pair: tuple[str, str], expectations: Expectations, ssh_config: Path
) -> None:
    source, target = pair
    host = testinfra.get_host(f"ssh://{source}", ssh_config=str(ssh_config))
    payload = expectations.mtu_bytes - _IP_AND_ICMP_HEADER_BYTES
    address = expectations.hosts[target].fabric_address
    ping = host.run("ping -c 2 -i 0.2 -W 2 -M do -s %s %s", str(payload), address)
    assert ping.rc == 0, (
        f"{payload + _IP_AND_ICMP_HEADER_BYTES} bytes from {source} to {target} are lost:"
        " the MTU of a host or of a switch port on the way is smaller\n" + ping.stdout
    )


def test_a_larger_packet_is_refused(
    host: Host, expected: ExpectedHost, expectations: Expectations
) -> None:
    """The check above can fail: one byte more than the MTU does not leave the host."""
    payload = expectations.mtu_bytes - _IP_AND_ICMP_HEADER_BYTES + 1
    other = next(
        found.fabric_address
        for found in expectations.hosts.values()
        if found.fabric_address != expected.fabric_address
    )
    assert host.run("ping -c 1 -W 1 -M do -s %s %s", str(payload), other).rc != 0
