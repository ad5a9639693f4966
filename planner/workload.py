"""What a site asks of one model: architecture, engine settings, replicas and load."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from planner.architecture import Architecture, Precision, architecture
from planner.checkpoint import from_config
from planner.deployment import MOST_CLIENTS, MOST_TOKENS, Load
from planner.memory import EngineSettings
from stack.errors import InputError
from stack.model import Model, Split
from stack.schema import Site

_INPUT_TOKENS, _OUTPUT_TOKENS = 1024, 256
_MOST_CLIENTS = 1024
"""Of one replica: more only wait, and would take the plan seconds to follow."""
_REQUESTS, _SCORED_REQUESTS = 640, 192
"""Requests that one prediction follows: of a split that may be chosen, of one of many."""
_WAVES, _SCORED_WAVES = 10, 3


class LoadChange(BaseModel):
    """What somebody asks for instead of the load that the site declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int | None = Field(
        default=None, ge=1, le=MOST_CLIENTS, description="over all replicas"
    )
    input_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    output_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)


@dataclass(frozen=True)
class Known:
    """What is known of a model's checkpoint."""

    arch: Architecture
    precision: Precision


@dataclass(frozen=True)
class Workload:
    """One model of a site. `known` is None where its architecture is unknown."""

    name: str
    served_name: str
    known: Known | None
    settings: EngineSettings
    load: Load
    """On one replica."""
    replicas: int
    declared: Split | None
    """The site's split; None where the plan decides."""
    pad_heads_to: int | None
    why_unknown: str = ""
    waiting: int = 0
    """Clients of a replica that are left out of `load`, since they would only wait."""

    @property
    def scoring(self) -> Load:
        """The load with fewer requests of each client, to compare many splits by."""
        waves = max(1, min(_SCORED_WAVES, _SCORED_REQUESTS // self.load.concurrency))
        return self.load.model_copy(update={"waves": waves})


def workload(site: Site, name: str, change: LoadChange) -> Workload:
    """Return what the site asks of a model.

    Raises `InputError` where prompt and answer are longer than `max_model_len`.
    """
    model = site.models[name]
    load, waiting = _load(model, name, change)
    known, why = None, ""
    try:
        known = _known(model)
    except InputError as error:
        why = f"models.{name}.source: {error}; memory and speed are not predicted"
    return Workload(
        name=name,
        served_name=site.served_name(name),
        known=known,
        settings=EngineSettings(
            gpu_memory_utilization=model.gpu_memory_utilization,
            max_model_len=model.max_model_len,
            max_num_seqs=model.max_num_seqs,
            kv_bytes=4 if model.dtype == "float32" else 2,
        ),
        load=load,
        replicas=model.replicas.max,
        declared=model.parallelism if isinstance(model.parallelism, Split) else None,
        pad_heads_to=model.pad_heads_to,
        why_unknown=why,
        waiting=waiting,
    )


def _known(model: Model) -> Known:
    arch, precision = _checkpoint(model.source) or architecture(model.source)
    plain = {Precision.BF16, Precision.FP16, Precision.FLOAT32}
    if model.dtype == "float32" and precision in plain:
        precision = Precision.FLOAT32
    if model.pad_heads_to:
        keys = max(1, model.pad_heads_to * arch.kv_heads // arch.heads)
        arch = arch.model_copy(update={"heads": model.pad_heads_to, "kv_heads": keys})
    return Known(arch, precision)


def _checkpoint(source: str) -> tuple[Architecture, Precision] | None:
    """Return what the `config.json` of a checkpoint on this machine says, None where none is."""
    if not source.startswith("file:"):
        return None
    path = Path(source.removeprefix("file:"))
    file = path if path.name == "config.json" else path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        raise InputError(f"{file} holds no mapping, but a config.json is one: check the file")
    return from_config(config)


def _load(model: Model, name: str, change: LoadChange) -> tuple[Load, int]:
    """Return the load on one replica, and the clients that are left out of it."""
    declared = model.load
    concurrency = (
        change.concurrency
        or declared.concurrency
        or model.replicas.target_ongoing_requests * model.replicas.max
    )
    room = model.max_model_len
    answer = change.output_tokens or declared.output_tokens or min(_OUTPUT_TOKENS, room // 4)
    given = change.input_tokens or declared.input_tokens
    prompt = given or max(1, min(_INPUT_TOKENS, room - answer))
    if prompt + answer > room:
        raise InputError(
            f"a request of {prompt} + {answer} tokens is expected, but models.{name}.max_model_len"
            f" = {room}: raise that, or expect shorter requests"
        )
    clients = -(-concurrency // model.replicas.max)
    followed = min(clients, _MOST_CLIENTS)
    load = Load(
        concurrency=followed,
        input_tokens=prompt,
        output_tokens=answer,
        waves=max(1, min(_WAVES, _REQUESTS // followed)),
    )
    return load, clients - followed
