"""`./rackform rollback N`: the site and the images of an earlier generation, as a new one."""

import shutil
import sys
import tempfile
from pathlib import Path

import typer
import yaml
from pydantic import JsonValue

from cli.console import err
from cli.generations import by_image
from cli.history import Generation, generation, outputs, resources
from cli.pulumi import Pulumi
from cli.recovery import recover
from cli.up import Report, bring_up
from images import builder
from remote.errors import RackformError
from stack.changes import Edit, edits
from stack.errors import InputError
from stack.load import load_site, read_stack
from stack.paths import ROOT, locks_dir, state_dir, store_dir


def roll_back(stack: str, number: int, prompt: str, *, yes: bool, dry_run: bool) -> Report | None:
    """Preview an earlier generation, ask, and bring the stack up with it.

    Returns:
        What `up` reported; None where nothing was to be done, or only a preview was wanted.

    Raises:
        InputError: there is no such generation, or nobody is there to be asked.
        RackformError: an image of that generation is in the store no more.

    """
    chosen = generation(stack, number)
    load_site(chosen.site)
    pins = pins_of(stack, chosen)
    file = ROOT / "stack" / f"Pulumi.{stack}.yaml"
    recover(stack)
    with tempfile.TemporaryDirectory(dir=state_dir(), prefix="rollback-") as folder:
        draft = Path(folder, file.name)
        shutil.copyfile(file, draft)
        _rewrite(Pulumi(stack), stack, draft, chosen.site, pins)
        _tell(chosen, pins)
        Pulumi(stack).preview(draft)
        if dry_run:
            return None
        if not yes and not _agreed(number):
            err.print("nothing was changed")
            return None
        fresh = file.with_suffix(".tmp")
        shutil.copyfile(draft, fresh)
        fresh.replace(file)
    report = bring_up(stack, prompt, message=f"rollback to generation {number}")
    _compare(stack, chosen, report)
    return report


def pins_of(stack: str, chosen: Generation) -> dict[str, str]:
    """Return the images that the declarations of now would make otherwise, and their input hashes.

    Raises:
        RackformError: one of them is in the store no more.

    """
    pins = {}
    for name, image in by_image(resources(stack, chosen)).items():
        key = str(image.outputs.get("input_hash", ""))
        kind, variant = name.split("/")
        if key and _declared(kind, variant) != key:
            # Whether it is there and whole is asked before anything is touched.
            builder.expected(kind, variant, store_dir(), builder.Sources(pinned=key))
            if wrong := builder.check(str(image.outputs["digest"]), store_dir()):
                raise RackformError(
                    f"generation {chosen.number} ran image {name}, but {'; '.join(wrong)}: check "
                    f"out its commit {chosen.commit[:12]} and run './rackform build {kind}'"
                )
            pins[name] = key
    return pins


def _declared(image: str, variant: str) -> str | None:
    try:
        sources = builder.Sources(locks=locks_dir())
        return builder.expected(image, variant, store_dir(), sources).input_hash
    except RackformError:  # it is no longer declared, or its lock is stale
        return None


def _rewrite(
    engine: Pulumi, stack: str, draft: Path, site: JsonValue, pins: dict[str, str]
) -> None:
    """Lay the site and the pins into a copy of the stack's file, comments left where they can."""
    document = yaml.safe_load(draft.read_text(encoding="utf-8"))
    now = read_stack(stack)
    found = list(edits(now if isinstance(now, dict) else None, site))
    removed = [f"rackform:site.{edit.notation}" for edit in found if _goes_first(edit)]
    added = {path: value for edit in found for path, value in _leaves(edit)}
    if "rackform:pinned" in document["config"]:
        removed.append("rackform:pinned")
    added |= {f'rackform:pinned["{name}"]': key for name, key in pins.items()}
    engine.configure(draft, removed, added)
    written = yaml.safe_load(draft.read_text(encoding="utf-8"))
    if written["config"].get("rackform:site") != site:
        # Pulumi's paths can't say everything, such as an empty list: then without comments.
        written["config"]["rackform:site"] = site
        draft.write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")


def _goes_first(edit: Edit) -> bool:
    """Say whether a place has to be emptied before, or instead of, being filled."""
    filled = isinstance(edit.old, dict | list) or isinstance(edit.new, dict | list)
    return edit.old is not None and (edit.new is None or filled)


def _leaves(edit: Edit) -> list[tuple[str, JsonValue]]:
    """Return path → value of everything that an edit puts in place."""
    if edit.new is None:
        return []
    return _scalars(f"rackform:site.{edit.notation}", edit.new)


def _scalars(path: str, value: JsonValue) -> list[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _scalars(f'{path}["{key}"]', item)]
    if isinstance(value, list):
        return [
            leaf for index, item in enumerate(value) for leaf in _scalars(f"{path}[{index}]", item)
        ]
    return [(path, value)]


def _tell(chosen: Generation, pins: dict[str, str]) -> None:
    when = chosen.finished.isoformat(timespec="minutes")
    err.print(f"generation {chosen.number}, finished {when}, commit {chosen.commit[:12]}")
    for name, key in pins.items():
        err.print(f"  image {name} from the store: {key[:12]}")
    err.print("[dim]what hosts are set up with is the program's of now[/]\n")


def _agreed(number: int) -> bool:
    if not sys.stdin.isatty():
        raise InputError(
            f"rolling back to generation {number} asks first, and nobody is there to answer: "
            "add --yes, or --dry-run for the preview alone"
        )
    return typer.confirm(f"Roll back to generation {number}?", err=True)


def _compare(stack: str, chosen: Generation, report: Report) -> None:
    before = outputs(resources(stack, chosen)).get("closure")
    if before == report.closure:
        err.print(f"the closure is that of generation {chosen.number}")
    else:
        err.print(
            f"[yellow]note[/] the closure is not that of generation {chosen.number}: the program's "
            f"sources were changed since its commit {chosen.commit[:12]}"
        )
