"""Commands before a stack runs: look at machines, plan, predict, measure."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.application import Json, Stack, app
from cli.console import out


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
    fabric_subnet: Annotated[
        str | None, typer.Option(help="the cards' own, else 10.78.0.0/24, if not given")
    ] = None,
    mtu: Annotated[int, typer.Option(help="MTU of the fabric, in bytes")] = 9000,
    gbit_s: Annotated[
        float | None, typer.Option(help="speed of the fabric's links; the slowest found")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="hf:ORG/NAME, pypi:… or file:PATH; the planner's proposal if not given"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="the model's commit or sha256")] = None,
    switch: Annotated[
        list[str] | None, typer.Option(help="NAME=OS@ADDRESS of a switch to manage")
    ] = None,
    cable: Annotated[
        list[str] | None, typer.Option(help="SWITCH.PORT=NODE, where LLDP does not tell")
    ] = None,
    circuit: Annotated[
        list[str] | None, typer.Option(help="NAME=VOLTSxAMPS[:NODE,NODE] that feeds these, or all")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="another file to write")] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
    as_json: Json = False,
) -> None:
    """Look at bare machines over SSH, tell what is found, and write a stack for them."""
    from cli import discover as work
    from cli import discover_options as given
    from discover.wishes import EXAMPLE_REVISION, Wishes

    wishes = Wishes(
        name=name,
        user=user,
        port=port,
        head=head,
        controller=controller,
        fabric_subnet=given.subnet(fabric_subnet),
        mtu_bytes=mtu,
        gbit_s=gbit_s,
        model=model,
        revision=revision or EXAMPLE_REVISION,
        switches=[given.switch(text) for text in switch or []],
        cables=[given.cable(text) for text in cable or []],
        circuits=[given.circuit(text) for text in circuit or []],
    )
    report = work.discover(
        work.Options(
            addresses=addresses,
            name=name,
            user=user,
            port=port,
            key=given.key_file(key),
            accepted=accept or [],
            accept_all=accept_all,
            wishes=wishes,
            output=output,
            force=force,
        )
    )
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")


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
