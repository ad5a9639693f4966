"""`./rackform up`: from whatever is there to an answered prompt, saying where the time went."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from cli.access import Access, access
from cli.chat import stream
from cli.console import err
from cli.keys import Keys, of
from cli.preflight import examine
from cli.progress import Progress
from cli.pulumi import EngineFailedError, Pulumi
from cli.recovery import recover
from images import builder
from lab import twin as twins
from lab.layout import Twin
from planner.plan import plan
from remote.errors import RackformError
from stack.load import load_site, read_stack
from stack.paths import ROOT, state_dir, store_dir
from stack.schema import Site


class Report(BaseModel):
    """What `up --json` ends with."""

    model_config = ConfigDict(frozen=True)

    stack: str
    closure: str
    endpoint: str
    ca_file: Path
    api_key_file: Path
    model: str
    answer: str
    seconds: dict[str, float] = Field(description="wall-clock seconds by phase, and in all")


_PHASES = {
    "OciImage": "images", "LabSwitch": "machines", "LabNode": "machines", "HostState": "hosts",
    "SwitchConfig": "switches", "ImagePull": "pulls", "ModelWeights": "weights",
    "Container": "containers", "ServeApplication": "model", "Command": "verification",
}  # fmt: skip


def bring_up(stack: str, prompt: str, message: str = "") -> Report:
    """Bring the stack up and ask the model.

    Raises:
        InputError: the site or a real machine of it is wrong; nothing was touched.
        RackformError: something failed; running the same again goes on from there.

    """
    seconds: dict[str, float] = {}
    started = time.monotonic()
    site = load_site(read_stack(stack))
    plan(site)
    with _timed(seconds, "preparation"):
        examine(stack, site)
        if site.twin:
            _prepare_twin(Twin(state_dir(), store_dir()))
        recover(stack)
        builder.register_checkout()
        engine = Pulumi(stack)
        engine.ensure_stack()
    with _timed(seconds, "converge"):
        progress = _converge(engine, message)
    for kind, spent in progress.seconds.items():
        phase = _PHASES.get(kind, "other")
        seconds[phase] = max(seconds.get(phase, 0.0), spent)
    with _timed(seconds, "answer"):
        reached = access(stack)
        answer = _ask(reached, prompt)
    seconds["total"] = time.monotonic() - started
    report = Report(
        stack=stack,
        closure=reached.outputs.closure,
        endpoint=reached.outputs.endpoint,
        ca_file=reached.ca_file,
        api_key_file=reached.api_key_file,
        model=reached.outputs.model,
        answer=answer,
        seconds={phase: round(spent, 1) for phase, spent in seconds.items()},
    )
    _tell(report, site, of(reached.outputs, site), changed=len(progress.changed))
    return report


def _prepare_twin(twin: Twin) -> None:
    twins.require()
    twins.claim(twin, ROOT)
    for cleaned in twins.clean_leftovers(twin):
        err.print(f"[dim]{cleaned}[/]")


def _converge(engine: Pulumi, message: str) -> Progress:
    progress = Progress(err)
    try:
        with progress.shown():
            told = ["--message", message] if message else []
            engine.run("up", "--continue-on-error", *told, watcher=progress)
    except EngineFailedError as error:
        if not progress.failures:
            raise
        raise RackformError(
            f"{len(progress.failures)} of the stack's resources failed, as told above;"
            " mend the first one's cause and run ./rackform up again: it goes on from there"
        ) from error
    return progress


def _ask(reached: Access, prompt: str) -> str:
    err.print(f"\n[bold]> {prompt}[/]")
    pieces = []
    for piece in stream(reached, prompt, max_tokens=64):
        sys.stderr.write(piece)
        sys.stderr.flush()
        pieces.append(piece)
    sys.stderr.write("\n")
    return "".join(pieces)


def _tell(report: Report, site: Site, keys: Keys, *, changed: int) -> None:
    times = ", ".join(
        f"{phase} {spent:.0f} s" for phase, spent in report.seconds.items() if spent >= 1
    )
    done = f"{changed} resources changed" if changed else "nothing to change"
    err.print(
        f"\n[bold]{site.name}[/] is up: {done} ({times})\n"
        f"  endpoint    {report.endpoint}\n"
        f"  model       {report.model}\n"
        f"  CA          {report.ca_file}\n"
        f"  API key     {report.api_key_file}\n"
        f"  closure     {report.closure[:19]}"
    )
    for page in keys.passwords:
        err.print(f"  {page.name:<11} {page.url} (./rackform keys --password {page.name})")
    err.print()


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[phase] = time.monotonic() - started
