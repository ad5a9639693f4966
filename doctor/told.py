"""How checks word what they found."""

from collections.abc import Iterator

from discover.model import Finding, Severity
from doctor.model import Check, Result, Status


def right(check: Check, where: str, measured: str, expected: str = "") -> Result:
    return Result(check=check, where=where, status=Status.OK, measured=measured, expected=expected)


def wrong(check: Check, where: str, measured: str, expected: str, remedy: str) -> Result:
    return Result(
        check=check,
        where=where,
        status=Status.WRONG,
        measured=measured,
        expected=expected,
        remedy=remedy,
    )


def skipped(check: Check, where: str, why: str) -> Result:
    return Result(check=check, where=where, status=Status.SKIPPED, measured=why)


def found(check: Check, where: str, expected: str, findings: Iterator[Finding]) -> Iterator[Result]:
    """Yield what `discover` finds of a machine: its sentences are 'measured: remedy'."""
    for finding in findings:
        if finding.severity is not Severity.NOTE:
            measured, _, remedy = finding.text.partition(": ")
            yield wrong(check, where, measured, expected, remedy)
