"""Commands of a stack that runs: bring it up, use it, look at it, take it down."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.application import Json, Stack, app
from cli.console import out
from stack.errors import InputError
from stack.steps import Step


@app.command()
def up(
    stack: Stack = "lab",
    *,
    as_json: Json = False,
    prompt: Annotated[str, typer.Option(help="what the model is asked in the end")] = (
        "What is the capital of France?"
    ),
    from_bundle: Annotated[
        Path | None, typer.Option(help="file of ./rackform bundle; nothing is fetched then")
    ] = None,
) -> None:
    """Bring the stack up, from whatever is there to an answered prompt."""
    from cli.bundle import check
    from cli.up import bring_up

    if from_bundle:
        check(from_bundle, stack)
    report = bring_up(stack, prompt)
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")


@app.command()
def down(
    stack: Stack = "lab",
    *,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="keep the store of images, packages and weights")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="only tell what would go back on real machines")
    ] = False,
) -> None:
    """Remove the twin and everything it left, or give real machines back as they were."""
    from cli.down import foretell, take_down

    if preview:
        foretell(stack)
    else:
        take_down(stack, keep_images=keep_images)


@app.command()
def chat(prompt: str, stack: Stack = "lab") -> None:
    """Ask the model, through the edge; the answer streams."""
    from cli.access import access
    from cli.chat import stream

    for piece in stream(access(stack), prompt):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    node: str, command: Annotated[list[str] | None, typer.Argument()] = None, stack: Stack = "lab"
) -> None:
    """Log in to a node or a switch, or run one command there."""
    from cli.ssh import login

    login(stack, node, command or [])


@app.command()
def status(stack: Stack = "lab", *, as_json: Json = False) -> None:
    """Tell what runs: nodes, containers, the application, versions."""
    from cli.status import current, table

    found = current(stack)
    if as_json:
        sys.stdout.write(json.dumps(found.model_dump(mode="json")) + "\n")
    else:
        out.print(table(found))


@app.command()
def keys(
    name: Annotated[str | None, typer.Argument(help="the API key to print")] = None,
    stack: Stack = "lab",
    *,
    password: Annotated[
        str | None, typer.Option(help="print one: operator, open-webui, anythingllm")
    ] = None,
    as_json: Json = False,
) -> None:
    """List API keys and passwords by name, or print the one that is named."""
    from cli import keys as work

    if name and password:
        raise InputError(f"{name} and --password {password} are two secrets: ask for one at a time")
    if name is None and password is None:
        found = work.listed(stack)
        if as_json:
            sys.stdout.write(found.model_dump_json() + "\n")
        else:
            out.print(work.table(found))
        return
    secret = work.password(stack, password) if password else work.api_key(stack, name or "")
    sys.stdout.write((secret.model_dump_json() if as_json else secret.secret) + "\n")


@app.command()
def purge(
    name: Annotated[
        str | None, typer.Argument(help="whose data: open-webui, prometheus …; a list if left out")
    ] = None,
    stack: Stack = "lab",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="don't ask")] = False,
    as_json: Json = False,
) -> None:
    """Remove the data of a service that is no longer in the site, or list what is kept."""
    from cli import purge as work

    found = work.purge(stack, name, yes=yes) if name else work.kept(stack)
    if as_json:
        sys.stdout.write(json.dumps([each.model_dump() for each in found]) + "\n")
    elif not name:
        out.print(work.table(found))


@app.command()
def top(
    stack: Stack = "lab",
    *,
    once: Annotated[bool, typer.Option("--once", help="print one screen, and end")] = False,
    as_json: Json = False,
) -> None:
    """Show what the cluster does: models, GPUs, links, circuits, alerts."""
    from cli.top import show

    show(stack, once=once, as_json=as_json)


@app.command()
def doctor(
    checks: Annotated[
        list[str] | None, typer.Argument(help="names of checks, such as mtu; all when left out")
    ] = None,
    stack: Stack = "lab",
    *,
    as_json: Json = False,
) -> None:
    """Examine what such clusters suffer from: measured, expected, what to do; 1 if wrong."""
    from cli.doctor import doctor as examine
    from cli.doctor import told

    report = examine(stack, checks or [])
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")
    else:
        out.print(told(report))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def verify(
    stack: Stack = "lab",
    *,
    from_stdin: Annotated[
        bool, typer.Option("--expectations-from-stdin", help="as the stack itself runs it")
    ] = False,
) -> None:
    """Check every host against what the stack declares."""
    from cli.access import access
    from cli.verify import verify as run
    from stack.expectations import Expectations

    expectations = (
        Expectations.model_validate_json(sys.stdin.read())
        if from_stdin
        else access(stack).outputs.expectations
    )
    # The engine removes what is no longer declared last, so after the stack's own verification.
    options = ("-m", "not settled") if from_stdin else ()
    if status := run(expectations, *options):
        raise typer.Exit(status)


@app.command(hidden=True)
def step(name: Step) -> None:
    """Carry out one step of an update, as the stack itself does: its order on standard input."""
    from cli.steps import run

    sys.stdout.write(run(name, sys.stdin.read()) + "\n")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    tier: Annotated[
        str | None,
        typer.Argument(help="unit, golden, hosts, lab or heavy; all but the last when left out"),
    ] = None,
) -> None:
    """Run the project's own tests."""
    from cli.test import run

    raise typer.Exit(run(tier, context.args))
