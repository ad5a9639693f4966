"""Puts an image into a registry by the distribution API: no daemon, no password in an argument."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx

from images.builder import oci
from images.builder.store import CHUNK, Blob, Store
from remote.errors import RackformError

TIMEOUT = httpx.Timeout(30, read=300, write=300)


@dataclass(frozen=True)
class Target:
    address: str
    ca: str
    user: str
    password: str = field(repr=False)


def push(
    store: Store,
    digest: str,
    target: Target,
    progress: Callable[[str], None] | None,
    repository: str | None,
) -> str:
    manifest = oci.read_manifest(digest, store)
    name = repository or manifest.name
    tell = progress or (lambda _: None)
    context = ssl.create_default_context(cadata=target.ca)
    try:
        with httpx.Client(
            base_url=f"https://{target.address}/v2/{name}/",
            auth=(target.user, target.password),
            verify=context,
            timeout=TIMEOUT,
            trust_env=False,
        ) as client:
            for blob in [*manifest.layers, manifest.config]:
                _put_blob(client, store, blob, tell)
            _put_manifest(client, store, manifest)
    except httpx.TransportError as error:
        raise RackformError(
            f"registry {target.address} can't be reached ({error}): "
            "is its container running ('docker ps' on its node)?"
        ) from None
    return f"{target.address}/{name}@{digest}"


def _put_blob(client: httpx.Client, store: Store, blob: Blob, tell: Callable[[str], None]) -> None:
    found = client.head(f"blobs/{blob.digest}")
    if found.status_code == httpx.codes.OK:
        return
    if found.status_code != httpx.codes.NOT_FOUND:
        _refuse(found)
    tell(f"pushing {blob.digest[:19]} ({blob.size / 1e6:.0f} MB)")
    begun = client.post("blobs/uploads/", headers={"Content-Length": "0"})
    if begun.status_code != httpx.codes.ACCEPTED:
        _refuse(begun)
    where = httpx.URL(urljoin(str(begun.url), begun.headers["Location"]))
    done = client.put(
        where.copy_merge_params({"digest": blob.digest}),
        content=_chunks(store, blob),
        headers={"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"},
    )
    if done.status_code != httpx.codes.CREATED:
        _refuse(done)


def _put_manifest(client: httpx.Client, store: Store, manifest: oci.Manifest) -> None:
    with store.open(manifest.digest) as handle:
        done = client.put(
            f"manifests/{manifest.digest}",
            content=handle.read(),
            headers={"Content-Type": manifest.media_type},
        )
    if done.status_code != httpx.codes.CREATED:
        _refuse(done)
    found = client.head(f"manifests/{manifest.digest}", headers={"Accept": manifest.media_type})
    if found.headers.get("Docker-Content-Digest") != manifest.digest:
        _refuse(found)


def _chunks(store: Store, blob: Blob) -> Iterator[bytes]:
    with store.open(blob.digest) as handle:
        while data := handle.read(CHUNK):
            yield data


def _refuse(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise RackformError(
            f"registry {response.url.host} refuses the login: it was set up with another password; "
            "run './rackform up' again"
        )
    raise RackformError(
        f"registry {response.url.host}:{response.url.port} answered {response.status_code} to "
        f"{response.request.method} {response.url.path}: {response.text[:200]}"
    )
