"""A program of ours in a container: one file, and its settings beside it as JSON. Pure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote.container_spec import ContainerParts, HostFile, Mount, Readiness

_FOLDER = "/etc/rackform"


def program_parts(  # noqa: PLR0913 - what a container is told
    program: Path,
    settings: Mapping[str, object],
    *,
    user: str,
    ready: Readiness,
    mounts: Sequence[Mount] = (),
    python: str = "python3",
    environment: Mapping[str, str] | None = None,
) -> ContainerParts:
    """Render `python PROGRAM settings.json`."""
    inside, told = f"{_FOLDER}/{program.name}", f"{_FOLDER}/settings.json"
    return ContainerParts(
        command=[python, inside, told],
        environment={"PYTHONUNBUFFERED": "1", **(environment or {})},
        user=user,
        files={
            inside: HostFile(content=program.read_text(encoding="utf-8"), mode=0o444),
            told: HostFile(content=json.dumps(settings, indent=1) + "\n", mode=0o444),
        },
        mounts=list(mounts),
        ready=ready,
    )
