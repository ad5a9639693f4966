"""`./rackform gc`: clears the store of what no generation and no container needs."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict

from cli.history import Resource, current_checkpoints, past_checkpoints, read_checkpoint
from images import builder
from images.builder import Garbage, Needed, Root
from lab import nodes
from lab import twin as twins
from lab.layout import Twin
from models.prepare import kept_folder
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site, read_stack
from stack.paths import ROOT, engines_dir, locks_dir, store_dir


class Freed(BaseModel):
    """What `gc --json` prints."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    kept_generations: int
    removed: dict[str, int]
    """Kind of thing → bytes."""
    paths: list[Path]
    size_bytes: int
    notes: list[str]


def collect(keep: int, *, dry_run: bool) -> Freed:
    """Remove what the last `keep` generations of every stack don't need, or say what would go.

    Raises:
        RackformError: something is being built, or brought up, at this moment.

    """
    store = store_dir()
    builder.register_checkout()
    notes: list[str] = []
    with builder.collecting(store) as held:
        roots, forgotten = builder.registered(store)
        roots += _of_the_twin(roots)
        for root in [] if dry_run else roots:
            _refuse_while_busy(root)
        needed = _needed(roots, keep, notes)
        garbage = [*builder.garbage(held, needed), *_engines(roots)]
        garbage += [Garbage("index", path, 0) for path in forgotten]
        if not dry_run:
            builder.remove_garbage(held, garbage)
    removed: dict[str, int] = {}
    for each in garbage:
        removed[each.kind] = removed.get(each.kind, 0) + each.size_bytes
    return Freed(
        dry_run=dry_run,
        kept_generations=keep,
        removed=removed,
        paths=[each.path for each in garbage],
        size_bytes=sum(removed.values()),
        notes=notes,
    )


def _refuse_while_busy(root: Root) -> None:
    folder = _backend_folder(root)
    locks = [*(folder / "locks").rglob("*.json")] if folder else []
    if locks:
        stack = locks[0].parent.name
        raise RackformError(
            f"stack {stack} of {root.checkout} is being changed, or its last run was killed: run "
            f"this again when it is done ('{root.checkout}/rackform up --stack {stack}')"
        )


def _needed(roots: list[Root], keep: int, notes: list[str]) -> Needed:
    needed = Needed()
    for root in roots:
        folder = _backend_folder(root)
        if folder is None:
            needed.everything = True
            notes.append(
                f"{root.checkout} keeps its stacks in {root.backend}, which this command doesn't "
                "read: no image and no model was removed"
            )
        else:
            for file in _checkpoints(folder, keep):
                _add(needed, read_checkpoint(file))
        _add_running(needed, Twin(root.state, store_dir()))
    needed.images |= set(_declared())
    _add_declared_models(needed)
    return needed


def _checkpoints(folder: Path, keep: int) -> Iterator[Path]:
    for current in current_checkpoints(folder):
        yield current
        yield from past_checkpoints(folder, current.name.partition(".json")[0], keep)


def _add(needed: Needed, found: list[Resource]) -> None:
    for each in found:
        match each.kind:
            case "OciImage":
                needed.images.add(str(each.outputs.get("input_hash")))
                needed.digests.add(str(each.outputs.get("digest")))
            case "LabNode":
                needed.digests.add(str(each.inputs.get("base_digest")))
            case "ModelWeights":
                padded = each.inputs.get("pad_heads_to")
                source, revision = str(each.inputs["source"]), str(each.inputs["revision"])
                heads = int(padded) if isinstance(padded, int | float) else None
                needed.models.add(kept_folder(source, revision, heads, store_dir()).name)
                needed.revisions.add(revision)


def _add_running(needed: Needed, twin: Twin) -> None:
    """Add what a twin's hosts stand on, and what their containers run."""
    for folder in sorted(twin.nodes.glob("*")):
        state = nodes.read(twin, folder.name)
        if state:
            needed.digests.add(state.spec.base_digest)
        for file in (folder / "docker" / "containers").glob("*/config.v2.json"):
            needed.image_ids.add(str(json.loads(file.read_text(encoding="utf-8")).get("Image")))


def _declared() -> Iterator[str]:
    """Yield the input hashes of what this checkout's locks would make: the next `up` wants it."""
    for name in builder.names():
        for variant in builder.variants(name):
            try:
                sources = builder.Sources(locks=locks_dir())
                yield builder.expected(name, variant, store_dir(), sources).input_hash
            except RackformError:  # it has no lock that holds
                continue


def _add_declared_models(needed: Needed) -> None:
    for file in sorted((ROOT / "stack").glob("Pulumi.*.yaml")):
        with contextlib.suppress(InputError):
            for model in load_site(read_stack(file.name[7:-5])).weights.values():
                chosen = (model.source, model.revision, model.pad_heads_to)
                needed.models.add(kept_folder(*chosen, store_dir()).name)
                needed.revisions.add(model.revision)


def _of_the_twin(roots: list[Root]) -> list[Root]:
    """Return the checkout whose twin is up, if it has not told the store of itself."""
    claim = twins.claimed_by()
    if claim is None or claim.state in {root.state for root in roots}:
        return []
    return [Root(checkout=claim.checkout, state=claim.state, backend="")]


def _engines(roots: list[Root]) -> Iterator[Garbage]:
    """Yield the engines that were superseded: built here, and run by no checkout any more."""
    used = {engine for root in roots for engine in root.engines}
    cache = engines_dir()
    for folder in sorted(cache.iterdir()) if cache.is_dir() else []:
        if folder.name.startswith(("pulumi-", "command-")) and folder not in used:
            yield builder.as_garbage("engines", folder)


def _backend_folder(root: Root) -> Path | None:
    url = urlsplit(root.backend)
    if url.scheme != "file":
        return None if root.backend else root.state / "pulumi" / ".pulumi"
    return Path(unquote(url.path), ".pulumi")
