"""Where the twin keeps its things, and what its machines may be called."""

import contextlib
import fcntl
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.errors import RackformError

NAME_MAX = 60
"""nspawn's machine names have at most 64 characters, of which `rf-` takes three."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check_name(name: str) -> str:
    """Return `name` if it can be a host name, a folder and a namespace at once, else refuse it."""
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise RackformError(
            f"the twin can't make a machine called '{name}': a name has at most {NAME_MAX} "
            "characters, small letters, digits and inner hyphens; rename it in the site"
        )
    return name


@dataclass(frozen=True)
class Twin:
    """The twin of one checkout.

    Attributes:
        state: the checkout's state folder; the twin is in `twin/` below it.
        store: the store of images, on the same file system where layers are to be shared.

    """

    state: Path
    store: Path

    @property
    def path(self) -> Path:
        return self.state / "twin"

    @property
    def nodes(self) -> Path:
        return self.path / "nodes"

    @property
    def switches(self) -> Path:
        return self.path / "switches"

    def node(self, name: str) -> Path:
        return self.nodes / check_name(name)

    def switch(self, name: str) -> Path:
        return self.switches / check_name(name)

    def host_key(self, name: str) -> Path:
        """Return where the private host key of a machine is; it outlives the machine."""
        return self.path / "host-keys" / check_name(name)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the twin's lock `name`: machines are made side by side by several processes."""
        folder = self.path / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
