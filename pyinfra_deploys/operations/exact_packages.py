"""Debian packages at exact versions, held there."""

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations import before
from pyinfra_deploys.operations.before import Recorded
from pyinfra_deploys.operations.change import never
from pyinfra_deploys.operations.facts import Names
from pyinfra_deploys.operations.packages import INSTALL, REPAIR
from pyinfra_deploys.operations.script import Script

UPDATE = Script(
    "apt-get update",
    "for i in $(seq 15); do apt-get -q -o Acquire::http::Timeout=15 update && exit 0;"
    " sleep 2; done; exit 1",
)
HOLD = "apt-mark -q hold"


@dataclass(frozen=True)
class Versioned:
    version: str
    held: bool
    newer: bool
    """It is newer than what is wanted, as dpkg compares."""


class Versions(FactBase[dict[str, Versioned]]):
    """The installed ones of some packages, each compared with a wanted version by dpkg itself."""

    @override
    def command(self, wanted: dict[str, str]) -> str:
        asked = " ".join(f"{name}={version}" for name, version in sorted(wanted.items()))
        return (
            f"for w in {asked}; do n=${{w%%=*}}; v=$(dpkg-query -W -f"
            " '${db:Status-Want} ${db:Status-Status} ${Version}' $n 2>/dev/null) || continue;"
            ' set -- $v; [ "$2" = installed ] || continue;'
            ' if dpkg --compare-versions "$3" gt "${w#*=}"; then c=newer; else c=-; fi;'
            " echo $n $1 $3 $c; done"
        )

    @staticmethod
    @override
    def default() -> dict[str, Versioned]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, Versioned]:
        rows = (line.split() for line in output)
        return {
            row[0]: Versioned(row[2], held=row[1] == "hold", newer=row[3] == "newer")
            for row in rows
            if len(row) == 4  # noqa: PLR2004 - name, want, version, comparison
        }


class HeldPackages(Names):
    """The packages that are held, by whomever."""

    @override
    def command(self) -> str:
        return "apt-mark showhold 2>/dev/null || true"


def of_other_branches(packages: Mapping[str, str], held: set[str]) -> dict[str, str]:
    """Return held package → the declared version of the one that takes its place.

    nvidia-fabricmanager-570 gives way to nvidia-fabricmanager-580, and that to the later one
    without a number: they can't both be installed, and apt would rather fail than remove one that
    is held.
    """
    branches = {_without_branch(name): version for name, version in packages.items()}
    return {
        name: branches[_without_branch(name)]
        for name in sorted(held - packages.keys())
        if _without_branch(name) in branches
    }


def _without_branch(name: str) -> str:
    return re.sub(r"-\d+(?=-|$)", "", name)


@dataclass(frozen=True)
class _Due:
    """What is to be done about packages."""

    present: Mapping[str, Versioned]
    wrong: Mapping[str, str]
    """Those that aren't there at their versions."""
    former: Mapping[str, str]
    """Held ones that give way to them → the declared version of what takes their place."""

    @property
    def newer(self) -> dict[str, str]:
        """Return name → declared version of those of which a newer one is installed."""
        asked = {**self.wrong, **self.former}
        return {n: v for n, v in asked.items() if n in self.present and self.present[n].newer}


def _due(packages: Mapping[str, str]) -> _Due:
    present: dict[str, Versioned] = host.get_fact(Versions, wanted=dict(packages))
    wrong = {n: v for n, v in packages.items() if n not in present or present[n].version != v}
    former = of_other_branches(packages, host.get_fact(HeldPackages)) if wrong else {}
    if former:
        installed: dict[str, Versioned] = host.get_fact(Versions, wanted=former)
        present = {**present, **installed}
    return _Due(present, wrong, former)


@operation()
def expect_none_newer(packages: Mapping[str, str]) -> Generator[StringCommand, None, None]:
    """Refuse to go back, before anything is changed.

    Raises:
        OperationError: a newer version is installed.

    """
    due = _due(packages)
    if due.newer:
        told = ", ".join(
            f"{n} {due.present[n].version} (declared {v})" for n, v in due.newer.items()
        )
        raise OperationError(
            f"newer than declared: {told}: declare what is there, or allow going back by "
            "allow_downgrade"
        )
    host.noop("nothing newer is installed")
    yield from ()


@operation()
def install_exact(
    packages: Mapping[str, str], *, refresh_if: Callable[[], bool] = never
) -> Generator[StringCommand, None, None]:
    """Bring each package to its exact version, even an older one, and hold it."""
    due = _due(packages)
    present, wrong, former = due.present, due.wrong, due.former
    if wrong:
        yield REPAIR
        yield UPDATE
        options = "--allow-change-held-packages" + (" --allow-downgrades" if due.newer else "")
        pinned = (QuoteString(f"{name}={version}") for name, version in sorted(wrong.items()))
        removed = (QuoteString(f"{name}-") for name in former)
        if former:
            unhold = StringCommand("apt-mark -q unhold", *map(QuoteString, former))
            yield Recorded(unhold, before.packages(*former))
        install = StringCommand(f"{INSTALL} {options}", *pinned, *removed)
        yield Recorded(install, before.packages(*wrong))
    elif refresh_if():
        yield UPDATE
    loose = [n for n in packages if n in wrong or not present[n].held]
    if loose:
        hold = StringCommand(HOLD, *(QuoteString(name) for name in sorted(loose)))
        yield Recorded(hold, before.packages(*loose))
