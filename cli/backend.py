"""Where the engine keeps its state, as far as this command looks there by itself."""

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


def folder() -> Path | None:
    """Return the file backend's folder; None where the state is kept elsewhere."""
    backend = urlsplit(os.environ.get("PULUMI_BACKEND_URL", ""))
    return Path(unquote(backend.path), ".pulumi") if backend.scheme == "file" else None


def holds(stack: str) -> bool:
    """Return whether the stack is certainly there; ask the engine where this says no."""
    state = _state(stack)
    return state is not None and state.exists()


def holds_pending(stack: str) -> bool:
    """Return whether an engine that was stopped at once left operations that it had begun."""
    state = _state(stack)
    if state is None or not state.exists():
        return False
    latest = json.loads(state.read_bytes())["checkpoint"]["latest"] or {}
    return bool(latest.get("pending_operations"))


def _state(stack: str) -> Path | None:
    found = folder()
    return found / "stacks" / "rackform" / f"{stack}.json" if found else None


def mend() -> None:
    """Remove what an engine that was killed left half written, so that the next one can read.

    The library under it (gocloud's `fileblob`) renames a file into place when it is whole, but
    writes the file's `.attrs` there as it goes, and reads no file whose `.attrs` is cut short. One
    without any is read; it only tells the content's type.
    """
    found = folder()
    if found is None:
        return
    for attributes in found.rglob("*.attrs"):
        try:
            json.loads(attributes.read_bytes())
        except ValueError:
            attributes.unlink()
    for unfinished in found.rglob("*.json.*.tmp"):
        unfinished.unlink()
