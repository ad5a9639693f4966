"""Docker Engine: trust in the site's registry, bounded logs, containers that outlive a restart."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pyinfra_deploys.model import Settings


class DockerEngineSettings(Settings):
    package: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]*$")] | None = Field(
        default=None, description="Docker Engine's package; the distribution's own if not given"
    )
    registry: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:[0-9]+)?$")] | None = (
        Field(default=None, description="host:port of the site's registry")
    )
    ca_certificate: str | None = Field(
        default=None, description="PEM of the CA that signed the registry's certificate"
    )
    log_max_size: Annotated[str, StringConstraints(pattern=r"^[0-9]+[kmg]$")] = "10m"
    log_max_files: int = Field(default=3, ge=1)
    live_restore: bool = True
    nvidia_runtime: bool = Field(default=False, description="the NVIDIA container runtime")
    expects_toolkit: bool = Field(
        default=False,
        description="no deploy installs NVIDIA's container toolkit: it has to be there",
    )

    @model_validator(mode="after")
    def _trust_needs_both(self) -> Self:
        if (self.registry is None) != (self.ca_certificate is None):
            raise ValueError("registry and ca_certificate go together: give both or neither")
        return self
