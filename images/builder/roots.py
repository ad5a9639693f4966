"""Who uses a store: the state folders of checkouts, so that `rackform gc` knows what is needed."""

import hashlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from images.builder.store import Store
from stack.paths import ROOT, engines_dir, state_dir, store_dir


class Root(BaseModel):
    """A checkout that took something from the store; it counts as long as its state is there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    checkout: Path
    state: Path
    backend: str
    """Where its Pulumi keeps the stacks: PULUMI_BACKEND_URL."""
    engines: list[Path] = []
    """Folders of the engine and its plugins that it runs."""


def register_checkout() -> None:
    """Tell the store that this checkout uses it, and which engine it runs."""
    on_path = [Path(part).parent for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    engines = {folder for folder in on_path if folder.parent == engines_dir()}
    chosen = state_dir() / "command-plugin"
    if chosen.exists():
        kind, _, folder = chosen.read_text(encoding="utf-8").strip().partition(" ")
        engines |= {Path(folder)} if kind == "ours" else set()
    root = Root(
        checkout=ROOT,
        state=state_dir().resolve(),
        backend=os.environ.get("PULUMI_BACKEND_URL", ""),
        engines=sorted(engines),
    )
    register(store_dir(), root)


def register(store: Path, root: Root) -> None:
    """Remember that a checkout uses the store."""
    text = root.model_dump_json() + "\n"
    key = hashlib.sha256(str(root.state).encode()).hexdigest()[:16]
    held = Store(store)
    if held.read_json("roots", key) != text:
        held.write_json("roots", key, text)


def registered(store: Path) -> tuple[list[Root], list[Path]]:
    """Return the checkouts that count, and the records of those whose state folder is gone."""
    alive, dead = [], []
    for file in sorted((store / "roots").glob("*.json")):
        try:
            root = Root.model_validate_json(file.read_text(encoding="utf-8"))
        except ValidationError:
            dead.append(file)
            continue
        if root.state.is_dir():
            alive.append(root)
        else:
            dead.append(file)
    return alive, dead
