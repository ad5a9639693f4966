"""The operations of `fabric_link`."""

from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.api.operation import OperationMeta
from pyinfra.context import host

from pyinfra_deploys.fabric_link.places import UNITS, Places
from pyinfra_deploys.fabric_link.rails import answer_apart, give_back
from pyinfra_deploys.fabric_link.settings import FabricLinkSettings, Infiniband
from pyinfra_deploys.operations.card import name_card
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import edit_file, write_file
from pyinfra_deploys.operations.holders import Holders, InterfaceHolders, expect_own_interface
from pyinfra_deploys.operations.ipoib import set_ipoib_mode
from pyinfra_deploys.operations.link import apply_link
from pyinfra_deploys.operations.marks import without_interface
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.roce import expect_roce_tools
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.templating import render
from remote import host_folders

DECLARED = f"{host_folders.METRICS}/fabric.prom"
"""Among the host's metrics: monitoring compares with it, and pings by it."""
CNP_DSCP = 48
SMALL_DATAGRAM_BYTES = 2044
"""What a subnet manager's default of 2048 bytes a packet leaves for a datagram."""


@deploy("fabric_link")
def fabric_link(settings: FabricLinkSettings) -> None:
    holders = _holders(settings)
    give_back(settings, holders.rails)
    rails = [(rail, Places(rail.interface)) for rail in _by_rail(settings)]
    _link(settings, Places(), holders)
    for rail, places in rails:
        _link(rail, places, _holders(rail))
    if rails:
        answer_apart(settings)
    write_file(
        name=f"{settings.interface}'s declared MTU among the metrics",
        path=DECLARED,
        content=render("fabric_link", "fabric.prom.j2", settings),
    )
    if settings.roce:
        for link, places in [(settings, Places()), *rails]:
            _roce(link, places)


def _by_rail(settings: FabricLinkSettings) -> list[FabricLinkSettings]:
    """Return what each rail is told, as if it were the first link."""
    return [settings.model_copy(update={**dict(rail), "rails": []}) for rail in settings.rails]


def _holders(link: FabricLinkSettings) -> Holders:
    return host.get_fact(InterfaceHolders, interface=link.interface) or Holders()


def _link(settings: FabricLinkSettings, places: Places, holders: Holders) -> None:
    """Set one link up, with a way back of its own: a rail comes once the links before it stand."""
    if settings.pci or settings.mac:
        _card(settings, places)
    if settings.infiniband:
        _infiniband(settings, settings.infiniband, places)
    later = bool(settings.pci or settings.mac or settings.infiniband)
    expect_own_interface(settings.interface, holders, comes_later=later)
    taken = _take_over(settings.interface, holders, places)
    manners = [] if places.rail else [_manners(settings)]
    network = write_file(
        name=f"{settings.interface} at boot",
        path=places.network,
        content=render("fabric_link", "link.network.j2", settings),
        keep_former=True,
        link=settings.interface,  # systemd-networkd sets it up as soon as it starts
    )
    if manners:
        run_service(
            name="systemd-networkd",
            unit="systemd-networkd.service",
            restart_if=changed(*manners),
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
        files=[places.network, *taken],
    )


def _manners(settings: FabricLinkSettings) -> OperationMeta:
    return write_file(
        name="systemd-networkd leaves foreign routes alone",
        path="/etc/systemd/networkd.conf.d/10-rackform.conf",
        content=render("fabric_link", "networkd.conf.j2", settings),
        reader="systemd-networkd.service",
    )


def _take_over(interface: str, holders: Holders, places: Places) -> dict[str, OperationMeta]:
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
        taken[places.unmanaged] = write_file(
            name=f"{interface} is no longer set up by NetworkManager",
            path=places.unmanaged,
            content=f"[keyfile]\nunmanaged-devices+=interface-name:{interface}\n",
            keep_former=True,
        )
    return taken


def _card(settings: FabricLinkSettings, places: Places) -> None:
    write_file(
        name=f"{settings.interface} is the declared card at boot",
        path=places.link,
        content=render("fabric_link", "fabric.link.j2", settings),
    )
    name_card(
        name=f"{settings.interface} is the declared card",
        interface=settings.interface,
        pci=settings.pci,
        mac=settings.mac,
        management_address=str(settings.management_address),
    )


def _unit(settings: FabricLinkSettings, unit: str, template: str, script: str) -> OperationMeta:
    return write_file(
        name=f"{unit} as a file",
        path=f"{UNITS}/{unit}",
        content=render("fabric_link", f"{template}.j2", settings, script=script),
    )


def _infiniband(settings: FabricLinkSettings, infiniband: Infiniband, places: Places) -> None:
    manager = ["opensm"] if infiniband.opensm and not places.rail else []
    if not places.rail:
        install_packages(name="InfiniBand's packages", packages=["infiniband-diags", *manager])
        write_file(
            name="IP over InfiniBand at boot",
            path="/etc/modules-load.d/rackform-infiniband.conf",
            content="ib_ipoib\nib_umad\n",
        )
    script = write_file(
        name=_of("IP over InfiniBand's settings", places),
        path=places.ipoib_script,
        content=render("fabric_link", "ipoib.sh.j2", settings),
        mode="755",
    )
    set_ipoib_mode(
        name=f"{settings.interface} as {infiniband.mode}",
        interface=settings.interface,
        mode=infiniband.mode,
        script=places.ipoib_script,
    )
    unit = _unit(settings, places.ipoib, Places().ipoib, places.ipoib_script)
    run_service(
        name=_of("IP over InfiniBand", places),
        unit=places.ipoib,
        restart_if=changed(script, unit),
    )
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


def _roce(settings: FabricLinkSettings, places: Places) -> None:
    expect_roce_tools(name=_of("RoCE's tools", places), interface=settings.interface)
    script = write_file(
        name=_of("RoCE's settings", places),
        path=places.roce_script,
        content=render("fabric_link", "roce.sh.j2", settings, cnp_dscp=CNP_DSCP),
        mode="755",
        sysctls=["net.ipv4.tcp_ecn"],
    )
    unit = _unit(settings, places.roce, Places().roce, places.roce_script)
    run_service(name=_of("RoCE", places), unit=places.roce, restart_if=changed(script, unit))


def _of(told: str, places: Places) -> str:
    return f"{told} on {places.rail}" if places.rail else told
