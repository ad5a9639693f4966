"""`./rackform test`: the project's own tests, tier by tier."""

import subprocess
import sys
from collections.abc import Sequence

from cli.access import access
from cli.console import err
from cli.verify import verify
from stack.errors import InputError
from stack.paths import ROOT

_TIERS = ("unit", "golden", "lab", "hosts", "heavy")
_CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "."),
)


def run(tier: str | None, options: Sequence[str]) -> int:
    """Run one tier, or the checks and then every tier; return the first failure's status.

    `lab` brings the twin up for itself; `hosts` needs a stack that is up; `heavy` runs only when it
    is named.
    """
    if tier == "hosts":
        return verify(access("lab").outputs.expectations, *options)
    if tier is not None and tier not in _TIERS:
        raise InputError(f"{tier} is no tier of tests: use one of {', '.join(_TIERS)}")
    if tier is not None:
        return _pytest([tier], options)
    return _everything(options)


def _everything(options: Sequence[str]) -> int:
    for check in _CHECKS:
        err.print(f"[bold]{' '.join(check)}[/]")
        if status := subprocess.run(
            [sys.executable, "-m", *check], cwd=ROOT, check=False
        ).returncode:
            return status
    return _pytest(["unit", "golden"], options) or _pytest(["lab"], options)


def _pytest(tiers: Sequence[str], options: Sequence[str]) -> int:
    """Run tiers in a random order on all cores; the twin's tests tell one story, in their order.

    No test draws from `random`: its seed need not be set three times for each.
    """
    folders = [ROOT / "tests" / tier for tier in tiers]
    shuffled = ["--numprocesses", "auto", "--dist", "worksteal", "--randomly-dont-reset-seed"]
    order = ["-p", "no:randomly", "--durations", "20"] if "lab" in tiers else shuffled
    return subprocess.run(
        [sys.executable, "-m", "pytest", *folders, *order, *options], cwd=ROOT, check=False
    ).returncode
