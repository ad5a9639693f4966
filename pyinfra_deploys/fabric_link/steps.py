"""The operations of `fabric_link`."""

from pyinfra.api.deploy import deploy

from pyinfra_deploys.fabric_link.settings import FabricLinkSettings
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.link import apply_link
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.templating import render


@deploy("fabric_link")
def fabric_link(settings: FabricLinkSettings) -> None:
    manners = write_file(
        name="systemd-networkd leaves foreign routes alone",
        path="/etc/systemd/networkd.conf.d/10-rackform.conf",
        content=render("fabric_link", "networkd.conf.j2", settings),
    )
    network = write_file(
        name=f"{settings.interface} at boot",
        path="/etc/systemd/network/10-rackform-fabric.network",
        content=render("fabric_link", "link.network.j2", settings),
    )
    run_service(
        name="systemd-networkd", unit="systemd-networkd.service", restart_if=changed(manners)
    )
    apply_link(
        name=f"{settings.interface} now",
        interface=settings.interface,
        address=str(settings.address),
        mtu_bytes=settings.mtu_bytes,
        management_address=str(settings.management_address),
        reload_if=changed(network),
    )
