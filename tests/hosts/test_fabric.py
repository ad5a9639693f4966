"""The fabric carries what the site promises: checked with packets, not with configuration."""

from pathlib import Path

import testinfra
from testinfra.host import Host

from stack.expectations import Expectations, ExpectedHost
from stack.schema import FABRIC
from tests.hosts.way import Way

_IP_AND_ICMP_HEADER_BYTES = 28


def test_every_link_has_the_sites_mtu_and_its_address(
    host: Host, expected: ExpectedHost, expectations: Expectations
) -> None:
    for link in expected.links.values():
        mtu = host.file(f"/sys/class/net/{link.interface}/mtu").content_string
        assert int(mtu) == expectations.mtu_bytes
        assert link.address in host.interface(link.interface).addresses


def test_the_largest_packet_crosses_unfragmented(
    way: Way, expectations: Expectations, ssh_config: Path
) -> None:
    source, target, network = way
    host = testinfra.get_host(f"ssh://{source}", ssh_config=str(ssh_config))
    payload = expectations.mtu_bytes - _IP_AND_ICMP_HEADER_BYTES
    address = expectations.hosts[target].links[network].address
    ping = host.run("ping -c 2 -i 0.2 -W 2 -M do -s %s %s", str(payload), address)
    assert ping.rc == 0, (
        f"{payload + _IP_AND_ICMP_HEADER_BYTES} bytes from {source} to {target} over {network} are"
        " lost: the MTU of a host or of a switch port on the way is smaller\n" + ping.stdout
    )
    if network != FABRIC:
        _by_its_own_card(host, way, expectations, ssh_config)


def _by_its_own_card(source: Host, way: Way, expectations: Expectations, ssh_config: Path) -> None:
    """On one switch, the kernel of the other host would answer on any of its links."""
    own, other = (expectations.hosts[name].links[way.network] for name in way[:2])
    target = testinfra.get_host(f"ssh://{way.target}", ssh_config=str(ssh_config))
    heard = source.check_output("ip neigh show %s dev %s", other.address, own.interface)
    card = target.file(f"/sys/class/net/{other.interface}/address").content_string.strip()
    assert card in heard.split(), f"{way.target} answers for {other.address} by another card"


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
