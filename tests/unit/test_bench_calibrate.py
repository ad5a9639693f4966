"""Fitting the planner's constants, and leaving groups out."""

from pathlib import Path

import numpy as np
import pytest

from bench.calibrate import NAMES, PRIORS, constants, fit, start
from bench.crossvalidate import groups, line, main, measured_rows
from planner.constants import Constants
from planner.measured import Row, answer

ROWS = Path(__file__).parent / "planner_rows.csv"


def pretended(row: Row, truth: Constants) -> Row:
    """Return a row as it would have been measured, were these the constants."""
    told = answer(row, truth)
    return row.model_copy(update={"silicon_ttft_ms": told.ttft_ms, "silicon_tpot_ms": told.tpot_ms})


def test_every_fitted_constant_is_one_of_the_models() -> None:
    assert set(NAMES) <= set(Constants.model_fields)
    assert all(prior.value > 0 and prior.spread > 0 for prior in PRIORS.values())


def test_a_constant_that_was_only_guessed_is_found_from_rows() -> None:
    guesses = constants(np.zeros(len(NAMES)))
    truth = guesses.model_copy(update={"request_ms": 40.0})
    short = [
        Row(model_path="qwen3-32b", system="h200", isl=isl, osl=8, batch_size=clients, tp_size=2)
        for isl in (128, 256, 512, 1024)
        for clients in (1, 2, 4)
    ]
    found = fit(start([pretended(row, truth) for row in short]))
    assert guesses.request_ms == 20
    assert found.request_ms == pytest.approx(40, rel=0.15)
    assert found.memory == pytest.approx(guesses.memory, rel=0.05)


def test_a_group_that_is_left_out_takes_no_part() -> None:
    rows = measured_rows(ROWS)
    begin = start(rows[:4])
    kept = begin.without([rows[1]])
    assert kept.rows == (rows[0], *rows[2:4])
    assert kept.errors.shape == (6,)
    assert kept.slopes.shape == (len(NAMES), 6)
    assert kept.errors.tolist() == [*begin.errors[:2], *begin.errors[4:]]


def test_groups_are_all_rows_once() -> None:
    rows = measured_rows(ROWS)
    found = list(groups(rows, "model_path"))
    assert len(found) == 3
    assert sum(len(own) for _, own in found) == len(rows)
    assert "| 12 |" in line("all", [answer(row) for row in rows])


def test_the_command_tells_its_usage_and_what_is_no_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert main(["absent.csv"]) == 2
    assert "cannot be read as CSV" in capsys.readouterr().err
