"""NVIDIA's driver at an exact version, held; what belongs to it; power limits that stay."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pyinfra_deploys.model import Settings

Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]*$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9][A-Za-z0-9.+:~-]*$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\n\r]*$")]

UNBRANCHED_FROM = 590
"""The first branch whose packages don't bear its number (driver installation guide, "Recent
Updates")."""
SYSTEM = "{system}"
"""In a repository's address: the host's system as NVIDIA writes it, debian12 or ubuntu2404."""


class Repository(Settings):
    """An apt repository, such as NVIDIA's own or a mirror of it."""

    uri: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s]+$")]
    suite: Line = "/"
    components: Line = ""
    signing_key: str = Field(description="its public key, ASCII-armoured")


class SystemPackages(Settings):
    packages: dict[Package, Version] = Field(min_length=1)
    fabric_manager: Version | None = None


class NvidiaDriverSettings(Settings):
    packages: dict[Package, Version] = Field(
        default={}, description="package → exact version; all of them are held"
    )
    systems: dict[str, SystemPackages] = Field(
        default={},
        description="system, such as ubuntu-24.04 → its packages, in place of `packages`",
    )
    driver_version: Annotated[str, StringConstraints(pattern=r"^\d{3}\.\d+(\.\d+)?$")] = Field(
        description="the version that the kernel reports: 580.159.04"
    )
    repository: Repository | None = Field(
        default=None, description="where the packages come from; the distribution if not given"
    )
    allow_downgrade: bool = False
    signed_modules: bool = Field(
        default=False, description="the packages' modules are signed for Secure Boot"
    )
    power_limit_w: int | None = Field(default=None, ge=50, le=2000)
    fabric_manager: Version | None = Field(
        default=None, description="with NVSwitch only: the driver's own version, as a package"
    )
    fabric_manager_package: Package | None = Field(
        default=None, description="its package, where the repository calls it otherwise"
    )
    peermem: bool = Field(default=False, description="GPUDirect RDMA's module nvidia-peermem")
    cdi: bool = Field(default=True, description="/etc/cdi/nvidia.yaml for containers")

    @model_validator(mode="after")
    def _one_version(self) -> Self:
        managers = (self.fabric_manager, *(each.fabric_manager for each in self.systems.values()))
        for given in managers:
            if given and not given.startswith(self.driver_version):
                raise ValueError(
                    f"fabric_manager = {given} with driver_version = {self.driver_version}: "
                    "NVSwitch works only where both have the same version"
                )
        return self

    @model_validator(mode="after")
    def _some_packages(self) -> Self:
        if not self.packages and not self.systems:
            raise ValueError("packages has none, but a driver comes as packages: name them")
        return self

    def on(self, system: str) -> Self:
        """Return the settings of a host that runs this system, one of `systems` where it has any.

        Raises:
            KeyError: it is none of them.

        """
        if not self.systems:
            return self
        own = self.systems[system].model_dump()
        return self.model_copy(update={**own, "systems": {}})

    @property
    def fabric_manager_name(self) -> str:
        """The package: NVIDIA's repository has the branch in its name before 590 alone."""
        branch = self.driver_version.partition(".")[0]
        suffix = f"-{branch}" if int(branch) < UNBRANCHED_FROM else ""
        return self.fabric_manager_package or f"nvidia-fabricmanager{suffix}"

    @property
    def exact(self) -> dict[str, str]:
        """Every package with its version."""
        manager = {self.fabric_manager_name: self.fabric_manager} if self.fabric_manager else {}
        return {**self.packages, **manager}

    @property
    def pinned_versions(self) -> list[str]:
        """What apt may choose from, as its preferences have it.

        NVIDIA's packages ask for others of at least their own version, or of exactly it: apt takes
        the newest of the repository, which mixes drivers in one case and can't be in the other.
        """
        return sorted({f"{self.driver_version}-*", *self.exact.values()})
