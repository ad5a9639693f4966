"""Fit the constants of the speed model to measured rows.

A constant is held near what it was measured at, kernel by kernel, or near a round guess, as far as
its spread allows; rows pull it away. Errors are logarithms, so that half and twice weigh the same,
and a row that no constant can explain weighs less the further it is off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from planner.constants import Constants
from planner.measured import Row, answer

Vector = npt.NDArray[np.float64]

_ROW_SPREAD = 0.1
"""What the model leaves of a good row, as a logarithm."""
_STEP = 0.02
_MOST_ROUNDS = 30
_MOST_DAMPING = 1e3
_ENOUGH = 1e-4


class Prior(NamedTuple):
    """What is known of a constant without any row."""

    value: float
    spread: float
    """Standard deviation of its logarithm."""


def measured(value: float) -> Prior:
    """Return the prior of a constant that was measured kernel by kernel."""
    return Prior(value, 0.05)


def guessed(value: float) -> Prior:
    """Return the prior of a constant that is only guessed."""
    return Prior(value, 0.4)


PRIORS: Mapping[str, Prior] = {
    "memory": measured(0.89),
    "expert_memory": measured(0.93),
    "gemm_us": measured(5.8),
    "expert_us": measured(7.0),
    "compute_16": measured(0.66),
    "compute_8": measured(0.575),
    "compute_expert": measured(0.9),
    "compute_unpacked": measured(0.32),
    "short_sum": measured(340.0),
    "unpack_flop": measured(200.0),
    "kv_memory": guessed(0.8),
    "compute_attention": guessed(0.5),
    "routing_spread": guessed(0.5),
    "kernel_us": guessed(2.0),
    "allreduce_us": guessed(6.0),
    "allreduce_rank_us": guessed(1.0),
    "link": Prior(0.85, 0.1),
    "between_ms": guessed(0.4),
    "step_ms": guessed(0.5),
    "sequence_us": guessed(20.0),
    "request_ms": guessed(20.0),
    "prompt_us": guessed(1.5),
}
NAMES = tuple(PRIORS)
_STIFFNESS: Vector = np.array([prior.spread for prior in PRIORS.values()]) ** -2.0


@dataclass(frozen=True)
class Start:
    """Rows at the priors: their errors, and how these change with each constant."""

    rows: tuple[Row, ...]
    errors: Vector
    slopes: Vector

    def without(self, left: Sequence[Row]) -> "Start":
        """Return it without some rows."""
        kept = [number for number, row in enumerate(self.rows) if row not in left]
        both = [column for number in kept for column in (2 * number, 2 * number + 1)]
        rows = tuple(self.rows[number] for number in kept)
        return Start(rows, self.errors[both], self.slopes[:, both])


def start(rows: Sequence[Row]) -> Start:
    """Return the rows at the priors."""
    at: Vector = np.zeros(len(NAMES))
    errors = _errors(at, rows)
    moves = np.eye(len(NAMES)) * _STEP
    return Start(tuple(rows), errors, np.stack([_errors(m, rows) - errors for m in moves]) / _STEP)


def fit(begin: Start) -> Constants:
    """Return the constants that explain the rows best.

    Levenberg's and Marquardt's steps; the slopes are corrected by what each step shows (Broyden).
    """
    at: Vector = np.zeros(len(NAMES))
    errors, slopes, damping = begin.errors, begin.slopes.copy(), 0.01
    for _ in range(_MOST_ROUNDS):
        move = _move(slopes, errors, at, damping)
        there = _errors(at + move, begin.rows)
        slopes += np.outer(move, there - errors - move @ slopes) / (move @ move)
        gained = _cost(errors, at) - _cost(there, at + move)
        if gained > 0:
            at, errors, damping = at + move, there, damping / 5
            if gained < _ENOUGH * _cost(errors, at):
                break
        elif (damping := damping * 5) > _MOST_DAMPING:
            break
    return constants(at)


def constants(at: Vector) -> Constants:
    """Return the constants at a point: logarithms of what the priors are multiplied by."""
    values = zip(PRIORS.items(), at, strict=True)
    return Constants(**{name: prior.value * float(np.exp(x)) for (name, prior), x in values})


def _errors(at: Vector, rows: Sequence[Row]) -> Vector:
    """Return the logarithms of predicted by measured times, two a row, in spreads of a row."""
    found: list[float] = []
    for row in rows:
        told = answer(row, constants(at))
        pairs = ((told.ttft_ms, row.silicon_ttft_ms), (told.tpot_ms, row.silicon_tpot_ms))
        found += [np.log(mine / theirs) if mine and theirs else 0.0 for mine, theirs in pairs]
    return np.array(found) / _ROW_SPREAD


def _cost(errors: Vector, at: Vector) -> float:
    """Cauchy's: an error of many spreads hardly pulls."""
    return float(np.sum(np.log1p(errors**2)) + np.sum(_STIFFNESS * at**2))


def _move(slopes: Vector, errors: Vector, at: Vector, damping: float) -> Vector:
    weights = 1 / (1 + errors**2)
    curve = (slopes * weights) @ slopes.T + np.diag(_STIFFNESS)
    pull = slopes @ (weights * errors) + _STIFFNESS * at
    damped = curve + damping * np.diag(np.diag(curve))
    return np.asarray(-np.linalg.solve(damped, pull), dtype=np.float64)
