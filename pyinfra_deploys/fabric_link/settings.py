"""A host's links to the fabric: address, MTU, kept over a reboot by systemd-networkd."""

from ipaddress import IPv4Address, IPv4Interface
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pyinfra_deploys.model import Settings

Interface = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,15}$")]


PciAddress = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
]
Mac = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]


class Roce(Settings):
    """RoCE on the card: DSCP trusted, ECN, and PFC on the priority where it is lossless."""

    mode: Literal["lossless", "lossy"] = "lossless"
    priority: int = Field(default=3, ge=0, le=7)
    traffic_class: int = Field(
        default=106, ge=0, le=255, description="IP's byte for RDMA: DSCP 26, and ECN-capable"
    )

    @property
    def dscp(self) -> int:
        """The upper six bits of IP's byte."""
        return self.traffic_class >> 2

    @property
    def pfc(self) -> str:
        """The priorities without drops, as mlnx_qos takes them: 0,0,0,1,0,0,0,0."""
        on = self.mode == "lossless"
        return ",".join("1" if on and each == self.priority else "0" for each in range(8))


class Infiniband(Settings):
    """IP over InfiniBand, and a subnet manager where the site asks for it here."""

    opensm: bool = Field(default=False, description="this host manages the subnet")
    mode: Literal["datagram", "connected"] = Field(
        default="datagram", description="connected allows an MTU up to 65520"
    )


class Link(Settings):
    """One link of the host: an interface, its address, and its card where that is declared."""

    interface: Interface
    address: IPv4Interface = Field(description="address with its prefix: 10.78.0.11/24")
    pci: PciAddress | None = Field(
        default=None, description="the card, which gets the name `interface`; 0000:17:00.0"
    )
    mac: Mac | None = Field(default=None, description="the card by its permanent MAC address")


class FabricLinkSettings(Link):
    """The first link, and what all have in common."""

    mtu_bytes: int = Field(ge=1280, le=65535)
    management_address: IPv4Address = Field(
        description="the address by which the host is reached: its interface is never touched"
    )
    required_for_online: bool = False
    roce: Roce | None = None
    infiniband: Infiniband | None = None
    rails: list[Link] = Field(default=[], description="further links, each in a subnet of its own")

    @property
    def links(self) -> list[Link]:
        return [self, *self.rails]

    @model_validator(mode="after")
    def _apart_from_management(self) -> Self:
        for link in self.links:
            if link.address.ip == self.management_address:
                raise ValueError(
                    f"{link.address.ip} is the management address, too: the fabric needs its own"
                )
            if link.pci and link.mac:
                raise ValueError("pci and mac both name the card: give one")
        if self.roce and self.infiniband:
            raise ValueError("roce and infiniband are two fabrics: give one")
        limit = 65520 if self.infiniband and self.infiniband.mode == "connected" else 4092
        if self.infiniband and self.mtu_bytes > limit:
            raise ValueError(
                f"IP over InfiniBand ({self.infiniband.mode}) has at most {limit} bytes"
            )
        return self

    @model_validator(mode="after")
    def _apart_from_each_other(self) -> Self:
        for one, other in combinations(self.links, 2):
            cards = {one.interface, one.pci, one.mac} & {other.interface, other.pci, other.mac}
            if shared := cards - {None}:
                raise ValueError(f"{shared.pop()} is in two links: each needs a card of its own")
            if one.address.network.overlaps(other.address.network):
                raise ValueError(
                    f"{other.address} is in the subnet of {one.address}, and a packet would take "
                    "either link: each needs a subnet of its own"
                )
        return self
