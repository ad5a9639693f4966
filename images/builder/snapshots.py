"""Debian packages that the mirrors no longer have, from an archive of every version there was.

The archive is one that speaks as Debian's snapshot service: `/mr/binary/…`, `/file/…`.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from images.builder.lock_model import DebianPackage
from remote.errors import RackformError

TIMEOUT = httpx.Timeout(30, read=300)


class _File(BaseModel):
    architecture: str
    hash: str


class _Files(BaseModel):
    result: list[_File]


def download(packages: Sequence[DebianPackage], mirror: str, folder: Path) -> list[DebianPackage]:
    """Fetch exactly these versions into `folder`; return those that the archive lacks.

    What was fetched is not yet checked: the caller holds it to the lock's sha256.

    Raises:
        RackformError: the archive can't be reached, or doesn't speak its API.

    """
    try:
        with httpx.Client(
            base_url=mirror.rstrip("/") + "/", timeout=TIMEOUT, follow_redirects=True
        ) as client:
            return [package for package in packages if not _fetch(client, package, folder)]
    except (httpx.HTTPError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RackformError(
            f"images.debian_snapshot = {mirror}, but it doesn't answer as an archive of Debian "
            f"packages ({reason}): correct the address, or take the setting out"
        ) from None


def _fetch(client: httpx.Client, package: DebianPackage, folder: Path) -> bool:
    listed = client.get(f"mr/binary/{quote(package.name)}/{quote(package.version)}/binfiles")
    if listed.status_code == httpx.codes.NOT_FOUND:
        return False
    files = _Files.model_validate_json(listed.raise_for_status().content).result
    chosen = next((file for file in files if file.architecture == package.arch), None)
    if chosen is None:
        return False
    with client.stream("GET", f"file/{chosen.hash}") as answer:
        answer.raise_for_status()
        with (folder / package.file_name).open("wb") as out:
            for data in answer.iter_bytes():
                out.write(data)
    return True
