"""What is found of a machine: values as it tells them, None or empty where it tells nothing."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gpu(_Found):
    index: int
    name: str
    bus_id: str = Field(description="0000:17:00.0")
    architecture: str = ""
    memory_mib: int = 0
    pcie_gen: int | None = None
    pcie_gen_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_max_w: float | None = None
    persistence: bool | None = None
    throttled: tuple[str, ...] = Field(default=(), description="reasons that hold now")
    slowed_us: int = Field(default=0, description="time slowed down by heat or a power brake")
    uncorrected: int = Field(default=0, description="ECC errors that were not corrected")
    memory_faults: tuple[str, ...] = Field(default=(), description="rows or pages to be retired")


class Nic(_Found):
    """A network interface with a device behind it."""

    name: str
    mac: str
    mtu_bytes: int
    up: bool
    speed_mbit_s: int | None = None
    pci: str | None = None
    driver: str | None = None
    numa: int | None = None
    addresses: tuple[str, ...] = Field(default=(), description="IPv4, with prefix")
    rdma: str | None = Field(default=None, description="the RDMA device: mlx5_0")
    neighbour: str | None = Field(default=None, description="by LLDP: switch and port")
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    infiniband: bool = False
    set_up_by: tuple[str, ...] = Field(
        default=(), description="files, or NetworkManager, that give it its addresses"
    )


class Disk(_Found):
    name: str
    size_bytes: int
    rotating: bool
    model: str = ""


class Topology(_Found):
    """`nvidia-smi topo -m`: how GPUs and NICs are joined, by their names there."""

    gpus: tuple[str, ...] = ()
    nics: dict[str, str] = Field(default={}, description="NIC0 → mlx5_0")
    links: dict[str, dict[str, str]] = Field(default={}, description="GPU0 → NIC0 → PIX")


class Docker(_Found):
    """Docker Engine that runs on a machine."""

    version: str
    containers: int = 0
    snap: bool = False


class Machine(_Found):
    address: str
    hostname: str
    machine_id: str = ""
    os_id: str = ""
    os_version: str = ""
    os_name: str = ""
    kernel: str = ""
    architecture: str = ""
    cpu: str = ""
    cpus: int = 0
    sockets: int = 1
    numa_nodes: int = 1
    memory_gib: float = 0.0
    root_writable: bool = True
    user: str = Field(default="", description="who was logged in to ask")
    may_sudo: bool = True
    sudo_said: str = Field(default="", description="why sudo refused")
    clock_off_s: float = 0.0
    secure_boot: bool | None = None
    driver: str | None = None
    cuda: str | None = None
    open_modules: bool | None = None
    nouveau: bool = False
    run_file_driver: bool = False
    held: tuple[str, ...] = ()
    packages: dict[str, str] = {}
    gpus: tuple[Gpu, ...] = ()
    pci_gpus: tuple[Gpu, ...] = Field(default=(), description="NVIDIA's cards on the PCI bus")
    other_gpus: tuple[str, ...] = Field(default=(), description="graphics cards of others")
    topology: Topology = Topology()
    nics: tuple[Nic, ...] = ()
    disks: tuple[Disk, ...] = ()
    acs_on: int = Field(default=0, description="PCIe bridges with access control that redirects")
    power_supplies: tuple[str, ...] = ()
    default_route: str | None = None
    docker: Docker | None = None
    ufw: bool = Field(default=False, description="Ubuntu's firewall is on")

    @property
    def management(self) -> Nic | None:
        """The interface over which the machine was reached."""
        return next(
            (nic for nic in self.nics if self.address in {a.split("/")[0] for a in nic.addresses}),
            None,
        )


class Severity(StrEnum):
    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


class Finding(_Found):
    """One thing to know of a machine: value, rule and remedy in a sentence."""

    severity: Severity
    machine: str
    text: str
