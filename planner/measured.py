"""Rows of measured serving points: read, predicted, scored.

The columns are those of AIConfigurator's `silicon_sample.csv`. A row tells model, GPU, split,
lengths and concurrency, not how the load was made, and that decides the time to first token. It
follows from where such rows come from (`docs/planner.md`): InferenceMAX's runs state their
precision and have one of three pairs of lengths; the others are AIPerf's on vLLM's defaults.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planner.architecture import Architecture, Precision, architecture
from planner.catalog import Gpu, gpu, link
from planner.constants import CONSTANTS, Constants
from planner.deployment import MOST_CLIENTS, MOST_TOKENS, Deployment, Load
from planner.memory import EngineSettings, Layout
from planner.predict import simulate, tpot_ms, ttft_ms
from stack.errors import InputError

_INFERENCEMAX = {(1024, 1024), (1024, 8192), (8192, 1024)}
"""Input and output lengths of InferenceMAX's runs."""
_PRECISIONS = {
    "fp8": Precision.FP8,
    "fp8_block": Precision.FP8,
    "fp4": Precision.NVFP4,
    "nvfp4": Precision.NVFP4,
    "mxfp4": Precision.MXFP4,
    "w4a16_mxfp4": Precision.MXFP4,
    "int4": Precision.INT4,
    "int4_wo": Precision.INT4,
    "int8": Precision.INT8,
    "int8_wo": Precision.INT8,
    "bf16": Precision.BF16,
    "bfloat16": Precision.BF16,
    "float16": Precision.BF16,
    "fp16": Precision.FP16,
}
_SYSTEMS = {"a100_sxm": "a100-80", "h100_sxm": "h100-sxm", "h200_sxm": "h200", "b200_sxm": "b200"}
_MOST_RANKS = 4096
_UNLIMITED = 512
_UNTOLD_SEQUENCES = 16
"""The middle of InferenceMAX's concurrencies, 4 to 64, for rows that don't tell theirs."""
_TEMPLATE_TOKENS = 8
"""What a chat template adds to a prompt of AIPerf's, which is a user's one message."""
_ASYNC_FROM = (0, 14)
"""vLLM schedules ahead by default from this version on."""


class Row(BaseModel):
    """One measured point."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_path: str
    system: str
    isl: int = Field(gt=0, le=MOST_TOKENS)
    osl: int = Field(gt=0, le=MOST_TOKENS)
    batch_size: int = Field(gt=0, le=MOST_CLIENTS)
    tp_size: int = Field(gt=0, le=_MOST_RANKS)
    pp_size: int = Field(default=1, gt=0, le=_MOST_RANKS)
    moe_tp_size: int | None = Field(default=None, gt=0, le=_MOST_RANKS)
    moe_ep_size: int | None = Field(default=None, gt=0, le=_MOST_RANKS)
    attention_dp_size: int = Field(default=1, gt=0, le=_MOST_RANKS)
    precision: str | None = None
    gemm_quant_mode: str | None = None
    moe_quant_mode: str | None = None
    backend_version: str | None = None
    silicon_ttft_ms: float | None = None
    silicon_tpot_ms: float | None = None

    @property
    def split(self) -> str:
        """How it is cut, in short."""
        parts = [f"tp{self.tp_size}"]
        parts += [f"pp{self.pp_size}"] if self.pp_size > 1 else []
        parts += [f"ep{self.moe_ep_size}"] if (self.moe_ep_size or 1) > 1 else []
        parts += [f"dp{self.attention_dp_size}"] if self.attention_dp_size > 1 else []
        return "x".join(parts)

    @property
    def expert_ranks(self) -> int:
        """Expert-parallel ranks: as told, else what the experts' tensor ranks leave."""
        ranks = self.tp_size * self.attention_dp_size
        return self.moe_ep_size or max(1, ranks // (self.moe_tp_size or ranks))

    @property
    def is_inferencemax(self) -> bool:
        return bool(self.precision) and (self.isl, self.osl) in _INFERENCEMAX

    @property
    def is_unlimited(self) -> bool:
        """Whether all requests were sent at once, to an engine whose sequences aren't told.

        So it is with the rows of 512: their time to first token is that of ten waves in a queue.
        """
        return self.is_inferencemax and self.batch_size == _UNLIMITED

    @property
    def is_generated(self) -> bool:
        """Whether AIConfigurator wrote the engine's settings and AIPerf asked it."""
        return not self.is_inferencemax and not self.schedules_ahead

    @property
    def schedules_ahead(self) -> bool:
        version = (self.backend_version or "").split(".")
        numbers = tuple(int(part) for part in version[:2] if part.isdigit())
        return self.is_inferencemax or not numbers or numbers >= _ASYNC_FROM


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a CSV file; raises `InputError` where it has none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}): give a file of rows") from error


def parse(values: Mapping[str, str | None], line: int) -> Row:
    """Return a row's values; raises `InputError` naming the line, the column and the rule."""
    given = {
        name: value.strip()
        for name, value in values.items()
        if isinstance(value, str) and value.strip() not in ("", "None", "nan")
    }
    try:
        return Row.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"line {line}: column {column} = {values.get(column)!r}, but {first['msg'].lower()}:"
            " give rows with the columns of docs/planner.md"
        ) from error


def deployment_of(row: Row) -> Deployment:
    """Return what a row was measured on; raises `InputError` for models or GPUs not known."""
    arch, named = architecture(row.model_path)
    precision = _precision(row, arch, named)
    card = _gpu(row.system)
    settings = _settings(row, arch, precision)
    node = link(card.nvlink or card.link)
    return Deployment(
        arch=arch,
        precision=precision,
        layout=Layout(
            tensor=row.tp_size,
            layers_by_stage=_even(arch.layers, row.pp_size),
            expert=row.expert_ranks if arch.experts else 1,
            attention_data=row.attention_dp_size,
        ),
        gpu_by_stage=(card,) * row.pp_size,
        tp_link=node,
        pp_link=node,
        settings=settings,
    )


def load_of(row: Row) -> Load:
    """Return the load under which a row was measured."""
    spread = 0.2 if row.is_inferencemax else 0.0
    if row.is_unlimited:
        return Load(
            concurrency=10 * _UNTOLD_SEQUENCES,
            input_tokens=row.isl,
            output_tokens=row.osl,
            spread=spread,
            waves=1,
        )
    template = _TEMPLATE_TOKENS if row.is_generated else 0
    return Load(
        concurrency=row.batch_size,
        input_tokens=row.isl + template,
        output_tokens=row.osl,
        spread=spread,
    )


def _settings(row: Row, arch: Architecture, precision: Precision) -> EngineSettings:
    length = row.isl + row.osl + 256
    sequences = _UNTOLD_SEQUENCES if row.is_unlimited else row.batch_size
    if not row.is_generated:
        # NVIDIA's FP8 checkpoint of this model asks for an FP8 cache, which vLLM obeys.
        eight = arch.name == "llama-3.1-70b" and precision is Precision.FP8
        return EngineSettings(
            max_model_len=length, max_num_seqs=sequences, kv_bytes=1 if eight else 2
        )
    return EngineSettings(
        max_model_len=length,
        max_num_seqs=max(256, row.batch_size),
        max_num_batched_tokens=row.isl + row.batch_size,
        gpu_memory_utilization=0.85,
        async_scheduling=False,
    )


def _precision(row: Row, arch: Architecture, named: Precision) -> Precision:
    told = row.precision or row.moe_quant_mode or row.gemm_quant_mode
    if not told:
        return named
    found = _PRECISIONS.get(told.lower())
    if found is None:
        raise InputError(
            f"precision {told!r} is not known: write one of {', '.join(sorted(_PRECISIONS))}"
        )
    # A checkpoint that is 4-bit from the start stays what it is, whatever the row calls it.
    return arch.checkpoint if found is Precision.NVFP4 and arch.checkpoint in _FOUR_BIT else found


_FOUR_BIT = frozenset({Precision.MXFP4, Precision.INT4})


def _gpu(system: str) -> Gpu:
    return gpu(_SYSTEMS.get(system, system.replace("_", "-")))


def _even(layers: int, stages: int) -> tuple[int, ...]:
    """As vLLM cuts by itself: what is left over goes to the middle stages, never to the last."""
    base, more = divmod(layers, stages)
    return tuple(
        base + (1 if stages - 1 - more <= index < stages - 1 else 0) for index in range(stages)
    )


class Answer(NamedTuple):
    """A row's prediction: None with the reason where there is none."""

    row: Row
    ttft_ms: float | None
    tpot_ms: float | None
    why_not: str = ""


def answer(row: Row, constants: Constants = CONSTANTS) -> Answer:
    """Predict one row."""
    try:
        outcome = simulate(deployment_of(row), load_of(row), constants)
    except InputError as error:
        return Answer(row, None, None, str(error))
    return Answer(row, ttft_ms(outcome, constants), tpot_ms(outcome))


class Score(NamedTuple):
    """Mean absolute errors of a group of rows, as shares of what was measured."""

    group: str
    rows: int
    ttft: float
    tpot: float


def scores(answers: Sequence[Answer]) -> tuple[Score, ...]:
    """Return the errors overall and by model, GPU and split, of rows that have measured values."""
    counted = [
        each
        for each in answers
        if each.ttft_ms and each.row.silicon_ttft_ms and each.row.silicon_tpot_ms
    ]
    groups: dict[str, list[Answer]] = {"all": counted}
    for key in ("model_path", "system", "split"):
        for name in sorted({getattr(each.row, key) for each in counted}):
            groups[name] = [each for each in counted if getattr(each.row, key) == name]
    return tuple(
        Score(
            name,
            len(group),
            mean_error((each.ttft_ms, each.row.silicon_ttft_ms) for each in group),
            mean_error((each.tpot_ms, each.row.silicon_tpot_ms) for each in group),
        )
        for name, group in groups.items()
    )


def mean_error(pairs: Iterable[tuple[float | None, float | None]]) -> float:
    """Return the mean absolute error of (predicted, measured) pairs, as a share of the measured."""
    errors = [abs(mine - theirs) / theirs for mine, theirs in pairs if mine and theirs]
    return sum(errors) / len(errors) if errors else 0.0
