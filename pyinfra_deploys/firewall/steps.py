"""The operations of `firewall`."""

from pyinfra.api.deploy import deploy

from pyinfra_deploys.firewall.settings import FirewallSettings
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.nftables import load_table
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.templating import render

RULES = "/etc/rackform/firewall.nft"
TABLE = "inet rackform"
UNIT = "rackform-firewall.service"


@deploy("firewall")
def firewall(settings: FirewallSettings) -> None:
    install_packages(name="nftables", packages=["nftables"])
    rules = write_file(
        name="Firewall's rules", path=RULES, content=render("firewall", "firewall.nft.j2", settings)
    )
    write_file(
        name="Firewall's unit",
        path=f"/etc/systemd/system/{UNIT}",
        content=render("firewall", f"{UNIT}.j2", settings),
    )
    load_table(name="Firewall now", table=TABLE, path=RULES, load_if=changed(rules))
    run_service(name="Firewall at boot", unit=UNIT)
