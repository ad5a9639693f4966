"""Every command and its options; the work is in the module of the same name."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.console import err, out
from stack.errors import InputError
from stack.steps import Step

app = typer.Typer(
    name="rackform",
    help="A rack of GPU machines as one inference appliance.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Stack = Annotated[
    str, typer.Option("--stack", "-s", envvar="RACKFORM_STACK", help="the environment to act on")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]


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


@app.command()
def discover(
    addresses: Annotated[list[str], typer.Argument(help="management addresses of the machines")],
    *,
    name: Annotated[str, typer.Option(help="the stack to write: stack/Pulumi.NAME.yaml")] = "found",
    user: Annotated[str, typer.Option(help="login user: root, or one with sudo")] = "root",
    port: Annotated[int, typer.Option(help="port of sshd")] = 22,
    key: Annotated[
        str | None, typer.Option(help="private key; the stack's own, made now, if not given")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept-host-key", help="fingerprint (SHA256:…) that you have compared"),
    ] = None,
    accept_all: Annotated[
        bool, typer.Option("--accept-all-host-keys", help="pin whatever key each machine shows")
    ] = False,
    head: Annotated[
        str | None, typer.Option(help="the head: one without GPUs, else the first")
    ] = None,
    controller: Annotated[str | None, typer.Option(help="this machine's address")] = None,
    fabric_subnet: Annotated[str, typer.Option(help="an unused subnet")] = "10.78.0.0/24",
    mtu: Annotated[int, typer.Option(help="MTU of the fabric, in bytes")] = 9000,
    model: Annotated[str | None, typer.Option(help="hf:ORG/NAME, pypi:… or file:PATH")] = None,
    revision: Annotated[str | None, typer.Option(help="the model's commit or sha256")] = None,
    switch: Annotated[
        list[str] | None, typer.Option(help="NAME=OS@ADDRESS of a switch to manage")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="another file to write")] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
    as_json: Json = False,
) -> None:
    """Look at bare machines over SSH, tell what is found, and write a stack for them."""
    from cli import discover as work
    from discover.stackfile import DEFAULT_MODEL, EXAMPLE_REVISION, Wishes

    wishes = Wishes(
        name=name,
        user=user,
        port=port,
        head=head,
        controller=controller,
        fabric_subnet=work.subnet(fabric_subnet),
        mtu_bytes=mtu,
        model=model or DEFAULT_MODEL,
        revision=revision or EXAMPLE_REVISION,
    )
    report = work.discover(
        work.Options(
            addresses=addresses,
            name=name,
            user=user,
            port=port,
            key=work.key_file(key),
            accepted=accept or [],
            accept_all=accept_all,
            wishes=wishes,
            switches=switch or [],
            output=output,
            force=force,
        )
    )
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")


# What follows the node's name is the command with its own options: as ssh itself has it.
@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    node: str, command: Annotated[list[str] | None, typer.Argument()] = None, stack: Stack = "lab"
) -> None:
    """Log in to a node or a switch, or run one command there."""
    from cli.ssh import login

    login(stack, node, command or [])


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
def commission(
    stack: Stack = "lab",
    *,
    seconds: Annotated[int, typer.Option(min=1, max=600, help="a measurement of a link")] = 5,
    with_nccl: Annotated[
        bool, typer.Option("--nccl/--no-nccl", help="NCCL, in the image that serves")
    ] = True,
    soak_seconds: Annotated[
        int, typer.Option(min=0, max=86400, help="GPUs at full load, alone and together; 0: not")
    ] = 60,
    keep: Annotated[bool, typer.Option("--baseline", help="compare with this from now on")] = False,
    as_json: Json = False,
) -> None:
    """Measure links, NCCL and GPUs at full load, judge them, and write a report."""
    from cli.commission import Asked
    from cli.commission import commission as run

    asked = Asked(seconds=seconds, nccl=with_nccl, soak_s=soak_seconds)
    outcome = run(stack, asked, keep=keep)
    if as_json:
        told = {"verdict": outcome.verdict.model_dump(), "measured": outcome.measured.model_dump()}
        sys.stdout.write(json.dumps(told, default=str) + "\n")
    if not outcome.verdict.fit:
        raise typer.Exit(1)


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
def plan(
    stack: Stack = "lab",
    *,
    site: Annotated[Path | None, typer.Option(help="a site's file in place of a stack")] = None,
    model: Annotated[
        str | None, typer.Option(help="one of the site's models, or any model in their place")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=65536, help="requests at a time")
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option(min=1, max=2**24, help="tokens of a prompt")
    ] = None,
    output_tokens: Annotated[
        int | None, typer.Option(min=1, max=2**24, help="tokens of an answer")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE, as nodes.w1.gpus.count=4")
    ] = None,
    own_nothing: Annotated[
        bool, typer.Option("--own-nothing", help="as for somebody who has none of these GPUs")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="write the plan as an SVG file")] = None,
    as_json: Json = False,
) -> None:
    """Tell what a site will do: memory, split, speed, power, verdict; 1 if it does not fit."""
    from cli.plan import screen, write_picture
    from cli.plan_site import planned_site, to_be_bought
    from planner.proposal import propose
    from planner.workload import LoadChange

    declared, asked = planned_site(stack, site, model, changes or [])
    load = LoadChange(
        concurrency=concurrency, input_tokens=input_tokens, output_tokens=output_tokens
    )
    proposal = propose(to_be_bought(declared) if own_nothing else declared, load, asked)
    if picture:
        write_picture(proposal, picture)
    if as_json:
        sys.stdout.write(proposal.model_dump_json(indent=2) + "\n")
    else:
        out.print(screen(proposal))
    if not proposal.fits:
        raise typer.Exit(1)


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


@app.command()
def lock(
    names: Annotated[list[str] | None, typer.Argument(help="images; all when left out")] = None,
    *,
    upgrade: Annotated[
        list[str] | None,
        typer.Option(help="package to choose anew, or a pattern such as 'nvidia-*' or '*'"),
    ] = None,
) -> None:
    """Resolve images' packages and write their locks; what is locked stays where it fits."""
    from cli.images import write_locks

    write_locks(names or [], upgrade or [])


@app.command()
def build(
    name: str,
    variant: Annotated[str | None, typer.Option(help="one of the image's variants")] = None,
    stack: Stack = "lab",
    *,
    as_json: Json = False,
) -> None:
    """Build one image from its lock into the store."""
    from cli.images import build_image

    built = build_image(name, variant, stack)
    if as_json:
        sys.stdout.write(built.model_dump_json() + "\n")
    else:
        err.print(f"{built.digest} {built.size_bytes / 1e6:.0f} MB in {built.seconds:.1f} s")


@app.command()
def predict(
    rows: Annotated[Path, typer.Argument(help="CSV of serving points: see docs/planner.md")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write the rows here, not on stdout")
    ] = None,
    *,
    score: Annotated[
        bool, typer.Option("--score", help="print how far predictions are from what was measured")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict time to first token and time per output token of many points at once."""
    from cli.predict import predict_rows

    predict_rows(rows, output, score=score, as_json=as_json)


@app.command()
def sbom(
    name: str,
    variant: Annotated[str | None, typer.Option(help="one of the image's variants")] = None,
    stack: Stack = "lab",
) -> None:
    """Print what an image is made of, with licences, as CycloneDX."""
    from cli.images import sbom as document

    sys.stdout.write(document(name, variant, stack))


@app.command()
def closure(
    stack: Stack = "lab",
    *,
    as_tree: Annotated[bool, typer.Option("--tree", help="with all that it is made of")] = False,
) -> None:
    """Print the one hash over all that the stack will run."""
    from cli.closure import of_stack, tree

    found = of_stack(stack)
    for line in tree(found) if as_tree else [found.hash]:
        sys.stdout.write(f"{line}\n")


@app.command()
def generations(stack: Stack = "lab", *, as_json: Json = False) -> None:
    """List every finished `up` of the stack, from Pulumi's history."""
    from cli.generations import listed, table

    found = listed(stack)
    if as_json:
        sys.stdout.write(json.dumps([each.model_dump() for each in found]) + "\n")
    else:
        out.print(table(found))


@app.command()
def diff(old: int, new: int, stack: Stack = "lab", *, as_json: Json = False) -> None:
    """Tell what separates two generations: packages, settings, switch lines."""
    from cli.generations import difference, lines

    found = difference(stack, old, new)
    if as_json:
        sys.stdout.write(found.model_dump_json() + "\n")
        return
    for line in lines(found):
        sys.stdout.write(f"{line}\n")


@app.command()
def rollback(
    number: int,
    stack: Stack = "lab",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="don't ask after the preview")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only preview")] = False,
    as_json: Json = False,
    prompt: Annotated[str, typer.Option(help="what the model is asked in the end")] = (
        "What is the capital of France?"
    ),
) -> None:
    """Return to an earlier generation's site and images: previewed first, as a new generation."""
    from cli.rollback import roll_back

    report = roll_back(stack, number, prompt, yes=yes, dry_run=dry_run)
    if report and as_json:
        sys.stdout.write(report.model_dump_json() + "\n")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(min=0, help="generations of each stack to keep")] = 3,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    as_json: Json = False,
) -> None:
    """Clear the store of what no kept generation and no running container needs."""
    from cli.closure import readable
    from cli.gc import collect

    freed = collect(keep, dry_run=dry_run)
    if as_json:
        sys.stdout.write(freed.model_dump_json() + "\n")
        return
    for note in freed.notes:
        err.print(note)
    for kind, size in freed.removed.items():
        err.print(f"  {kind}  {readable(size)}")
    verb = "would free" if dry_run else "freed"
    err.print(f"{verb} {readable(freed.size_bytes)}; {keep} generations of each stack are kept")


@app.command()
def bundle(
    path: Annotated[Path, typer.Argument(metavar="OUT.tar", help="the file to write")],
    stack: Stack = "lab",
    *,
    as_json: Json = False,
) -> None:
    """Write all that the stack needs into one file, for a site that reaches no network."""
    from cli.bundle import dump, write
    from cli.closure import readable

    written = write(stack, path)
    if as_json:
        sys.stdout.write(dump(written) + "\n")
    else:
        err.print(f"{written.path}: {readable(written.size_bytes)}, sha256 {written.sha256[7:]}")
