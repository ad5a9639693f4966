"""What the doctor is told (facts) and what it tells (results)."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from discover.model import Machine
from fabric.protocol import SwitchState
from stack.schema import FABRIC


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(StrEnum):
    """What is examined, in the order in which it is told: a cause stands before its effects."""

    NODES = "nodes"
    STACK = "stack"
    CLOCKS = "clocks"
    DISK = "disk"
    DRIVERS = "drivers"
    DEVICES = "devices"
    PCIE = "pcie"
    GPUS = "gpus"
    CIRCUITS = "circuits"
    LINK = "link"
    CABLING = "cabling"
    MTU = "mtu"
    NCCL = "nccl"
    CONTAINERS = "containers"
    REDIS = "redis"
    RAY = "ray"
    CERTIFICATE = "certificate"
    TOKENS = "tokens"


class Status(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "not checked"


class Result(_Frozen):
    """One thing that was examined."""

    check: Check
    where: str = Field(description="the node, port, GPU or service that it is about")
    status: Status
    measured: str
    expected: str = ""
    remedy: str = Field(default="", description="what to do, where something is wrong")


class Interface(_Frozen):
    mtu_bytes: int
    up: bool = Field(description="it is up and has a carrier")
    addresses: tuple[str, ...] = Field(default=(), description="IPv4, without prefix")
    speed_mbit_s: int | None = None


class Room(_Frozen):
    """One file system that something of the appliance is on."""

    path: str
    size_bytes: int
    free_bytes: int
    free_inodes_share: float = 1.0


class Clock(_Frozen):
    """A node's clock against the controller's."""

    off_s: float
    uncertain_s: float = Field(description="half of what the question took")


class Ping(_Frozen):
    """One direction between two nodes over one network of the fabric."""

    source: str
    target: str
    network: str = FABRIC
    small: bool = Field(description="a small packet is answered")
    large: bool = Field(description="the largest that the fabric declares is, unfragmented")
    passes_bytes: int | None = Field(default=None, description="the largest that is answered")


class ContainerFacts(_Frozen):
    name: str
    state: str
    image_id: str


class NodeFacts(_Frozen):
    """What one node tells of itself; `reason` says why it tells nothing."""

    reachable: bool = True
    reason: str = ""
    machine: Machine | None = None
    interfaces: dict[str, Interface] = {}
    nccl: dict[str, str] | None = Field(default=None, description="None: there is no file")
    rdma_devices: tuple[str, ...] = ()
    device_files: tuple[str, ...] = Field(default=(), description="/dev/nvidia…, uverbs…")
    rooms: tuple[Room, ...] = ()
    clock: Clock | None = None
    containers: tuple[ContainerFacts, ...] | None = Field(
        default=None, description="None: Docker does not answer"
    )
    reaches_head: bool | None = Field(default=None, description="Ray's store, over the fabric")


class SwitchFacts(_Frozen):
    state: SwitchState | None = None
    reason: str = ""


class RayMember(_Frozen):
    address: str
    alive: bool
    gpus: int = 0


class Certificate(_Frozen):
    """What a server showed; `error` where the handshake failed."""

    name: str
    address: str
    days: float | None = None
    error: str = ""


class Answer(_Frozen):
    """What the model answered through the edge."""

    pieces: int = 0
    seconds: float = 0.0
    error: str = ""


class Service(_Frozen):
    """What the stack's last `up` declares, and what its services say. None: not asked."""

    containers: dict[str, dict[str, str]] = Field(
        default={}, description="node → container → image id"
    )
    head: str
    ray_gpus: int
    ray: tuple[RayMember, ...] | None = None
    ray_error: str = ""
    redis: str | None = Field(default=None, description="its answer to PING; '' when silent")
    certificates: tuple[Certificate, ...] = ()
    answer: Answer | None = None


class Facts(_Frozen):
    nodes: dict[str, NodeFacts]
    switches: dict[str, SwitchFacts] = {}
    pings: tuple[Ping, ...] = ()
    service: Service | None = None
    never_up: str = Field(default="", description="why there is no service to ask")

    def machines(self) -> dict[str, Machine]:
        """Return node → what it tells, of those that could be asked."""
        return {name: node.machine for name, node in self.nodes.items() if node.machine}
