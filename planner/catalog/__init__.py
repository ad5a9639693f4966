"""What the planner knows of GPUs and links: data sheets and measured points, in TOML files.

Every figure's source stands beside it in the TOML file. Rates are per direction and per card.
"""

import difflib
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stack.errors import InputError

FOLDER = Path(__file__).parent
_Known = TypeVar("_Known")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataType(StrEnum):
    """A data type in which a GPU's matrix units multiply (accumulating in FP32)."""

    FLOAT32 = "float32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"


class Form(StrEnum):
    """How a GPU is built in."""

    PCIE = "pcie"
    SXM = "sxm"
    OAM = "oam"
    INTEGRATED = "integrated"


class LinkKind(StrEnum):
    """What carries the bytes: it decides which collective algorithm is used."""

    NVLINK = "nvlink"
    PCIE = "pcie"
    ETHERNET = "ethernet"
    INFINIBAND = "infiniband"
    THUNDERBOLT = "thunderbolt"
    FABRIC = "infinity-fabric"


class Gpu(_Entry):
    """One GPU as its data sheet has it."""

    name: str
    title: str
    vendor: str
    form: Form
    memory_gib: float = Field(gt=0, description="GiB that a program can use")
    memory_bandwidth_gb_s: float = Field(gt=0, description="peak, in 10^9 bytes/s")
    dense_tflops: Mapping[DataType, float] = Field(description="dense peak, in 10^12 FLOP/s")
    sustained: float = Field(
        default=1, gt=0, le=1, description="of an H100's share of its peak, in GEMMs without pause"
    )
    link: str = Field(description="the catalogue's link that joins such cards in one node")
    nvlink: str | None = Field(default=None, description="the NVLink it has, as a link's name")
    board_power_w: float = Field(gt=0)
    idle_power_w: float = Field(ge=0)
    price_usd: tuple[float, float] | None = Field(default=None, description="low and high, a card")
    price_date: str = Field(default="", description="when the price was looked up: YYYY-MM")

    def tflops(self, kind: DataType) -> float:
        """Return the dense peak for a data type; what the card lacks runs in BF16 or FP16."""
        fallback = (kind, DataType.BF16, DataType.FP16, DataType.FLOAT32)
        return next(self.dense_tflops[each] for each in fallback if each in self.dense_tflops)


class Link(_Entry):
    """A link between two ranks: alpha (latency of a message) and beta (bytes a second)."""

    name: str
    title: str
    kind: LinkKind
    bandwidth_gb_s: float = Field(gt=0, description="per direction, as reached, in 10^9 bytes/s")
    latency_us: float = Field(gt=0, description="alpha: one small message, end to end")
    rdma: bool = Field(default=False, description="past the kernel: NVLink, RoCE, InfiniBand")
    nominal_gbit_s: float = Field(gt=0, description="as it is sold, per direction")


@cache
def gpus() -> Mapping[str, Gpu]:
    """Return every GPU by its name."""
    return {name: Gpu(name=name, **entry) for name, entry in _read("gpus").items()}


@cache
def links() -> Mapping[str, Link]:
    """Return every link by its name."""
    return {name: Link(name=name, **entry) for name, entry in _read("links").items()}


def gpu(name: str) -> Gpu:
    """Return one GPU; raises `InputError` with the nearest names where it is unknown."""
    return _find(gpus(), name, "GPU")


def link(name: str) -> Link:
    """Return one link; raises `InputError` with the nearest names where it is unknown."""
    return _find(links(), name, "link")


def network(gbit_s: float, kind: LinkKind = LinkKind.ETHERNET, *, rdma: bool = False) -> Link:
    """Return the catalogue's network of a speed, or one of its kind scaled to that speed."""
    rdma = rdma or kind is LinkKind.INFINIBAND
    same = [each for each in links().values() if each.kind is kind and each.rdma is rdma]
    near = min(same, key=lambda each: abs(each.nominal_gbit_s - gbit_s) / each.nominal_gbit_s)
    if near.nominal_gbit_s == gbit_s:
        return near
    rate = near.bandwidth_gb_s * gbit_s / near.nominal_gbit_s
    name = f"{gbit_s:g} Gbit/s {kind}{' RDMA' if rdma else ''}"
    return near.model_copy(
        update={"name": name, "title": name, "nominal_gbit_s": gbit_s, "bandwidth_gb_s": rate}
    )


def _find(known: Mapping[str, _Known], name: str, what: str) -> _Known:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4)
    hint = f"write one of {', '.join(near or sorted(known))}"
    raise InputError(f"{what} {name!r} is not in the planner's catalogue: {hint}")


def _read(name: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
