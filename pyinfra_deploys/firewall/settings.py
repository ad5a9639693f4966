"""What reaches a host from outside the fabric: SSH and the declared services, nothing else."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pyinfra_deploys.model import Settings

Interface = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,15}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _in_order(ports: list[int]) -> list[int]:
    return sorted(set(ports))


class FirewallSettings(Settings):
    fabric_interface: Interface = Field(
        description="the interface over which everything is reached"
    )
    rails: list[Interface] = Field(default=[], description="the fabric's further interfaces")
    open_tcp: Annotated[list[Port], AfterValidator(_in_order)] = Field(
        description="TCP ports that are reached over every interface; SSH's is one of them"
    )
    ssh_port: Port = Field(
        default=22, description="the port by which the host is reached: it is never closed"
    )

    @model_validator(mode="after")
    def _leaves_a_way_in(self) -> Self:
        if self.ssh_port not in self.open_tcp:
            raise ValueError(
                f"open_tcp = {self.open_tcp} would lock everybody out: the host is reached by SSH "
                f"on port {self.ssh_port}; add that to open_tcp, or correct ssh_port"
            )
        return self
