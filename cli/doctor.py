"""`./rackform doctor`: what such clusters really suffer from, examined side by side."""

import time
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from cli.doctor_facts import gather
from doctor.checks import examine, examined
from doctor.model import Check, Result, Status
from stack.errors import InputError
from stack.load import load_site, read_stack

_COLOURS = {Status.OK: "green", Status.WRONG: "red", Status.SKIPPED: "dim"}


class Report(BaseModel):
    """What was found, for programs."""

    model_config = ConfigDict(frozen=True)

    stack: str
    ok: bool
    seconds: float
    results: tuple[Result, ...]


def doctor(stack: str, names: Sequence[str]) -> Report:
    """Examine a stack by the named checks; by all, if none is named.

    Raises:
        InputError: there is no such check or stack, or the site is wrong.
        RackformError: no machine of the stack has been made yet.

    """
    asked = _checks(names)
    site = load_site(read_stack(stack))
    begin = time.monotonic()
    results = examine(site, gather(stack, site, examined(asked)), asked)
    return Report(
        stack=stack,
        ok=all(each.status is not Status.WRONG for each in results),
        seconds=round(time.monotonic() - begin, 1),
        results=tuple(results),
    )


def _checks(names: Sequence[str]) -> list[Check]:
    known = [check.value for check in Check]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"'{name}' is no check: {meant}there are {', '.join(known)}")
    return [Check(name) for name in names]


def told(report: Report) -> RenderableType:
    """Return the report as people read it."""
    rows = Table("", "check", "where", "measured", box=None, padding=(0, 2, 0, 0))
    former: Check | None = None
    for each in report.results:
        rows.add_row(
            f"[{_COLOURS[each.status]}]{each.status}[/]",
            "" if each.check is former else each.check.value,
            escape(each.where),
            _measured(each),
        )
        former = each.check
    return Group(rows, _summary(report))


def _measured(result: Result) -> str:
    measured, expected = escape(result.measured), escape(result.expected)
    if result.status is not Status.WRONG:
        return measured + (f" [dim](expected: {expected})[/]" if expected else "")
    remedy = escape(result.remedy)
    return f"[red]{measured}[/]\n[bold]expected:[/] {expected}\n[bold]to do:[/] {remedy}"


def _summary(report: Report) -> str:
    counts = Counter(each.status for each in report.results)
    wrong = dict.fromkeys(e.check.value for e in report.results if e.status is Status.WRONG)
    head = f"wrong: {', '.join(wrong)}" if wrong else "all right"
    rest = f"{counts[Status.OK]} ok, {counts[Status.WRONG]} wrong"
    return (
        f"stack {report.stack}: {head} ({rest}, {counts[Status.SKIPPED]} not checked; "
        f"{report.seconds:.1f} s)"
    )
