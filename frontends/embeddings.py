"""What the container runs that embeds texts for the front-ends. Pure."""

from pathlib import Path

from frontends.open_webui import PYTHON
from remote import host_folders
from remote.container_spec import ContainerParts, Mount, Readiness
from remote.program_parts import program_parts

NAME = "embeddings"
MODEL = "embeddings"
"""What its API calls the model, whichever it is."""
_NOBODY = "65534:65534"
_THREADS = 2
"""A short text takes 10 ms by one core: more would only be taken from the models' ranks."""


def embeddings(address: str, port: int, folder: str) -> ContainerParts:
    """Render the container; `folder`: the weights' name below the nodes' models folder."""
    settings = {
        "address": address, "port": port, "folder": f"/models/{folder}",
        "model": MODEL, "threads": _THREADS,
    }  # fmt: skip
    return program_parts(
        Path(__file__).parent / "files" / "embed.py",
        settings,
        python=PYTHON,
        environment={"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        user=_NOBODY,
        mounts=[Mount(source=host_folders.MODELS, target="/models")],
        ready=Readiness(kind="tcp", target=[address, str(port)], timeout_s=180),
    )
