"""How far predictions are off for models, GPUs and splits of which no row was fitted.

From the top of the checkout:

    eval "$(./rackform env)" && python -m bench.crossvalidate ROWS.csv [model system split]

For each group in turn the constants are fitted anew without its rows, which are then predicted.
Takes minutes for each group. Prints a Markdown table; progress and constants go to standard error.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.calibrate import PRIORS, fit, start
from planner.constants import CONSTANTS, Constants
from planner.measured import Answer, Row, answer, mean_error, parse, read_rows
from stack.errors import InputError

_KEYS = {"model": "model_path", "system": "system", "split": "split"}
_ALL = "all"


def main(arguments: Sequence[str]) -> int:
    if not arguments or not set(arguments[1:]) <= {*_KEYS, _ALL}:
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        rows = measured_rows(Path(arguments[0]))
    except InputError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    _tell(f"{len(rows)} rows at the priors")
    begin = start(rows)
    if _ALL in arguments[1:]:
        _show(fit(begin))
    sys.stdout.write("| left out | rows | TTFT, fitted | TPOT, fitted | TTFT, left out |")
    sys.stdout.write(" TPOT, left out |\n|---|---|---|---|---|---|\n")
    for key in [key for key in arguments[1:] if key != _ALL] or ["model"]:
        found: list[Answer] = []
        for name, left in groups(rows, _KEYS[key]):
            _tell(f"without {name}")
            constants = fit(begin.without(left))
            _show(constants)
            found += (answers := [answer(row, constants) for row in left])
            sys.stdout.write(line(name, answers))
            sys.stdout.flush()
        sys.stdout.write(line(f"each {key} in turn", found))
        ttft, tpot = factors(found)
        _tell(f"nine of ten lie within a factor of {ttft:.2f} (TTFT) and {tpot:.2f} (TPOT)")
    return 0


def measured_rows(path: Path) -> list[Row]:
    """Return the rows that have measured times; raises `InputError` where a row is none."""
    _, values = read_rows(path)
    rows = [parse(each, number) for number, each in enumerate(values, start=2)]
    return [row for row in rows if row.silicon_ttft_ms and row.silicon_tpot_ms]


def groups(rows: Sequence[Row], key: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield each group's name and its rows."""
    for name in sorted({getattr(row, key) for row in rows}):
        yield name, [row for row in rows if getattr(row, key) == name]


def line(name: str, left_out: Sequence[Answer]) -> str:
    """Return a row of the table; as fitted, the rows took part in the planner's constants."""
    fitted = [answer(each.row, CONSTANTS) for each in left_out]
    errors = [
        mean_error(
            (getattr(each, f"{what}_ms"), getattr(each.row, f"silicon_{what}_ms"))
            for each in answers
        )
        for answers in (fitted, left_out)
        for what in ("ttft", "tpot")
    ]
    told = " | ".join(f"{each:.1%}" for each in errors)
    return f"| {name} | {len(left_out)} | {told} |\n"


def factors(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return the factors within which nine of ten predictions lie, of TTFT and of TPOT."""
    ratios = [
        sorted(
            max(mine / theirs, theirs / mine)
            for mine, theirs in (
                (getattr(each, f"{what}_ms"), getattr(each.row, f"silicon_{what}_ms"))
                for each in answers
            )
            if mine and theirs
        )
        for what in ("ttft", "tpot")
    ]
    ttft, tpot = (each[int(0.9 * (len(each) - 1))] for each in ratios)
    return ttft, tpot


def _show(constants: Constants) -> None:
    values = ((name, getattr(constants, name), prior.value) for name, prior in PRIORS.items())
    _tell(", ".join(f"{name} {value:.4g} (from {before:g})" for name, value, before in values))


def _tell(what: str) -> None:
    sys.stderr.write(f"bench: {what}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
