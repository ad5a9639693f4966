"""The unpacked base image, lower side of every host's overlay."""

from pathlib import Path

from images import builder
from lab.layout import Twin


def base(twin: Twin, digest: str) -> Path:
    """Return the root file system of the node image, unpacked once into the store."""
    return builder.unpack(digest, twin.store).resolve()
