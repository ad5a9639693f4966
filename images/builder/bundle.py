"""One tar of many files, bit for bit the same for the same files, with their checksums in front."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from images.builder import index, oci
from images.builder.layers import LayerWriter
from images.builder.store import Store, hash_file
from remote.errors import RackformError

EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
"""The digest of `{}`, the configuration of an artifact that has none."""


def write(out: BinaryIO, contents: bytes, files: Mapping[str, Path]) -> str:
    """Write `bundle.json`, `SHA256SUMS` and the files, sorted; return the digest of it all."""
    sums = {name: hash_file(path) for name, path in files.items()}
    sums["bundle.json"] = f"sha256:{hashlib.sha256(contents).hexdigest()}"
    listing = "".join(f"{d.removeprefix('sha256:')}  {n}\n" for n, d in sorted(sums.items()))
    with tempfile.TemporaryDirectory() as folder:
        writer = LayerWriter(out)
        for name, text in (("bundle.json", contents), ("SHA256SUMS", listing.encode())):
            path = Path(folder, name)
            path.write_bytes(text)
            writer.file(name, path)
        for name, path in sorted(files.items()):
            writer.file(name, path)
        return writer.close()


def stored_files(input_hash: str, store: Store) -> list[tuple[str, Path]]:
    """Return what of the store one image is made of: path in the store → file."""
    image = index.indexed(store.path, input_hash)
    if image is None:
        raise RackformError(f"the store has no image {input_hash[:12]}: build it first")
    manifest = oci.read_manifest(image.digest, store)
    blobs = {image.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)}
    if image.sbom and image.sbom_manifest:
        blobs |= {image.sbom, image.sbom_manifest, EMPTY}
    names = [f"blobs/sha256/{blob.removeprefix('sha256:')}" for blob in sorted(blobs)]
    names += [f"index/{input_hash}.json", f"lockfiles/{image.lock_sha256}.json"]
    names += [f"layers/{key}.json" for key in image.layer_keys]
    return [(name, store.path / name) for name in names]
