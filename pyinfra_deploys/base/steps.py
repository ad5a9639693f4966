"""The operations of `base`."""

from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from pyinfra_deploys.base.settings import BaseSettings
from pyinfra_deploys.operations.facts import InstalledPackages, LimitBounds
from pyinfra_deploys.operations.files import edit_file, write_file
from pyinfra_deploys.operations.limits import within
from pyinfra_deploys.operations.marks import with_block
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.operations.sysctl import set_sysctls
from pyinfra_deploys.operations.systems import this_system
from pyinfra_deploys.operations.timezone import set_timezone
from pyinfra_deploys.templating import render

TIME_SYNC = "systemd-timesyncd"
OTHER_CLOCKS = ["chrony", "ntp", "ntpsec", "openntpd"]
"""Whoever has one of these keeps it: Debian allows one of them at a time."""


@deploy("base")
def base(settings: BaseSettings) -> None:
    this_system()  # an unknown one is refused before anything changes
    time_sync = settings.time_sync and not host.get_fact(InstalledPackages, names=OTHER_CLOCKS)
    install_packages(
        name="Packages",
        packages=[*settings.packages, *([TIME_SYNC] if time_sync else [])],
        units=[f"{TIME_SYNC}.service"] if time_sync else [],
    )
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
    edit_file(
        name="Names of the site's machines",
        path="/etc/hosts",
        edit=partial(with_block, block=render("base", "hosts.j2", settings)),
        undo="marks",
    )
    if settings.timezone:
        set_timezone(name="Time zone", timezone=settings.timezone)
    if time_sync:
        run_service(name="Time synchronisation", unit=f"{TIME_SYNC}.service")
