"""A host's link to the fabric: address, MTU, kept over a reboot by systemd-networkd."""

from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pyinfra_deploys.model import Settings

Interface = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,15}$")]


class FabricLinkSettings(Settings):
    interface: Interface
    address: IPv4Interface = Field(description="address with its prefix: 10.78.0.11/24")
    mtu_bytes: int = Field(ge=1280, le=65535)
    management_address: IPv4Address = Field(
        description="the address by which the host is reached: its interface is never touched"
    )
    required_for_online: bool = False

    @model_validator(mode="after")
    def _apart_from_management(self) -> Self:
        if self.address.ip == self.management_address:
            raise ValueError(
                f"{self.address.ip} is the management address, too: the fabric needs its own"
            )
        return self
