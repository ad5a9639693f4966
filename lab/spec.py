"""What a machine of the twin is made from, and what is found of it."""

from ipaddress import IPv4Interface
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from remote.connection import Connection


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StandInDriver(_Model):
    """What a host's repository of stand-ins for NVIDIA's packages offers."""

    driver_version: str = Field(description="what the kernel shows after a boot: 580.159.04")
    packages: dict[str, str] = Field(min_length=1, description="package → version")


class NodeSpec(_Model):
    """A host: systemd as PID 1 on an overlay of the base image."""

    site: str
    name: str
    base_digest: str = Field(description="digest of the node image in the store: sha256:…")
    address: str = Field(description="management address with its prefix: 10.77.0.11/24")
    cables: dict[str, str] = Field(description="interface → switch.port: fab0 → tor1.Ethernet1")
    memory_gib: float
    gpus: int
    authorized_key: str
    seed_images: list[str] = []
    driver: StandInDriver | None = None
    private_key_file: Path

    def connection(self, host_key: str) -> Connection:
        return Connection(
            name=self.name,
            address=str(IPv4Interface(self.address).ip),
            private_key_file=self.private_key_file,
            host_key=host_key,
        )


class SwitchSpec(_Model):
    """A switch: a bridge in its own namespace behind an SSH command line."""

    site: str
    name: str
    os: Literal["eos", "onyx", "cumulus", "sonic"]
    address: str
    ports: list[str]
    max_mtu_bytes: int
    authorized_key: str
    private_key_file: Path

    def connection(self, host_key: str) -> Connection:
        return Connection(
            name=self.name,
            address=str(IPv4Interface(self.address).ip),
            user="admin",
            private_key_file=self.private_key_file,
            host_key=host_key,
        )


Power = Literal["on", "off"]


class NodeState(_Model):
    """A host as it is found. `problems` are sentences: what keeps it from being what was made."""

    spec: NodeSpec
    power: Power
    problems: tuple[str, ...]
    connection: Connection


class SwitchState(_Model):
    spec: SwitchSpec
    power: Power
    problems: tuple[str, ...]
    connection: Connection
    namespace: str
