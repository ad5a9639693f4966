"""The operations of `nvidia_driver`."""

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import OperationMeta

from pyinfra_deploys.nvidia_driver.settings import SYSTEM, NvidiaDriverSettings
from pyinfra_deploys.operations.before import BOOT_IMAGE
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.driver import (
    awaits_reboot,
    expect_a_clear_field,
    refresh_cdi,
    refresh_initramfs,
    tell_reboot,
)
from pyinfra_deploys.operations.exact_packages import expect_none_newer, install_exact
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.kernel_headers import install_kernel_headers
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.operations.systems import this_system
from pyinfra_deploys.templating import render

KEY = "/etc/apt/keyrings/rackform-nvidia.asc"
SOURCE = "/etc/apt/sources.list.d/rackform-nvidia.sources"
PREFERENCES = "/etc/apt/preferences.d/rackform-nvidia.pref"
UNIT = "rackform-gpu.service"


@deploy("nvidia_driver")
def nvidia_driver(settings: NvidiaDriverSettings) -> None:
    settings = _of_this_system(settings)
    expect_a_clear_field(name="Nothing in the way", signed_modules=settings.signed_modules)
    if not settings.allow_downgrade:
        expect_none_newer(name="Nothing newer than declared", packages=settings.exact)
    source = _repository(settings)
    nouveau = write_file(
        name="nouveau stays off",
        path="/etc/modprobe.d/rackform-nouveau.conf",
        content="blacklist nouveau\noptions nouveau modeset=0\n",
        reader=BOOT_IMAGE,
    )
    refresh_initramfs(name="nouveau is out of the boot image", refresh_if=changed(nouveau))
    if not settings.signed_modules:
        install_kernel_headers(name="Headers of the kernel, for the driver's modules")
    write_file(
        name="Versions of what NVIDIA's packages bring along",
        path=PREFERENCES,
        content=render(
            "nvidia_driver", "nvidia.pref.j2", settings, versions=settings.pinned_versions
        ),
    )
    packages = install_exact(
        name="NVIDIA's packages",
        packages=settings.exact,
        refresh_if=changed(*source),
    )
    unit = write_file(
        name="Power limit and persistence at boot",
        path=f"/etc/systemd/system/{UNIT}",
        content=render("nvidia_driver", f"{UNIT}.j2", settings),
    )
    tell_reboot(name="Reboot", driver_version=settings.driver_version)
    awaits = awaits_reboot(settings.driver_version)
    run_service(
        name="Power limit and persistence",
        unit=UNIT,
        restart_if=changed(unit),
        at_boot_if=awaits,
    )
    if settings.fabric_manager:
        run_service(
            name="Fabric Manager",
            unit="nvidia-fabricmanager.service",
            restart_if=changed(packages),
            at_boot_if=awaits,
        )
    if settings.cdi:
        refresh_cdi(
            name="GPUs for containers",
            driver_version=settings.driver_version,
            refresh_if=changed(packages),
        )


def _of_this_system(settings: NvidiaDriverSettings) -> NvidiaDriverSettings:
    """Return the settings with the packages of the host's own system.

    Raises:
        OperationError: the site has packages by system, and none for this one.

    """
    if not settings.systems:
        return settings
    system = this_system()
    if system.name not in settings.systems:
        raise OperationError(
            f"it runs {system.told}, but nvidia.systems has packages for "
            f"{', '.join(sorted(settings.systems))} alone: add nvidia.systems"
            f'["{system.name}"].packages with the versions that its repository has'
        )
    return settings.on(system.name)


def _repository(settings: NvidiaDriverSettings) -> list[OperationMeta]:
    if settings.repository is None:
        return []
    return [
        write_file(
            name="Key of NVIDIA's repository", path=KEY, content=settings.repository.signing_key
        ),
        write_file(
            name="NVIDIA's repository",
            path=SOURCE,
            content=render(
                "nvidia_driver",
                "nvidia.sources.j2",
                settings,
                key=KEY,
                uri=settings.repository.uri.replace(SYSTEM, this_system().nvidia),
            ),
        ),
    ]
