"""A host's root: an overlay whose lower side is the unpacked base image."""

from pathlib import Path

from lab.shell import remove_tree, run
from remote.errors import RackformError

MOUNTS = Path("/proc/self/mounts")


def unescape(word: str) -> str:
    """Undo the kernel's octal escapes (blank, tab, newline, backslash) in a mount table."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, char)
    return word


def mounts_below(folder: Path) -> list[Path]:
    """Return what is mounted in or at `folder`, the innermost first."""
    top = folder.resolve()
    points = [Path(unescape(line.split()[1])) for line in MOUNTS.read_text().splitlines()]
    return [p for p in reversed(points) if p == top or top in p.parents]


def mount(folder: Path, lower: Path) -> Path:
    """Mount the overlay of the host in `folder` at root/, unless it is, and return that.

    The options hold paths relative to `folder`: a colon or comma in a path would end one.
    """
    root = folder / "root"
    for name in ("up", "work", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if root.resolve() in mounts_below(folder):
        return root
    short = folder / "base"
    short.unlink(missing_ok=True)
    short.symlink_to(lower)
    run(
        [
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            "lowerdir=base,upperdir=up,workdir=work",
            "root",
        ],
        purpose=f"mount the root of the host in {folder}",
        cwd=folder,
    )
    return root


def unmount(folder: Path) -> None:
    """Unmount all that is mounted in `folder`."""
    for point in mounts_below(folder):
        run(["umount", "--lazy", point], purpose=f"unmount {point}")


def discard(folder: Path, *names: str) -> None:
    """Unmount what is in `folder` and remove it (or only these parts of it)."""
    unmount(folder)
    if mounts_below(folder):
        raise RackformError(f"something is still mounted in {folder}: unmount it and try again")
    for path in [folder / name for name in names] if names else [folder]:
        remove_tree(path)


def ensure_nspawn_folder() -> None:
    """Give nspawn its runtime folder on a tmpfs: it refuses a reboot where /run is on a disk."""
    folder = Path("/run/systemd/nspawn")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_dev == Path("/").stat().st_dev:
        run(
            ["mount", "-t", "tmpfs", "-o", "mode=755", "rackform", folder],
            purpose=f"mount a tmpfs at {folder}",
        )


def remove_nspawn_folder() -> None:
    """Take back the tmpfs of `ensure_nspawn_folder`, unless something uses it."""
    point = "/run/systemd/nspawn"
    for line in MOUNTS.read_text().splitlines():
        if line.split()[:2] == ["rackform", point]:
            run(["umount", "--lazy", point], purpose=f"unmount {point}")
