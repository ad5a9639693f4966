"""What the container runs that embeds texts for the front-ends. Pure."""

import json
from pathlib import Path

from frontends.open_webui import PYTHON
from remote.container_spec import ContainerParts, HostFile, Mount, Readiness

NAME = "embeddings"
MODEL = "embeddings"
"""What its API calls the model, whichever it is."""
_PROGRAM, _SETTINGS = "/etc/rackform/embed.py", "/etc/rackform/settings.json"
_MODELS = "/srv/models"
_NOBODY = "65534:65534"
_THREADS = 2
"""A short text takes 10 ms by one core: more would only be taken from the models' ranks."""


def embeddings(address: str, port: int, folder: str) -> ContainerParts:
    """Render the container; `folder`: the weights' name below the nodes' models folder."""
    settings = {
        "address": address, "port": port, "folder": f"/models/{folder}",
        "model": MODEL, "threads": _THREADS,
    }  # fmt: skip
    program = (Path(__file__).parent / "files" / "embed.py").read_text(encoding="utf-8")
    return ContainerParts(
        command=[PYTHON, _PROGRAM, _SETTINGS],
        environment={"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"},
        files={
            _PROGRAM: HostFile(content=program, mode=0o444),
            _SETTINGS: HostFile(content=json.dumps(settings, indent=1) + "\n", mode=0o444),
        },
        mounts=[Mount(source=_MODELS, target="/models")],
        user=_NOBODY,
        ready=Readiness(kind="tcp", target=[address, str(port)], timeout_s=180),
    )
