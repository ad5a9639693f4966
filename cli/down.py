"""`./rackform down`: nothing of the stack is left on the machine."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import JsonValue

from cli.console import err, out
from cli.machines import machines
from cli.progress import Progress
from cli.pulumi import EngineFailedError, Pulumi
from cli.recovery import recover
from lab import twin as twins
from lab.layout import Twin
from pyinfra_deploys.client import HostWorker
from remote.connection import Connection
from remote.errors import RackformError
from stack.load import load_site, read_stack
from stack.paths import ROOT, stack_dir, state_dir, store_dir


def take_down(stack: str, *, keep_images: bool) -> None:
    """Remove the twin with its state, or destroy the stack of real machines.

    A twin's machines are ours alone: they are removed as a whole instead of being emptied one
    resource at a time. On real machines Pulumi removes what it made, containers and applications,
    and puts back what was there before.
    """
    site = load_site(read_stack(stack))
    recover(stack)
    engine = Pulumi(stack)
    if not site.twin:
        _destroy(engine)
        return
    twins.require()
    twins.down(Twin(state_dir(), store_dir()), keep_images=keep_images)
    if engine.exists():
        engine.remove_stack()
    forget_salt(stack)
    for folder in (stack_dir(stack), *(() if keep_images else (store_dir(),))):
        _remove(folder)
    kept = f"; kept {store_dir()}" if keep_images else ""
    err.print(f"{site.name} is down{kept}")


def foretell(stack: str) -> None:
    """Print, for each real machine, what `down` would put back there and what it would leave.

    Raises:
        RackformError: a machine can't be asked; the others have been told of.

    """
    site = load_site(read_stack(stack))
    if site.twin:
        out.print(f"{site.name} is a twin: its machines go, with all that is on them")
        return
    reached = {name: each for name, each in machines(stack).items() if name in site.nodes}
    registry = f"{site.nodes[site.registry_node].address}:{site.registry.port}"
    with HostWorker() as worker, ThreadPoolExecutor(len(reached)) as pool:
        told = {
            name: pool.submit(worker.plan, each, _restoring(each, registry))
            for name, each in reached.items()
        }
    errors = []
    for name, future in told.items():
        if error := future.exception():
            errors.append(str(error))
            continue
        out.print(f"{name}:")
        lines = [line for operation in future.result() for line in operation.commands]
        for line in lines or ["no change by Rackform is recorded: it stays as it is"]:
            out.print(f"    {line}", soft_wrap=True, markup=False, highlight=False)
    if errors:
        raise RackformError("; ".join(errors))


def _restoring(connection: Connection, registry: str) -> dict[str, dict[str, JsonValue]]:
    return {"restore": {"management_address": connection.address, "registry": registry}}


def _destroy(engine: Pulumi) -> None:
    progress = Progress(err)
    try:
        with progress.shown():
            engine.run("destroy", "--continue-on-error", watcher=progress)
    except EngineFailedError as error:
        raise RackformError(
            str(error)
            if not progress.failures
            else "not everything could be destroyed, as told"
            " above: mend the first one's cause and run ./rackform down again"
        ) from error


def forget_salt(stack: str) -> None:
    """Take the engine's `encryptionsalt` out of the stack's file, unless secrets there need it.

    The engine writes it when the stack is made; it belongs to the passphrase of that state, and
    would refuse the passphrase of the next.
    """
    file = ROOT / "stack" / f"Pulumi.{stack}.yaml"
    text = file.read_text(encoding="utf-8")
    if (kept := without_salt(text)) != text:
        file.write_text(kept, encoding="utf-8")


def without_salt(text: str) -> str:
    """Return a stack file's text without the engine's salt, unless secrets in it need that."""
    lines = text.splitlines(keepends=True)
    if any("secure:" in line for line in lines):
        return text
    return "".join(line for line in lines if not line.startswith("encryptionsalt:"))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
