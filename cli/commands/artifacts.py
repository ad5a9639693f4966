"""Commands about what a stack is made of: images, closures, generations, bundles."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.application import Json, Stack, app
from cli.console import err, out


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
