"""What one look of `./rackform top` found; `--json` prints it as it is."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class _Seen(BaseModel):
    """Numbers are None where Prometheus has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelLine(_Seen):
    model: str
    real_tokens: bool | None
    running: float | None
    waiting: float | None
    tokens_per_s: float | None
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    per_token_p50_s: float | None
    per_token_p95_s: float | None
    kv_cache: float | None
    stages: float | None


class GpuLine(_Seen):
    node: str
    gpu: str
    busy: float | None
    memory: float | None
    temperature_c: float | None
    power_w: float | None
    sm_clock_hz: float | None
    lowered_by_heat: bool | None
    lowered_by_hardware: bool | None
    xid: float | None


class NodeLine(_Seen):
    node: str
    up: bool | None
    ray: bool | None
    cpu: float | None
    memory: float | None
    disk: float | None
    received_bit_s: float | None
    sent_bit_s: float | None
    """Of the fabric's interface."""


class LinkLine(_Seen):
    node: str
    peer: str
    network: str
    latency_p50_s: float | None
    latency_p99_s: float | None
    loss: float | None
    large_loss: float | None


class CircuitLine(_Seen):
    circuit: str
    power_w: float | None
    limit_w: float | None
    share: float | None


class AlertLine(_Seen):
    alert: str
    severity: str
    summary: str
    since: datetime


class Top(_Seen):
    """One look."""

    site: str
    at: datetime
    models: list[ModelLine]
    nodes: list[NodeLine]
    gpus: list[GpuLine]
    links: list[LinkLine]
    circuits: list[CircuitLine]
    alerts: list[AlertLine]
