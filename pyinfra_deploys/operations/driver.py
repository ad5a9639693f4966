"""What stands in a driver's way, and what has to follow it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.change import never
from pyinfra_deploys.operations.reboot import AskReboot
from pyinfra_deploys.operations.script import Script

CDI = "/etc/cdi/nvidia.yaml"


@dataclass(frozen=True)
class Field:
    """What was found where a driver shall come."""

    boot: str = ""
    loaded: str | None = None
    nouveau: bool = False
    run_file: bool = False
    secure_boot: bool = False
    display: tuple[str, ...] = ()
    held_kernels: tuple[str, ...] = ()
    cdi: bool = False


class DriverField(FactBase[Field]):
    """The driver that is loaded, and everything that would spoil another one."""

    @override
    def command(self) -> str:
        return (
            "sed -n 's/.*Module.* \\([0-9]\\{3\\}\\.[0-9.]*\\) .*/loaded \\1/p'"
            " /proc/driver/nvidia/version 2>/dev/null;"
            " echo boot $(cat /proc/sys/kernel/random/boot_id);"
            " grep -q '^nouveau ' /proc/modules && echo nouveau;"
            " ls /usr/bin/nvidia-uninstall 2>/dev/null | grep -q . && echo run-file;"
            " mokutil --sb-state 2>/dev/null | grep -q enabled && echo secure-boot;"
            " for p in Xorg Xwayland gdm3; do pgrep -x $p >/dev/null && echo display $p; done;"
            # 'apt-mark showhold' reads all of apt's lists first: half a second for the same answer.
            " dpkg-query -W -f '${db:Status-Want} ${Package}\\n' 'linux-*' 2>/dev/null"
            " | sed -n 's/^hold /held /p';"
            f" [ -s {CDI} ] && echo cdi; true"
        )

    @staticmethod
    @override
    def default() -> Field:
        return Field()

    @override
    def process(self, output: list[str]) -> Field:
        rows = [line.split() for line in output if line.strip()]
        words = {row[0] for row in rows}

        def named(kind: str) -> tuple[str, ...]:
            return tuple(row[1] for row in rows if row[0] == kind and len(row) > 1)

        return Field(
            boot=next(iter(named("boot")), ""),
            loaded=next(iter(named("loaded")), None),
            nouveau="nouveau" in words,
            run_file="run-file" in words,
            secure_boot="secure-boot" in words,
            display=named("display"),
            held_kernels=named("held"),
            cdi="cdi" in words,
        )


@operation()
def expect_a_clear_field(*, signed_modules: bool) -> Generator[StringCommand, None, None]:
    """Do nothing where a driver can be installed; nothing was changed where it can't.

    Raises:
        OperationError: what is in the way, and how to clear it.

    """
    found = host.get_fact(DriverField)
    if found.run_file:
        raise OperationError(
            "the driver came from a .run file, which packages can't replace: run "
            "'nvidia-uninstall' on the host, then try again"
        )
    if found.loaded is None and found.secure_boot and not signed_modules:
        raise OperationError(
            "Secure Boot is on and would refuse the driver's unsigned modules: turn it off in the "
            "firmware, enrol a key for DKMS, or declare packages with signed_modules: true"
        )
    if found.loaded is None and found.display:
        raise OperationError(
            f"{', '.join(found.display)} is running and would hold the GPU: stop it with "
            "'systemctl set-default multi-user.target' and 'systemctl isolate multi-user.target'"
        )
    if found.loaded is None and found.held_kernels:
        raise OperationError(
            f"{', '.join(found.held_kernels)} is held, so that headers of the running kernel may "
            "not be found: release it with 'apt-mark unhold', or hold the matching headers too"
        )
    host.noop("nothing is in the way")
    yield from ()


@operation()
def refresh_initramfs(
    refresh_if: Callable[[], bool] = never,
) -> Generator[StringCommand, None, None]:
    if refresh_if():
        yield Script(
            "update-initramfs -u",
            "if command -v update-initramfs >/dev/null; then update-initramfs -u; fi",
        )
    else:
        host.noop("the boot image is as it was")


def awaits_reboot(driver_version: str) -> Callable[[], bool]:
    """Return a condition: the declared driver is not the loaded one, so that a reboot is due.

    What talks to the driver fails until then: its programs are of another version than the module.
    """

    def condition() -> bool:
        return host.get_fact(DriverField).loaded != driver_version

    return condition


@operation()
def tell_reboot(driver_version: str) -> Generator[StringCommand, None, None]:
    """Ask for a reboot where another driver is loaded than declared, whoever installed it when."""
    found = host.get_fact(DriverField)
    if found.loaded == driver_version:
        host.noop(f"driver {driver_version} is loaded")
        return
    now = f"driver {found.loaded}" if found.loaded else "nouveau" if found.nouveau else "no driver"
    yield AskReboot(f"{now} is loaded, {driver_version} is declared", found.boot)


@operation()
def refresh_cdi(
    driver_version: str, refresh_if: Callable[[], bool] = never
) -> Generator[StringCommand, None, None]:
    """Describe the GPUs to containers now; at boot rackform-gpu.service does it."""
    found = host.get_fact(DriverField)
    if found.loaded != driver_version or (found.cdi and not refresh_if()):
        host.noop("the GPUs are described, or will be at boot")
        return
    generate = StringCommand("nvidia-ctk", "cdi", "generate", f"--output={CDI}")
    yield Recorded(StringCommand("mkdir", "-p", "/etc/cdi"), before.file(CDI))
    yield generate
