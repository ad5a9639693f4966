"""What stays on a host when everything else is as it was, told with its size."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from typing_extensions import override

from pyinfra_deploys.operations.before import BEFORE
from pyinfra_deploys.operations.record import Entry
from pyinfra_deploys.operations.script import Script
from remote.host_folders import DATA, MODELS

_KIB = 1024
_SCRIPT = """
for d in %s/* %s/*; do [ -d "$d" ] && [ "$d" != %s ] && echo "folder $(du -sk "$d" | cut -f1) $d"
done
docker image ls -q --no-trunc 2>/dev/null | sort -u |
  xargs -r docker image inspect -f 'image {{.Size}} {{join .RepoDigests " "}}' 2>/dev/null
[ -e %s/entries ] && echo recorded
true
"""


@dataclass(frozen=True)
class Left:
    folders: tuple[tuple[str, int], ...] = ()
    """With their size in KiB."""
    images: tuple[tuple[str, int], ...] = ()
    """References of Docker's images, with their size in bytes."""
    recorded: bool = False
    """A record of changes is there."""


class LeftBehind(FactBase[Left]):
    """Data folders, weights and images on a host; empty ones aren't worth a word."""

    @override
    def command(self) -> str:
        return _SCRIPT % (DATA, MODELS, BEFORE, BEFORE)

    @staticmethod
    @override
    def default() -> Left:
        return Left()

    @override
    def process(self, output: list[str]) -> Left:
        folders, images = [], []
        for line in output:
            kind, _, rest = line.partition(" ")
            size, _, name = rest.partition(" ")
            if kind == "folder" and int(size) > 4:  # noqa: PLR2004 - KiB of an empty folder
                folders.append((name, int(size)))
            elif kind == "image":
                images.append((name, int(size)))
        return Left(tuple(folders), tuple(images), recorded="recorded" in output)


def told(found: Left, packages: Sequence[Entry], registry: str | None) -> list[str]:
    """Return a line for each kind of thing that stays, and how to be rid of it."""
    lines = []
    installed = [
        each for each in packages if each.get("now") == _INSTALLED and each.get("was") != _INSTALLED
    ]
    if installed:
        names = " ".join(sorted(each.target for each in installed))
        size = sum(int(each.get("kib") or 0) for each in installed)
        lines.append(
            f"packages, {_size(size)} beside what they need: {names} "
            f"(apt-get purge --autoremove {names})"
        )
    lines += [
        f"package {each.target} {each.get('now-version')}, which was {each.get('version')}"
        for each in packages
        if each.get("was") == each.get("now") == _INSTALLED
        and each.get("now-version") != each.get("version")
    ]
    ours = [image for image in found.images if registry and f"{registry}/" in image[0]]
    if ours:
        size = sum(image[1] for image in ours) // _KIB
        lines.append(f"{len(ours)} images of {registry}, {_size(size)} (docker image rm)")
    lines += [f"{name}, {_size(size)} (rm -r {name})" for name, size in found.folders]
    return lines


_INSTALLED = "installed"


def _size(kib: int) -> str:
    gib = kib / _KIB**2
    return f"{gib:.1f} GiB" if gib >= 1 else f"{kib / _KIB:.1f} MiB"


@operation()
def leave(lines: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Tell what stays, and end the record."""
    stays = "; ".join(lines) or "nothing"
    yield Script(f"left on the host: {stays}", f"rm -rf {BEFORE}")
