"""What must be true of a running appliance: written by the program, checked by `tests/hosts`."""

from pydantic import BaseModel, ConfigDict, Field

from remote.connection import Connection


class _Expectation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedHost(_Expectation):
    connection: Connection
    fabric_interface: str
    fabric_address: str
    containers: dict[str, str] = Field(description="container → image id: sha256:…")
    sysctls: dict[str, str] = {}
    open_tcp: list[int] = Field(default=[], description="what is reached from outside the fabric")


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
