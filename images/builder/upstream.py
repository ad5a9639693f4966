"""Images that somebody else builds: resolved to a digest and fetched by skopeo, never changed."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from images.builder.declaration import Upstream
from images.builder.lock_model import UpstreamImage
from images.builder.oci import Layer
from images.builder.store import Store, hash_file
from remote.errors import RackformError

RESOLVE_TIMEOUT_S = 120
FETCH_TIMEOUT_S = 3600


class _Upstream(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Platform(_Upstream):
    os: str
    architecture: str


class _Descriptor(_Upstream):
    digest: str
    size: int
    platform: _Platform | None = None


class _Document(_Upstream):
    """A manifest, or an index of one manifest a platform."""

    manifests: list[_Descriptor] = []
    config: _Descriptor | None = None
    layers: list[_Descriptor] = []


def resolve(declared: Upstream) -> UpstreamImage:
    """Ask the registry which manifest the tag names on this architecture.

    Raises:
        RackformError: the registry can't be reached, or has no such image.

    """
    raw = _inspect(declared, f"{declared.repository}:{declared.tag}")
    document = _parse(declared, raw)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if document.manifests:
        wanted = _Platform(os="linux", architecture="amd64")
        found = next((entry for entry in document.manifests if entry.platform == wanted), None)
        if found is None:
            raise RackformError(
                f"{declared.repository}:{declared.tag} has no image for linux/amd64: take another"
            )
        digest = found.digest
        document = _parse(declared, _inspect(declared, f"{declared.repository}@{digest}"))
    size = sum(layer.size for layer in document.layers)
    return UpstreamImage(version=declared.tag, digest=digest, size=size)


def fetch(declared: Upstream, locked: UpstreamImage, store: Store) -> tuple[str, list[Layer]]:
    """Put the locked image into the store, byte for byte; return its image ID and layers."""
    with store.scratch("upstream") as work:
        _skopeo(
            ["copy", "--quiet", "--preserve-digests",
             f"docker://{declared.repository}@{locked.digest}", f"dir:{work / 'image'}"],
            FETCH_TIMEOUT_S, declared,
        )  # fmt: skip
        manifest = work / "image" / "manifest.json"
        document = _parse(declared, manifest.read_bytes())
        assert document.config is not None  # noqa: S101 - parsed as a manifest of one image
        for blob in [document.config, *document.layers]:
            _take(work / "image" / blob.digest.removeprefix("sha256:"), blob.digest, store)
        _take(manifest, locked.digest, store)
    layers = [
        Layer(name=f"upstream-{number}", digest=blob.digest, size_bytes=blob.size, cached=False)
        for number, blob in enumerate(document.layers)
    ]
    return document.config.digest, layers


def _take(file: Path, digest: str, store: Store) -> None:
    if store.blob(digest).exists() and not store.problem(digest):
        return
    if hash_file(file) != digest:
        raise RackformError(
            f"{digest} came from the registry as {hash_file(file)}: the registry is not to be "
            "trusted; fetch from another"
        )
    store.take(file, digest)


def _parse(declared: Upstream, raw: bytes) -> _Document:
    try:
        document = _Document.model_validate_json(raw)
    except ValidationError:
        document = _Document()
    if document.config is None and not document.manifests:
        raise RackformError(f"{declared.repository} answers with no image manifest: take another")
    return document


def _inspect(declared: Upstream, reference: str) -> bytes:
    return _skopeo(
        ["inspect", "--raw", f"docker://{reference}"], RESOLVE_TIMEOUT_S, declared
    ).stdout


def _skopeo(
    arguments: list[str], timeout_s: float, declared: Upstream
) -> subprocess.CompletedProcess[bytes]:
    if not shutil.which("skopeo"):
        raise RackformError(
            "skopeo is missing, which fetches upstream images: 'apt-get install skopeo'"
        )
    try:
        done = subprocess.run(
            ["skopeo", *arguments], capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RackformError(
            f"{declared.repository} did not answer within {timeout_s:.0f} s: "
            "check that its registry can be reached"
        ) from None
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        reason = text.splitlines()[-1] if text else f"status {done.returncode}"
        raise RackformError(
            f"{declared.repository} can't be had from its registry ({_message(reason)}): make the "
            "registry reachable, here or on the machine that locks"
        )
    return done


def _message(line: str) -> str:
    """Return what skopeo's log line says."""
    _, _, quoted = line.partition(" msg=")
    try:
        return str(json.loads(quoted))
    except ValueError:
        return line
