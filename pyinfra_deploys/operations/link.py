"""One interface as it is now: its addresses and its MTU, set by systemd-networkd or mended."""

from collections.abc import Callable, Generator, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.change import never
from pyinfra_deploys.operations.facts import Links, LinkState
from pyinfra_deploys.operations.holders import NETWORK_MANAGER, is_network_managers
from pyinfra_deploys.operations.script import Script
from pyinfra_deploys.operations.way_back import arm, disarm


@operation()
def apply_link(  # noqa: PLR0913 - one argument a setting
    interface: str,
    address: str,
    mtu_bytes: int,
    management_address: str,
    *,
    reload_if: Callable[[], bool] = never,
    files: Sequence[str] = (),
) -> Generator[StringCommand, None, None]:
    """Bring `interface` to exactly one IPv4 address and this MTU.

    With `reload_if`, those that read `files` read them again first. A wrong MTU alone is set on the
    link, so that the address (and every connection over it) stays. Whatever is changed goes back
    by itself, with `files`, unless the host is reached again.
    """
    links = host.get_fact(Links)
    present = links.get(interface, LinkState(0, up=False, addresses=()))
    if management_address in {a.split("/")[0] for a in present.addresses}:
        raise OperationError(
            f"{interface} has the management address {management_address}: it is never touched; "
            "name the fabric interface in fabric_link.interface"
        )
    name = QuoteString(interface)
    reload = reload_if()
    missing = address not in present.addresses or not present.up
    changing = reload or missing or present.mtu_bytes != mtu_bytes
    record = before.link(interface)
    if changing:
        yield Recorded(arm({interface: present}, files), record)
    # First: with an address the kernel removes those that came after it in its subnet.
    for extra in present.addresses:
        if extra != address:
            drop = StringCommand("ip", "addr", "del", extra, "dev", name, "2>/dev/null || true")
            yield Recorded(drop, record)
    if reload:
        yield from reread(files)
    if missing:
        yield StringCommand("networkctl", "reconfigure", name)
    if present.mtu_bytes != mtu_bytes:
        yield StringCommand("ip", "link", "set", "dev", name, "mtu", str(mtu_bytes))
    if changing:
        yield settled(interface, address, mtu_bytes)
        yield disarm()


def reread(files: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Yield what makes the readers of network `files` read them: NetworkManager lets go first."""
    if any(map(is_network_managers, files)):
        yield StringCommand("systemctl", "reload", NETWORK_MANAGER)
    yield StringCommand("networkctl", "reload")


def settled(interface: str, address: str, mtu_bytes: int) -> Script:
    """Return what ends when the link is as declared, or fails after 15 s telling how it is."""
    name = QuoteString(interface)
    return Script(
        f"wait until {interface} has {address} and MTU {mtu_bytes}",
        "for i in $(seq 150); do",
        f'[ "$(cat /sys/class/net/{interface}/mtu)" = {mtu_bytes} ] &&',
        "ip -4 -o addr show dev", name, "| grep -qF", QuoteString(f" {address} "), "&& exit 0;",
        "sleep 0.1; done; ip -4 addr show dev", name, ">&2;",
        "networkctl status --no-pager", name, ">&2; exit 1",
    )  # fmt: skip
