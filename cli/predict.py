"""`rackform predict`: rows of serving points, predicted and scored."""

import csv
import io
import json
import sys
from pathlib import Path

from rich.table import Table

from cli.console import err, out
from planner.measured import Answer, Score, answer, parse, read_rows, scores
from remote.errors import RackformError
from stack.errors import InputError

_ADDED = ("predicted_ttft_ms", "predicted_tpot_ms")


class UnansweredError(RackformError):
    """Some rows have no prediction."""


def predict_rows(path: Path, output: Path | None, *, score: bool, as_json: bool) -> None:
    """Write the rows with their predictions, or with `score` how far off these are.

    Raises `InputError` for a file that isn't rows, `UnansweredError` after all others are written.
    """
    columns, rows = read_rows(path)
    if not rows:
        raise InputError(f"{path} has no rows: give a CSV file with the columns of docs/planner.md")
    # The header is line 1.
    answers = [answer(parse(values, line)) for line, values in enumerate(rows, start=2)]
    text = _csv(columns, rows, answers)
    if output:
        _write(output, text)
    elif not score:
        sys.stdout.write(text)
    if score:
        _tell(scores(answers), as_json=as_json)
    _complain(answers)


def _csv(columns: list[str], rows: list[dict[str, str]], answers: list[Answer]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text,
        [*(name for name in columns if name not in _ADDED), *_ADDED],
        extrasaction="ignore",
        lineterminator="\n",
    )
    writer.writeheader()
    for values, each in zip(rows, answers, strict=True):
        predicted = (each.ttft_ms, each.tpot_ms)
        added = ("" if value is None else f"{value:.4f}" for value in predicted)
        writer.writerow({**values, **dict(zip(_ADDED, added, strict=True))})
    return text.getvalue()


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error}): give another file") from error


def _tell(results: tuple[Score, ...], *, as_json: bool) -> None:
    if not results[0].rows:
        raise InputError("no row has silicon_ttft_ms and silicon_tpot_ms: a score needs both")
    if as_json:
        sys.stdout.write(json.dumps([result._asdict() for result in results]) + "\n")
        return
    table = Table("group", "rows", "TTFT error", "TPOT error", title="Mean absolute error")
    for result in results:
        table.add_row(result.group, str(result.rows), f"{result.ttft:.1%}", f"{result.tpot:.1%}")
    out.print(table)


def _complain(answers: list[Answer]) -> None:
    reasons = [each.why_not for each in answers if each.why_not]
    if not reasons:
        return
    for reason in sorted(set(reasons)):
        err.print(f"[yellow]not predicted[/] ({reasons.count(reason)} rows): {reason}")
    raise UnansweredError(f"{len(reasons)} of {len(answers)} rows have no prediction: see above")
