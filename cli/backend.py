"""Where the engine keeps its state, as far as this command looks there by itself."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


def folder() -> Path | None:
    """Return the file backend's folder; None where the state is kept elsewhere."""
    backend = urlsplit(os.environ.get("PULUMI_BACKEND_URL", ""))
    return Path(unquote(backend.path), ".pulumi") if backend.scheme == "file" else None


def holds(stack: str) -> bool:
    """Return whether the stack is certainly there; ask the engine where this says no."""
    found = folder()
    return found is not None and (found / "stacks" / "rackform" / f"{stack}.json").exists()
