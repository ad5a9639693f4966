"""What must be true of a running appliance: written by the program, checked by `tests/hosts`."""

from pydantic import BaseModel, ConfigDict, Field

from remote.connection import Connection
from stack.schema import FABRIC


class _Expectation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedLink(_Expectation):
    """One end of a link to the fabric."""

    interface: str
    address: str


class ExpectedHost(_Expectation):
    connection: Connection
    fabric_interface: str
    fabric_address: str
    rails: dict[str, ExpectedLink] = Field(
        default={}, description="further links by their network's name"
    )
    containers: dict[str, str] = Field(description="container → image id: sha256:…")
    sysctls: dict[str, str] = {}
    open_tcp: list[int] = Field(default=[], description="what is reached from outside the fabric")

    @property
    def links(self) -> dict[str, ExpectedLink]:
        """Every link by its network's name, the first one first."""
        first = ExpectedLink(interface=self.fabric_interface, address=self.fabric_address)
        return {FABRIC: first, **self.rails}


class ExpectedApi(_Expectation):
    """The edge, and one key that it accepts."""

    endpoint: str = Field(description="https://…/v1")
    ca_certificate: str
    api_key: str
    model: str


class Expectations(_Expectation):
    """All that the verification at the end of an `up` compares with the machines."""

    mtu_bytes: int
    hosts: dict[str, ExpectedHost]
    head: str
    ray_token: str
    ray_nodes: int
    ray_gpus: int
    api: ExpectedApi
