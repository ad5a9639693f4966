"""The operations of `fabric_link`."""

from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.api.operation import OperationMeta
from pyinfra.context import host

from pyinfra_deploys.fabric_link.settings import FabricLinkSettings, Infiniband
from pyinfra_deploys.operations.card import name_card
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import edit_file, write_file
from pyinfra_deploys.operations.holders import (
    UNMANAGED,
    Holders,
    InterfaceHolders,
    expect_own_interface,
)
from pyinfra_deploys.operations.ipoib import set_ipoib_mode
from pyinfra_deploys.operations.link import apply_link
from pyinfra_deploys.operations.marks import without_interface
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.roce import expect_roce_tools
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.templating import render
from remote import host_folders

# systemd takes the first file that matches, by name: netplan's begin with 10-.
NETWORK = "/etc/systemd/network/05-rackform-fabric.network"
DECLARED = f"{host_folders.METRICS}/fabric.prom"
"""Among the host's metrics: monitoring compares with it, and pings by it."""
LINK = "/etc/systemd/network/05-rackform-fabric.link"
ROCE, IPOIB = "rackform-roce.service", "rackform-ipoib.service"
IPOIB_SCRIPT = "/etc/rackform/ipoib.sh"
CNP_DSCP = 48
SMALL_DATAGRAM_BYTES = 2044
"""What a subnet manager's default of 2048 bytes a packet leaves for a datagram."""


@deploy("fabric_link")
def fabric_link(settings: FabricLinkSettings) -> None:
    if settings.pci or settings.mac:
        _card(settings)
    if settings.infiniband:
        _infiniband(settings, settings.infiniband)
    holders = host.get_fact(InterfaceHolders, interface=settings.interface) or Holders()
    later = bool(settings.pci or settings.mac or settings.infiniband)
    expect_own_interface(settings.interface, holders, comes_later=later)
    taken = _take_over(settings.interface, holders)
    manners = write_file(
        name="systemd-networkd leaves foreign routes alone",
        path="/etc/systemd/networkd.conf.d/10-rackform.conf",
        content=render("fabric_link", "networkd.conf.j2", settings),
        reader="systemd-networkd.service",
    )
    network = write_file(
        name=f"{settings.interface} at boot",
        path=NETWORK,
        content=render("fabric_link", "link.network.j2", settings),
        keep_former=True,
        link=settings.interface,  # systemd-networkd sets it up as soon as it starts
    )
    run_service(
        name="systemd-networkd",
        unit="systemd-networkd.service",
        restart_if=changed(manners),
        brings=["systemd-networkd.socket"],
        # It would hold up the boot for links that others set up.
        without="systemd-networkd-wait-online.service",
    )
    apply_link(
        name=f"{settings.interface} now",
        interface=settings.interface,
        address=str(settings.address),
        mtu_bytes=settings.mtu_bytes,
        management_address=str(settings.management_address),
        reload_if=changed(network, *taken.values()),
        files=[NETWORK, *taken],
    )
    write_file(
        name=f"{settings.interface}'s declared MTU among the metrics",
        path=DECLARED,
        content=render("fabric_link", "fabric.prom.j2", settings),
    )
    if settings.roce:
        _roce(settings)


def _take_over(interface: str, holders: Holders) -> dict[str, OperationMeta]:
    """Put out of force what else would set the interface up; each file with its operation."""
    taken = {
        path: edit_file(
            name=f"{interface} is no longer set up by {path}",
            path=path,
            edit=partial(without_interface, interface=interface),
            undo="marks",
            keep_former=True,
        )
        for path in holders.ifupdown
    }
    if holders.network_manager:
        taken[UNMANAGED] = write_file(
            name=f"{interface} is no longer set up by NetworkManager",
            path=UNMANAGED,
            content=f"[keyfile]\nunmanaged-devices+=interface-name:{interface}\n",
            keep_former=True,
        )
    return taken


def _card(settings: FabricLinkSettings) -> None:
    write_file(
        name=f"{settings.interface} is the declared card at boot",
        path=LINK,
        content=render("fabric_link", "fabric.link.j2", settings),
    )
    name_card(
        name=f"{settings.interface} is the declared card",
        interface=settings.interface,
        pci=settings.pci,
        mac=settings.mac,
        management_address=str(settings.management_address),
    )


def _unit(settings: FabricLinkSettings, unit: str) -> OperationMeta:
    return write_file(
        name=f"{unit} as a file",
        path=f"/etc/systemd/system/{unit}",
        content=render("fabric_link", f"{unit}.j2", settings),
    )


def _infiniband(settings: FabricLinkSettings, infiniband: Infiniband) -> None:
    manager = ["opensm"] if infiniband.opensm else []
    install_packages(name="InfiniBand's packages", packages=["infiniband-diags", *manager])
    write_file(
        name="IP over InfiniBand at boot",
        path="/etc/modules-load.d/rackform-infiniband.conf",
        content="ib_ipoib\nib_umad\n",
    )
    script = write_file(
        name="IP over InfiniBand's settings",
        path=IPOIB_SCRIPT,
        content=render("fabric_link", "ipoib.sh.j2", settings),
        mode="755",
    )
    set_ipoib_mode(
        name=f"{settings.interface} as {infiniband.mode}",
        interface=settings.interface,
        mode=infiniband.mode,
        script=IPOIB_SCRIPT,
    )
    unit = _unit(settings, IPOIB)
    run_service(name="IP over InfiniBand", unit=IPOIB, restart_if=changed(script, unit))
    if manager:
        _subnet_manager(settings, infiniband)


def _subnet_manager(settings: FabricLinkSettings, infiniband: Infiniband) -> None:
    partitions: list[OperationMeta] = []
    if infiniband.mode == "datagram" and settings.mtu_bytes > SMALL_DATAGRAM_BYTES:
        partitions.append(
            write_file(
                name="The subnet's MTU",
                path="/etc/opensm/partitions.conf",
                content=render("fabric_link", "partitions.conf.j2", settings),
                reader="opensm.service",
            )
        )
    run_service(name="The subnet's manager", unit="opensm.service", restart_if=changed(*partitions))


def _roce(settings: FabricLinkSettings) -> None:
    expect_roce_tools(name="RoCE's tools", interface=settings.interface)
    script = write_file(
        name="RoCE's settings",
        path="/etc/rackform/roce.sh",
        content=render("fabric_link", "roce.sh.j2", settings, cnp_dscp=CNP_DSCP),
        mode="755",
        sysctls=["net.ipv4.tcp_ecn"],
    )
    unit = _unit(settings, ROCE)
    run_service(name="RoCE", unit=ROCE, restart_if=changed(script, unit))
