"""What was measured of a site, and what it is measured against."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from stack.schema import FABRIC


class _Measured(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tool(StrEnum):
    IPERF3 = "iperf3"
    IB_WRITE_BW = "ib_write_bw"


class LinkResult(_Measured):
    """One direction of one link."""

    sender: str
    receiver: str
    network: str = FABRIC
    tool: Tool
    gbit_s: float
    retransmits: int = 0

    @property
    def over(self) -> str:
        """The rail, in words that follow the receiver; empty on the first link."""
        return "" if self.network == FABRIC else f" over {self.network}"


class Collective(StrEnum):
    ALL_REDUCE = "all_reduce"
    SEND_RECV = "send_recv"


class Point(_Measured):
    """One message size of one collective; bandwidths as nccl-tests counts them."""

    collective: Collective
    size_bytes: int
    time_us: float
    busbw_gb_s: float


class NcclResult(_Measured):
    """One run: inside a node, or across nodes."""

    nodes: tuple[str, ...]
    ranks: int
    nccl: str = ""
    points: tuple[Point, ...]

    @property
    def best_gb_s(self) -> float:
        """The all-reduce's bandwidth at the size where it is largest."""
        reduces = [p.busbw_gb_s for p in self.points if p.collective is Collective.ALL_REDUCE]
        return max(reduces, default=0.0)


class Sample(_Measured):
    """What nvidia-smi tells of one GPU at one moment."""

    gpu: int
    temperature_c: int | None = None
    power_w: float | None = None
    limit_w: float | None = None
    clock_mhz: int | None = None
    reasons: tuple[str, ...] = Field(default=(), description="what holds its clock down")


class GpuWork(_Measured):
    """What the soak program says of one GPU when it ends."""

    gpu: int
    seconds: float
    tflop_s: float
    lowest_tflop_s: float = Field(description="of its slowest second")
    errors: int = Field(description="results that were not those of the first round")


class SoakResult(_Measured):
    """One GPU under full load, alone or together with all others of the site."""

    node: str
    gpu: int
    together: bool
    work: GpuWork | None = Field(default=None, description="None: stopped before its end")
    samples: int
    hottest_c: int | None = None
    most_w: float | None = None
    mean_w: float | None = None
    clock_mhz: int | None = Field(default=None, description="median")
    reasons: tuple[str, ...] = ()


class CircuitLoad(_Measured):
    """The most that a circuit carried in the soak: GPUs as measured, hosts as the plan has them."""

    circuit: str
    nodes: tuple[str, ...]
    most_w: float
    limit_w: float
    stopped: bool = Field(default=False, description="the soak was ended because of it")


class Baseline(_Measured):
    """Everything that was measured at a time: what later measurements are compared with."""

    site: str
    measured_at: str
    gbit_s: float = Field(description="what a link is declared to carry")
    rdma: bool
    links: tuple[LinkResult, ...] = ()
    nccl: tuple[NcclResult, ...] = ()
    soak: tuple[SoakResult, ...] = ()
    circuits: tuple[CircuitLoad, ...] = ()
    gpu_temperature_c: int = Field(default=85, description="what a GPU is to stay below")
    skipped: tuple[str, ...] = Field(default=(), description="what was not measured, and why")


class Verdict(_Measured):
    """Fit for service or not; the reasons, the one to mend first at the top."""

    fit: bool
    reasons: tuple[str, ...]
