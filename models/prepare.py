"""A model's folder as vLLM reads it, made from its pinned source and kept in the store."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models import sources
from remote.errors import RackformError

Progress = Callable[[str], None]

CONVERTER = 1
"""Raise it when convert.py writes other bytes for the same input."""


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Snapshot:
    name: str
    """The folder's name on the nodes."""
    folder: Path
    files: dict[str, str]
    """name → sha256"""
    size_bytes: int

    @property
    def digest(self) -> str:
        return f"sha256:{sources.digest(self.files)}"


def kept_folder(source: str, revision: str, pad_heads_to: int | None, store: Path) -> Path:
    """Return where the store keeps a model's snapshot, whether or not it is there yet."""
    name = sources.folder_name(source, revision, pad_heads_to)
    return store / "models" / f"{name}-v{CONVERTER}"


def snapshot(
    source: str,
    revision: str,
    pad_heads_to: int | None,
    store: Path,
    progress: Progress = _silent,
) -> Snapshot:
    """Return the model's folder, made at the first call and found in the store at later ones.

    A GGUF file is converted to safetensors. `pad_heads_to` (GGUF only) adds attention heads of
    zeros: the function stays the same and tensor parallelism divides them.
    """
    parsed = sources.parse(source, revision)
    name = sources.folder_name(source, revision, pad_heads_to)
    kept = kept_folder(source, revision, pad_heads_to, store)
    if not (kept / "files.json").exists():
        origin = sources.fetch(parsed, store, progress)
        if origin.is_dir():
            return _whole_folder(name, origin, kept, pad_heads_to, store)
        progress(f"converting {name} to safetensors")
        _convert(origin, kept, pad_heads_to)
    listing = json.loads((kept / "files.json").read_text())
    return _snapshot(name, store / (listing["folder"] or kept / "model"), listing["files"])


def _snapshot(name: str, folder: Path, listing: dict[str, str]) -> Snapshot:
    try:
        size_bytes = sum((folder / file).stat().st_size for file in listing)
    except FileNotFoundError as error:
        raise RackformError(
            f"{error.filename} is gone from the store: remove {folder.parent} and run 'up' again"
        ) from error
    return Snapshot(name, folder, listing, size_bytes)


def _whole_folder(
    name: str, origin: Path, kept: Path, pad_heads_to: int | None, store: Path
) -> Snapshot:
    if pad_heads_to is not None:
        raise RackformError(
            f"pad_heads_to = {pad_heads_to}, but {name} is no GGUF file: only such a one is padded"
        )
    listing = sources.files(origin)
    kept.mkdir(parents=True, exist_ok=True)
    # A store can be moved, or come out of a bundle: what is in it is named from its top.
    inside = origin.is_relative_to(store)
    _write_listing(kept, str(origin.relative_to(store) if inside else origin), listing)
    return _snapshot(name, origin, listing)


def _convert(origin: Path, kept: Path, pad_heads_to: int | None) -> None:
    from models.convert import convert  # noqa: PLC0415 - numpy and gguf are slow to import

    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".convert-") as folder:
        work = Path(folder) / "work"
        convert(origin, work / "model", pad_heads_to)
        _write_listing(work, "", sources.files(work / "model"))
        shutil.rmtree(kept, ignore_errors=True)  # a half-made one, or one without its listing
        work.replace(kept)


def _write_listing(kept: Path, folder: str, listing: dict[str, str]) -> None:
    text = json.dumps({"folder": folder, "files": listing}, indent=2, sort_keys=True) + "\n"
    fresh = kept / f".files.json.{os.getpid()}"
    fresh.write_text(text)
    fresh.replace(kept / "files.json")
