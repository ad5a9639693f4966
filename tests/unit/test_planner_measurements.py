"""The speed model's constants against what was measured kernel by kernel."""

import csv
import math
from pathlib import Path
from statistics import median

from planner.architecture import Precision
from planner.catalog import DataType, Gpu, gpu
from planner.constants import CONSTANTS as C

FOLDER = Path(__file__).parents[2] / "planner" / "measurements"
H100, H200 = gpu("h100-sxm"), gpu("h200")
BANDWIDTH = H200.memory_bandwidth_gb_s * 1e3  # bytes a microsecond


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_16_bit_gemms_take_their_fixed_time_and_the_slower_of_reading_and_computing() -> None:
    ratios = []
    for row in rows("h200_gemm"):
        tokens, outputs, inputs = (int(row[key]) for key in ("tokens", "outputs", "inputs"))
        if row["precision"] != "bf16" or tokens > 256:
            continue  # longer ones are held back by the power limit only when sustained
        reading = outputs * inputs * 2 / (BANDWIDTH * C.memory)
        computing = 2 * tokens * outputs * inputs / (H200.tflops(DataType.BF16) * 1e6 * 0.8)
        ratios.append((C.gemm_us + max(reading, computing)) / float(row["us"]))
    assert len(ratios) > 100
    assert 0.9 < median(ratios) < 1.1
    assert all(0.6 < ratio < 1.6 for ratio in ratios)


def test_sustained_gemms_are_those_of_a_capped_chip() -> None:
    assert math.isclose(C.compute_16, 651 / 989.4, rel_tol=0.05)
    assert math.isclose(C.compute_8, 1137 / 1978.9, rel_tol=0.05)


def grouped(row: dict[str, str], bytes_per_weight: float, card: Gpu, flop_s: float) -> float:
    """Return predicted by measured time of a GEMM over experts, as `planner.roofline` has it."""
    outputs, inputs, touched = (int(row[key]) for key in ("outputs", "inputs", "experts_touched"))
    rows = int(row["tokens"]) * int(row["active"])
    tiled = rows + min(rows, touched * 64) / 2
    reading = touched * outputs * inputs * bytes_per_weight
    reading /= card.memory_bandwidth_gb_s * 1e3 * C.expert_memory
    if bytes_per_weight < 1:
        unpacking = C.unpack_flop / (card.tflops(DataType.BF16) * 1e6)
        reading = max(reading, touched * outputs * inputs * unpacking)
    computing = 2 * tiled * outputs * inputs * (1 + C.short_sum / inputs) / (flop_s * 1e-6)
    return (C.expert_us + math.hypot(reading, computing)) / float(row["us"])


def test_grouped_gemms_read_the_experts_that_they_touch_and_compute_in_tiles() -> None:
    rates = {"bf16": C.compute_16 * 989.4e12, "fp8": C.compute_8 * 1978.9e12}
    ratios: dict[str, list[float]] = {"few": [], "many": []}
    for row in rows("h200_experts"):
        size = 2 if row["precision"] == "bf16" else 1
        few = int(row["tokens"]) <= 64
        rate = rates[row["precision"]] * C.compute_expert
        ratios["few" if few else "many"].append(grouped(row, size, H200, rate))
    assert 0.95 < median(ratios["few"]) < 1.05
    assert 0.9 < median(ratios["many"]) < 1.1
    assert all(0.7 < ratio < 1.35 for ratio in ratios["many"])


def test_experts_of_4_bits_are_unpacked_and_computed_at_their_own_pace() -> None:
    ratios = []
    for row in rows("h100_experts_4bit"):
        size = Precision(row["precision"]).bytes_per_weight
        ratios.append(grouped(row, size, H100, C.compute_unpacked * 989.4e12))
    assert 0.95 < median(ratios) < 1.08
    assert sum(abs(ratio - 1) for ratio in ratios) / len(ratios) < 0.1
    assert all(0.65 < ratio < 1.35 for ratio in ratios)


def test_attention_of_a_long_prompt_computes_at_its_share_of_the_peak() -> None:
    for row in rows("h200_attention"):
        tokens, heads = int(row["tokens"]), int(row["heads"])
        if tokens < 4096 or row["head_dim"] != "128" or heads < 32:
            continue
        work = 4 * heads * 128 * tokens * tokens / 2
        computing = work / (989.4e6 * C.compute_attention)
        assert 0.7 < computing / float(row["us"]) < 1.3
