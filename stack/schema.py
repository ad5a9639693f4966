"""The site: everything that one stack declares, as `rackform:site` holds it.

`stack.load.load_site` makes a `Site` of the configuration and tells all that is wrong with it;
`stack.checks` holds the rules that look at more than one setting.
"""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pydantic import Field

from fabric.limits import LAST_VLAN, LIMITS
from stack.driver import Nvidia
from stack.economy import Planning, Power
from stack.model import Model
from stack.notes import notes
from stack.services import (
    Edge,
    EmbeddingService,
    Frontends,
    Monitoring,
    Ray,
    Registry,
    Watchdog,
)
from stack.settings import Settings
from stack.values import (
    Address,
    Cable,
    Flag,
    HostKey,
    Interface,
    MacAddress,
    Name,
    Network,
    NodeName,
    Number,
    PciAddress,
    Port,
    RdmaDevice,
    SettingName,
    Url,
    UserName,
    Whole,
)

FABRIC = "fabric"
"""The name of the network that every node's first link is on, beside those of the rails."""


class Role(StrEnum):
    HEAD = "head"
    WORKER = "worker"


class LinkKind(StrEnum):
    ETHERNET = "ethernet"
    INFINIBAND = "infiniband"


class Rdma(StrEnum):
    NONE = "none"
    ROCE = "roce"
    INFINIBAND = "infiniband"


class Variant(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


class TwinSystem(StrEnum):
    """Systems of which there is a node image."""

    DEBIAN_12 = "debian-12"
    DEBIAN_13 = "debian-13"

    @property
    def image_variant(self) -> str:
        return "default" if self is TwinSystem.DEBIAN_12 else self.value


class SwitchOs(StrEnum):
    EOS = "eos"
    ONYX = "onyx"
    CUMULUS = "cumulus"
    SONIC = "sonic"


class RoceMode(StrEnum):
    LOSSLESS = "lossless"
    LOSSY = "lossy"


class Management(Settings):
    subnet: Network = Field(
        default=IPv4Network("10.77.0.0/24"),
        description="Subnet in which the controller reaches nodes and switches.",
    )
    controller: Address | None = Field(
        default=None,
        description="Address of the machine that runs Rackform, which no other may have.",
    )


class Link(Settings):
    kind: LinkKind = Field(default=LinkKind.ETHERNET, description="What the fabric is made of.")
    gbit_s: Number = Field(
        default=100.0, gt=0, le=3200, description="Speed of one node's link, in Gbit/s."
    )
    rdma: Rdma = Field(
        default=Rdma.NONE, description="How NCCL gets past the kernel; none is plain TCP."
    )
    subnet_manager: NodeName | None = Field(
        default=None, description="InfiniBand: node that runs opensm, where no switch does."
    )
    roce: RoceMode = Field(
        default=RoceMode.LOSSLESS,
        description="Where rdma is roce: lossless has PFC on priority 3 and ECN, lossy ECN alone.",
    )
    floor_share: Number = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of what NCCL usually reaches over such a link, below which nothing is"
        " served; 0: it has to work at all, as in a twin.",
    )


class Fabric(Settings):
    subnet: Network = Field(
        description="Subnet of the fabric, which carries NCCL, Ray and weights."
    )
    mtu_bytes: Whole = Field(
        default=9000,
        ge=1280,
        le=9216,
        description="MTU of every fabric interface and switch port, in bytes.",
    )
    link: Link = Field(default=Link(), description="The link between a node and its switch.")
    rails: dict[Name, Network] = Field(
        default={},
        description="Subnets of further links, one for each card beyond a node's first, by name.",
    )

    @property
    def subnets(self) -> dict[str, IPv4Network]:
        """The subnet of every rail by name, the fabric's own first."""
        return {FABRIC: self.subnet, **self.rails}


class Ssh(Settings):
    user: UserName = Field(
        default="root", description="User on the nodes: root, or one with sudo that asks nothing."
    )
    port: Port = Field(default=22, description="TCP port of sshd on the nodes.")
    private_key_file: Path | None = Field(
        default=None,
        description="Private key on the controller; one is made for the stack if not given. With a"
        " passphrase it is used through the SSH agent.",
    )


class Switch(Settings):
    os: SwitchOs = Field(description="Network operating system.")
    address: Address = Field(description="Management address.")
    ports: dict[SettingName, Cable] = Field(
        description="Front-panel port → the node.interface that is plugged into it."
    )
    vlan: Whole | None = Field(
        default=None,
        ge=1,
        le=LAST_VLAN,
        description="VLAN in which these ports forward to each other, untagged; they stay where"
        " they are if not given.",
    )
    max_mtu_bytes: Whole | None = Field(
        default=None,
        ge=1280,
        le=9416,
        description="Largest MTU of a port, in bytes; what the OS takes if not given.",
    )
    user: UserName = Field(default="admin", description="User of the switch's SSH CLI.")
    host_key: HostKey | None = Field(
        default=None,
        description="Public SSH host key ('ssh-ed25519 AAAA…'); needed unless it is a twin.",
    )

    @property
    def mtu_limit_bytes(self) -> int:
        return self.max_mtu_bytes or LIMITS[self.os].max_mtu_bytes


class Gpus(Settings):
    count: Whole = Field(ge=1, le=16, description="GPUs of this node.")
    model: Name | None = Field(
        default=None,
        description="GPU model, such as rtx-4090 or h200; needed where the cuda image runs.",
    )
    power_limit_w: Whole | None = Field(
        default=None,
        ge=50,
        le=2000,
        description="Power limit of each GPU, in W, in place of nvidia.power_limit_w; without"
        " either, its board power.",
    )
    link: Name | None = Field(
        default=None, description="What joins the GPUs of the node, such as pcie4-x16 or nvlink4."
    )
    owned: Flag = Field(
        default=True, description="false: these GPUs are still to be bought, if the plan says so."
    )


class Rail(Settings):
    interface: Interface = Field(description="Interface that is on the rail.")
    address: Address = Field(description="Address on the rail, in its subnet of fabric.rails.")
    pci: PciAddress | None = Field(
        default=None, description="PCI address of its card, which then gets the interface's name."
    )
    mac: MacAddress | None = Field(
        default=None, description="Permanent MAC address of its card, instead of pci."
    )


class Node(Settings):
    address: Address = Field(description="Management address.")
    fabric_address: Address = Field(description="Address on the fabric.")
    interface: Interface = Field(default="fab0", description="Interface that is on the fabric.")
    roles: tuple[Role, ...] = Field(
        min_length=1, description="head (Ray's head, the site's services), worker (GPUs), or both."
    )
    gpus: Gpus | None = Field(default=None, description="GPUs; a worker has at least one.")
    pci: PciAddress | None = Field(
        default=None,
        description="PCI address of the fabric's card, which then gets the interface's name.",
    )
    mac: MacAddress | None = Field(
        default=None, description="Permanent MAC address of the fabric's card, instead of pci."
    )
    rails: dict[Name, Rail] = Field(
        default={}, description="Further links to the fabric, by the names of fabric.rails."
    )
    rdma_devices: tuple[RdmaDevice, ...] = Field(
        default=(),
        description="RDMA devices of the fabric, as NCCL_IB_HCA names them: mlx5_0 or mlx5_0:1;"
        " [nearest]: those nearest to the GPUs.",
    )
    circuit: Name | None = Field(default=None, description="Power circuit that feeds the node.")
    host_power_w: Whole | None = Field(
        default=None,
        ge=1,
        le=20_000,
        description="Draw at work without the GPUs, in W; estimated if not given.",
    )
    memory_gib: Number = Field(
        default=12.0,
        ge=0.5,
        le=4096,
        description="Twin only: memory that the node may use at most, in GiB.",
    )
    system: TwinSystem = Field(
        default=TwinSystem.DEBIAN_12,
        description="Twin only: the node's system; a real machine keeps the one that it has.",
    )
    host_key: HostKey | None = Field(
        default=None,
        description="Public SSH host key ('ssh-ed25519 AAAA…'); needed unless it is a twin.",
    )

    @property
    def gpu_count(self) -> int:
        return self.gpus.count if self.gpus else 0

    @property
    def links(self) -> dict[str, Rail]:
        """Every link to the fabric by its subnet's name, the first one first."""
        first = Rail(
            interface=self.interface, address=self.fabric_address, pci=self.pci, mac=self.mac
        )
        return {FABRIC: first, **self.rails}


class Images(Settings):
    vllm: Variant | None = Field(
        default=None, description="Variant of the vLLM image; cpu in a twin, else cuda."
    )
    debian_snapshot: Url | None = Field(
        default=None,
        description="Archive of Debian packages, asked for locked versions that mirrors dropped: "
        "the address of Debian's snapshot service, or of one that speaks as it does.",
    )


class Site(Settings):
    name: Name = Field(description="Name of the site; certificates and containers bear it.")
    twin: Flag = Field(
        default=False, description="true: nodes and switches are made on this machine, by lab/."
    )
    management: Management = Field(
        default=Management(), description="The network over which machines are managed."
    )
    fabric: Fabric = Field(description="The network between the nodes.")
    ssh: Ssh = Field(default=Ssh(), description="How the nodes are reached.")
    switches: dict[NodeName, Switch] = Field(
        default={}, description="Managed switches by name; a twin has one."
    )
    nodes: dict[NodeName, Node] = Field(min_length=1, description="Machines by host name.")
    power: Power = Field(default=Power(), description="Where the electricity comes from.")
    models: dict[Name, Model] = Field(min_length=1, description="Models to serve, by name.")
    planning: Planning = Field(
        default=Planning(), description="What the plan's verdict and costs go by."
    )
    images: Images = Field(default=Images(), description="Variants of the images, and sources.")
    nvidia: Nvidia | None = Field(
        default=None,
        description="NVIDIA's driver; left as it is on the nodes if not given. In a twin:"
        " stand-ins without a driver.",
    )
    registry: Registry = Field(
        default=Registry(), description="The site's container image registry."
    )
    edge: Edge = Field(default=Edge(), description="TLS and API keys in front of the models.")
    ray: Ray = Field(default=Ray(), description="Ports and limits of Ray.")
    watchdog: Watchdog | None = Field(
        default=Watchdog(),
        description="Restarts what hangs, workers before the head; null: nobody does.",
    )
    frontends: Frontends = Field(default=Frontends(), description="Web front-ends.")
    monitoring: Monitoring | None = Field(default=None, description="Metrics and alerts.")

    @property
    def controller(self) -> IPv4Address:
        """The address of this machine; in a twin the management subnet's first."""
        declared = None if self.twin else self.management.controller
        return declared or self.management.subnet[1]

    @property
    def head(self) -> str:
        """The name of the head node."""
        return next(name for name, node in self.nodes.items() if Role.HEAD in node.roles)

    @property
    def weights(self) -> dict[str, Model | EmbeddingService]:
        """All weights that the site runs, by a name for each."""
        embedding = self.frontends.embeddings
        return {**self.models, **({"frontends.embeddings": embedding} if embedding else {})}

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the nodes whose GPUs serve, in the order of the site."""
        return tuple(name for name, node in self.nodes.items() if Role.WORKER in node.roles)

    @property
    def systems(self) -> tuple[TwinSystem, ...]:
        """The systems of a twin's nodes, each once."""
        return tuple(sorted({node.system for node in self.nodes.values()}))

    @property
    def registry_node(self) -> str:
        return self.registry.node or self.head

    @property
    def edge_node(self) -> str:
        return self.edge.node or self.head

    @property
    def vllm_variant(self) -> Variant:
        return self.images.vllm or (Variant.CPU if self.twin else Variant.CUDA)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for every setting without effect, to be shown in the preview."""
        return notes(self)

    def served_name(self, model: str) -> str:
        return self.models[model].served_name or model

    def cables(self, node: str) -> dict[str, str]:
        """Return interface → switch.port of a node, as far as switches are declared."""
        return {
            interface: f"{switch}.{port}"
            for switch, port, end, interface in self.plugs()
            if end == node
        }

    def plugs(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (switch, port, node, interface) of every cable."""
        for switch, declared in self.switches.items():
            for port, end in declared.ports.items():
                node, _, interface = end.partition(".")
                yield switch, port, node, interface
