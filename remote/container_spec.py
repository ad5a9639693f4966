"""What one container is declared to be, and how that differs from what runs. Pure."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LABEL = "rackform.config"
HOST_FOLDER = "/etc/rackform/containers"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Registry(Frozen):
    """The site's registry. Its CA is trusted by the node's Docker already (docker_engine)."""

    address: str
    ca_certificate: str
    user: str
    password: str


class Mount(Frozen):
    source: str
    target: str
    read_only: bool = True


TRUSTED = Mount(source="/etc/ssl/certs", target="/etc/ssl/certs")
"""The authorities that the host trusts, its owner's own among them: our images hold none, and
`base` sees that the host does.
"""


class HostFile(Frozen):
    """A file that lies on the host for one container and is mounted into it read-only."""

    content: str
    mode: int = 0o400


class Readiness(Frozen):
    """tcp: [address, port], asked on the node; exec: a command in the container that exits 0."""

    kind: Literal["tcp", "exec"]
    target: list[str]
    timeout_s: int = 60


class ContainerParts(Frozen):
    """The part of a container's declaration that the program in it decides; pure code renders it.

    Secrets stand in it as placeholders: see `components.secrets`.
    """

    command: list[str]
    environment: dict[str, str] = {}
    files: dict[str, HostFile] = Field(default={}, description="path in the container → file")
    mounts: list[Mount] = []
    devices: list[str] = []
    capabilities: list[str] = []
    ulimits: dict[str, int] = {}
    ipc_host: bool = False
    user: str | None = Field(default=None, description="uid:gid; None: as the image says")
    ready: Readiness | None = None


class ContainerSpec(Frozen):
    """One container with the host's network, restarted unless it was stopped by hand.

    `image` is a reference by digest (registry/name@sha256:…), `image_id` the digest of the image's
    configuration: the id by which Docker knows it wherever it came from.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    image: str
    image_id: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    registry: Registry | None = None
    command: list[str]
    environment: dict[str, str] = {}
    mounts: list[Mount] = []
    files: dict[str, HostFile] = {}
    devices: list[str] = []
    gpus: bool = False
    capabilities: list[str] = []
    ulimits: dict[str, int] = {}
    ipc_host: bool = False
    user: str | None = None
    ready: Readiness | None = None

    def folder(self) -> str:
        """Return the folder on the host that holds this container's files."""
        return f"{HOST_FOLDER}/{self.name}"

    def host_path(self, path: str) -> str:
        """Return where the host keeps the file that the container sees at `path`."""
        return host_path(self.name, path)


def host_path(container: str, path: str) -> str:
    """Return where the host keeps the file that a container sees at `path`."""
    return f"{HOST_FOLDER}/{container}/files/{path.lstrip('/')}"


def fields(spec: ContainerSpec, salt: str) -> dict[str, str]:
    """Return what must stay the same for a container to be kept: name of the field → keyed hash.

    Only hashes leave this function, so that the container's label tells what changed and no
    secret. The key (`salt`) is a container's own: equal passwords do not show as equal.
    """
    named: dict[str, object] = {
        "command": spec.command,
        "devices": sorted(spec.devices),
        "gpus": spec.gpus,
        "capabilities": sorted(spec.capabilities),
        "ulimits": spec.ulimits,
        "ipc_host": spec.ipc_host,
        "user": spec.user,
    }
    named |= {f"environment {name}": value for name, value in spec.environment.items()}
    named |= {f"mount {m.target}": [m.source, m.read_only] for m in spec.mounts}
    named |= {f"file {path}": [f.content, f.mode] for path, f in spec.files.items()}
    return {name: _keyed(salt, value) for name, value in sorted(named.items())}


def label(spec: ContainerSpec) -> str:
    """Return the label's text for a new container, under a new random key."""
    salt = secrets.token_hex(8)
    return json.dumps({"salt": salt, "fields": fields(spec, salt)}, sort_keys=True)


def changed_fields(spec: ContainerSpec, label_text: str | None) -> list[str]:
    """Return a sentence for each field in which a running container's label differs."""
    try:
        noted = json.loads(label_text or "")
        salt, before = noted["salt"], noted["fields"]
    except (ValueError, KeyError, TypeError):
        return ["made by another hand: it has no readable label of ours"]
    return _compare(fields(spec, salt), before)


def changed_files(spec: ContainerSpec, found: Mapping[str, tuple[str, int]]) -> list[str]:
    """Compare the host's files (path on the host → sha256, mode) with the declared ones."""
    differing = []
    for path, file in sorted(spec.files.items()):
        on_host = found.get(spec.host_path(path))
        if on_host is None:
            differing.append(f"file {path}: missing on the host")
        elif on_host != (hashlib.sha256(file.content.encode()).hexdigest(), file.mode):
            differing.append(f"file {path}: altered on the host")
    return differing


def _compare(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    sentences = [f"{name}: new" for name in now if name not in before]
    sentences += [f"{name}: gone" for name in before if name not in now]
    sentences += [
        f"{name}: changed" for name in now if name in before and now[name] != before[name]
    ]
    return sorted(sentences)


def _keyed(salt: str, value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]
