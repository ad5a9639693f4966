"""What a step of an update is told by the stack: `./rackform step NAME` reads it as JSON."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from remote.connection import Connection
from stack.schema import FABRIC


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(StrEnum):
    DRAIN = "drain"
    RETURN = "return"
    GATE = "gate"


class Drain(_Order):
    """Take a node out of service before its boot ends."""

    node: Connection
    ends_boot: str = Field(description="the boot that has to end; empty: none")
    container: str = Field(description="Ray's container on the node")
    fabric_address: str
    head: Connection
    dashboard_port: int
    ray_token: str
    spare: bool = Field(description="the models keep their least replicas without this node")
    requests_end_s: int = Field(description="how long Serve lets requests under way go on")


class Return(_Order):
    """Wait until a node is back, and compare it with what it was declared to be."""

    node: Connection
    ends_boot: str
    driver_version: str
    gpus: int
    fabric_manager: bool
    interface: str
    fabric_address: str
    rails: dict[str, str] = Field(default={}, description="interface → address of further links")
    mtu_bytes: int
    containers: list[str] = Field(description="those that ran before")


class GateLink(_Order):
    """One end of a link between such nodes."""

    interface: str
    address: str


class GateNode(_Order):
    """One node that holds ranks."""

    connection: Connection
    interface: str
    fabric_address: str
    rails: dict[str, GateLink] = Field(default={}, description="further links by network")
    rdma: bool

    @property
    def links(self) -> dict[str, GateLink]:
        """Every link by its network's name, the first one first."""
        return {
            FABRIC: GateLink(interface=self.interface, address=self.fabric_address),
            **self.rails,
        }


class Gate(_Order):
    """Prove each link between nodes with ranks, in the image that serves."""

    nodes: dict[str, GateNode]
    image: str = Field(description="id of the serving image, which every node has")
    backend: str = Field(description="nccl, or gloo where there are no GPUs")
    mtu_bytes: int
    gbit_s: float
    floor_gb_s: float = Field(description="least bandwidth of a link; 0: it has to work at all")
    limit_s: int = Field(description="longest time for one pair of nodes")
