"""What `up` and `down` show while the engine works: what runs, what it waits for, what it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from cli.events import Diagnostic, EngineEvent, Step

_QUIET_S = 15.0
"""Where there is no terminal, how often what is still running is said again."""

_DONE = {
    "create": "made", "update": "updated", "delete": "removed", "replace": "replaced",
    "create-replacement": "made again", "delete-replaced": "removed the old", "refresh": "read",
}  # fmt: skip
_CHANGING = frozenset(_DONE) - {"refresh"}
_HIDDEN_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:", "rackform:cluster:")


def resource_name(urn: str) -> str:
    """Return the last part of a URN, the name that the program gave the resource."""
    return urn.rsplit("::", 1)[-1]


def resource_type(urn: str) -> str:
    """Return a resource's own type, without its parents': `HostState`."""
    return urn.split("::")[-2].rsplit("$", 1)[-1].rsplit(":", 1)[-1] if "::" in urn else ""


@dataclass
class _Running:
    started: float
    message: str = ""


@dataclass
class Progress:
    """Follows the events of one engine run and shows them on a console."""

    console: Console
    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    """Resource type → seconds during which at least one resource of it was being changed."""
    changed: list[str] = field(default_factory=list)
    """Names of the resources that this run changed."""
    failures: list[str] = field(default_factory=list)
    _running: dict[str, _Running] = field(default_factory=dict)
    _spans: dict[str, tuple[int, float]] = field(default_factory=dict)
    _said: float = field(default_factory=time.monotonic)
    _live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep what is running on the screen while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render, console=self.console, transient=True) as live:
            self._live = live
            yield
        self._live = None

    def on_event(self, event: EngineEvent) -> None:
        if event.resource_pre_event:
            self._begin(event.resource_pre_event.metadata)
        elif event.res_outputs_event:
            self._end(event.res_outputs_event.metadata, failed=False)
        elif event.res_op_failed_event:
            self._end(event.res_op_failed_event.metadata, failed=True)
        elif event.diagnostic_event:
            self._say(event.diagnostic_event)

    def on_pause(self) -> None:
        """Say again what is still running, where there is no terminal to show it on."""
        now = time.monotonic()
        if self._live or now - self._said < _QUIET_S or not self._running:
            return
        for urn, running in self._running.items():
            waits = f": {escape(running.message)}" if running.message else ""
            self._print(f"[dim]still {self._label(urn)}, {now - running.started:.0f} s{waits}[/]")

    def _begin(self, step: Step) -> None:
        if step.op not in _CHANGING or step.type.startswith(_HIDDEN_TYPES):
            return
        now = time.monotonic()
        self._running[step.urn] = _Running(now)
        kind = resource_type(step.urn)
        count, since = self._spans.get(kind, (0, now))
        self._spans[kind] = (count + 1, since if count else now)

    def _end(self, step: Step, *, failed: bool) -> None:
        running = self._running.pop(step.urn, None)
        if running is None:
            return
        now = time.monotonic()
        kind = resource_type(step.urn)
        count, since = self._spans[kind]
        self._spans[kind] = (count - 1, since)
        if count == 1:
            self.seconds[kind] = self.seconds.get(kind, 0.0) + now - since
        verdict = "[red]failed[/]" if failed else f"[green]{_DONE[step.op]}[/]"
        if not failed:
            self.changed.append(resource_name(step.urn))
        self._print(f"{verdict} {self._label(step.urn)} in {now - running.started:.1f} s")

    def _say(self, diagnostic: Diagnostic) -> None:
        message = diagnostic.message.strip()
        if not message:
            return
        running = self._running.get(diagnostic.urn)
        if running:
            running.message = message.splitlines()[-1]
        if diagnostic.severity == "error":
            self.failures.append(f"{resource_name(diagnostic.urn)}: {message}")
            self._print(f"[red]error[/] {self._label(diagnostic.urn)}: {escape(message)}")
        elif diagnostic.severity == "warning":
            self._print(f"[yellow]note[/] {self._label(diagnostic.urn)}: {escape(message)}")

    def _print(self, text: str) -> None:
        self._said = time.monotonic()
        minutes, seconds = divmod(int(self._said - self.started), 60)
        self.console.print(f"[dim]{minutes}:{seconds:02d}[/] {text}")

    def _label(self, urn: str) -> str:
        return f"{resource_type(urn)} [bold]{escape(resource_name(urn))}[/]" if urn else "stack"

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        now = time.monotonic()
        for urn, running in list(self._running.items()):
            table.add_row(
                Spinner("dots"), self._label(urn), f"{now - running.started:.0f} s",
                f"[dim]{escape(running.message)}[/]",
            )  # fmt: skip
        return Group(table)
