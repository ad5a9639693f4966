"""NVIDIA's driver, as a site declares it: versions, packages, and where they come from."""

from pathlib import Path

from pydantic import Field

from stack.settings import Settings
from stack.values import DriverVersion, Flag, PackageVersion, RepositoryUri, SettingName, Whole


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
        min_length=1,
        description="Package → exact version: nvidia-open or cuda-drivers, container toolkit.",
    )
    repository: AptRepository | None = Field(
        default=None, description="Where they come from; the distribution if not given."
    )
    fabric_manager: PackageVersion | None = Field(
        default=None,
        description="Version of Fabric Manager's package, for hosts of eight GPUs with NVSwitch.",
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
