"""The operations of `base`."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from pyinfra_deploys.base.settings import BaseSettings
from pyinfra_deploys.operations.facts import LimitBounds
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.limits import within
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.operations.sysctl import set_sysctls
from pyinfra_deploys.operations.timezone import set_timezone
from pyinfra_deploys.templating import render


@deploy("base")
def base(settings: BaseSettings) -> None:
    time_sync = ["systemd-timesyncd"] if settings.time_sync else []
    install_packages(name="Packages", packages=[*settings.packages, *time_sync])
    write_file(
        name="Kernel parameters at boot",
        path="/etc/sysctl.d/90-rackform.conf",
        content=render("base", "sysctl.conf.j2", settings),
    )
    set_sysctls(name="Kernel parameters", values=settings.sysctls)
    limits = within(host.get_fact(LimitBounds), settings.nofile, settings.memlock)
    write_file(
        name="Limits",
        path="/etc/security/limits.d/90-rackform.conf",
        content=render("base", "limits.conf.j2", settings.model_copy(update=limits)),
    )
    write_file(
        name="Names of the site's machines",
        path="/etc/hosts",
        content=render("base", "hosts.j2", settings),
    )
    if settings.timezone:
        set_timezone(name="Time zone", timezone=settings.timezone)
    if settings.time_sync:
        run_service(name="Time synchronisation", unit="systemd-timesyncd.service")
