"""The speed model's constants against what was measured kernel by kernel on an H200."""

import csv
import math
from pathlib import Path
from statistics import median

from planner.catalog import DataType, gpu
from planner.constants import CONSTANTS as C

FOLDER = Path(__file__).parents[2] / "planner" / "measurements"
H200 = gpu("h200")
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


def test_grouped_gemms_read_the_experts_that_they_touch() -> None:
    ratios = []
    for row in rows("h200_experts"):
        if not 4 <= int(row["tokens"]) <= 64:
            continue
        size = 2 if row["precision"] == "bf16" else 1
        weights = int(row["experts_touched"]) * int(row["outputs"]) * int(row["inputs"])
        reading = weights * size / (BANDWIDTH * C.expert_memory)
        ratios.append((C.expert_us + reading) / float(row["us"]))
    assert 0.93 < median(ratios) < 1.07
    assert all(0.8 < ratio < 1.3 for ratio in ratios)


def test_grouped_gemms_of_a_long_prefill_compute_at_their_share_of_a_dense_one() -> None:
    ratios = []
    peaks = {"bf16": C.compute_16 * 989.4e6, "fp8": C.compute_8 * 1978.9e6}
    for row in rows("h200_experts"):
        if row["tokens"] != "8192":
            continue
        work = 2 * 8192 * int(row["active"]) * int(row["outputs"]) * int(row["inputs"])
        computing = work / (peaks[row["precision"]] * C.compute_expert)
        ratios.append(computing / float(row["us"]))
    assert 0.7 < median(ratios) < 1.3


def test_attention_of_a_long_prompt_computes_at_its_share_of_the_peak() -> None:
    for row in rows("h200_attention"):
        tokens, heads = int(row["tokens"]), int(row["heads"])
        if tokens < 4096 or row["head_dim"] != "128" or heads < 32:
            continue
        work = 4 * heads * 128 * tokens * tokens / 2
        computing = work / (989.4e6 * C.compute_attention)
        assert 0.7 < computing / float(row["us"]) < 1.3
