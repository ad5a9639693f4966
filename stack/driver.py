"""NVIDIA's driver, as a site declares it: versions, packages, and where they come from."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from stack.settings import Settings
from stack.values import DriverVersion, Flag, PackageVersion, RepositoryUri, SettingName, Whole

if TYPE_CHECKING:
    from stack.schema import Gpus

# Driver README, "Open Linux Kernel Modules": they know Turing and later, and alone Blackwell and
# Grace Hopper. GTX 16 is Turing.
_CLOSED_ONLY = re.compile(r"gtx-(?!16)|titan-(v|x)|(quadro-)?[kmp]\d|v100|gv100|quadro-gv")
_OPEN_ONLY = re.compile(r"rtx-50\d\d|rtx-pro-|b[123]\d\d|gb\d|gh\d")
_OPEN_PACKAGES = re.compile(r"nvidia(-.+)?-open(-.+)?")
_CLOSED_PACKAGES = re.compile(
    r"cuda-drivers(-\d+)?|nvidia-kernel-dkms|nvidia-(driver|dkms|headless)-\d+(-server)?"
)
_NVSWITCH_FROM = 8
"""GPUs of an SXM baseboard with NVSwitch; eight V100 are joined without one."""


class Modules(StrEnum):
    """The two kinds of NVIDIA's kernel modules."""

    OPEN = "open"
    CLOSED = "closed"


def modules_for(model: str | None) -> set[Modules]:
    """Return which kernel modules drive a GPU model."""
    if model and _CLOSED_ONLY.match(model):
        return {Modules.CLOSED}
    return {Modules.OPEN} if model and _OPEN_ONLY.match(model) else {Modules.OPEN, Modules.CLOSED}


def modules_in(package: str) -> Modules | None:
    """Return which kernel modules a package brings, if it is one that does."""
    if _OPEN_PACKAGES.fullmatch(package):
        return Modules.OPEN
    return Modules.CLOSED if _CLOSED_PACKAGES.fullmatch(package) else None


def has_nvswitch(gpus: "Gpus") -> bool:
    """Whether the GPUs of a node reach each other over NVSwitch, which needs Fabric Manager."""
    link = gpus.link or ""
    joined = link.startswith("nvlink") and link not in {"nvlink-bridge", "nvlink1", "nvlink2"}
    return gpus.count >= _NVSWITCH_FROM and joined


def fitting(packages: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Return the packages for a GPU model: one kind of modules, the open ones if they fit."""
    brought = {kind for name in packages if (kind := modules_in(name))}
    fits = modules_for(model) & brought
    kept = Modules.OPEN if Modules.OPEN in fits else Modules.CLOSED
    return {name: each for name, each in packages.items() if modules_in(name) in (None, kept)}


class HostSystem(StrEnum):
    """The systems that a host may run, as its os-release names them."""

    DEBIAN_12 = "debian-12"
    DEBIAN_13 = "debian-13"
    UBUNTU_22_04 = "ubuntu-22.04"
    UBUNTU_24_04 = "ubuntu-24.04"


class SystemPackages(Settings):
    packages: dict[SettingName, PackageVersion] = Field(
        min_length=1, description="Package → exact version on nodes of this system."
    )
    fabric_manager: PackageVersion | None = Field(
        default=None, description="In place of nvidia.fabric_manager there."
    )


class AptRepository(Settings):
    uri: RepositoryUri = Field(
        description="Address of the repository or of a mirror of it; {system} in it becomes the"
        " node's own, as NVIDIA writes it: debian12, ubuntu2404."
    )
    suite: str = Field(default="/", description="Suite; / for a flat repository like NVIDIA's.")
    components: str = Field(default="", description="Components, where there are any.")
    key_file: Path = Field(description="Its public signing key, ASCII-armoured, on this machine.")


class Nvidia(Settings):
    driver_version: DriverVersion = Field(description="What nvidia-smi shows: 580.159.04.")
    packages: dict[SettingName, PackageVersion] = Field(
        default={},
        description="Package → exact version: nvidia-open or cuda-drivers, container toolkit. With"
        " both kinds of kernel modules, each node gets that which its GPUs need. Needed, unless"
        " systems has them.",
    )
    systems: dict[HostSystem, SystemPackages] = Field(
        default={},
        description="System, such as ubuntu-24.04 → its packages, where one version isn't the same"
        " on all of them: in place of packages. Each GPU node's has to be there: debian-12,"
        " debian-13, ubuntu-22.04 or ubuntu-24.04.",
    )
    repository: AptRepository | None = Field(
        default=None, description="Where they come from; the distribution if not given."
    )
    fabric_manager: PackageVersion | None = Field(
        default=None,
        description="Version of Fabric Manager's package, for hosts of eight GPUs with NVSwitch.",
    )
    fabric_manager_package: SettingName | None = Field(
        default=None,
        description="Its package, where the repository calls it otherwise than NVIDIA's for Ubuntu:"
        " nvidia-fabricmanager-580, and nvidia-fabricmanager from 590 on.",
    )
    power_limit_w: Whole | None = Field(
        default=None, ge=50, le=2000, description="Power limit of each GPU, in watts."
    )
    signed_modules: Flag = Field(
        default=False, description="The packages' modules are signed for Secure Boot."
    )
    allow_downgrade: Flag = Field(
        default=False, description="A newer driver than declared is replaced, not refused."
    )

    def offers(self) -> list[tuple[list[str], SystemPackages]]:
        """Return each path at which packages stand, and these with Fabric Manager's version."""
        own = SystemPackages.model_construct(packages=self.packages)
        found = [(["nvidia", "systems", name.value], each) for name, each in self.systems.items()]
        return [
            (path, each.model_copy(update={"fabric_manager": self._manager(each)}))
            for path, each in found or [(["nvidia"], own)]
        ]

    def on(self, system: str) -> "Nvidia":
        """Return what a node of that system gets; of one that isn't there, what the first gets."""
        if not self.systems:
            return self
        there = {name.value: each for name, each in self.systems.items()}
        chosen = there.get(system) or next(iter(there.values()))
        return self.model_copy(
            update={
                "packages": chosen.packages,
                "fabric_manager": self._manager(chosen),
                "systems": {},
            }
        )

    def _manager(self, chosen: SystemPackages) -> str | None:
        return chosen.fabric_manager or self.fabric_manager
