"""Root file systems from exactly the locked Debian packages, offline."""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO

from images.builder import repository
from images.builder.declaration import Debian
from images.builder.layers import EPOCH, HashingWriter, LayerWriter, Owner
from images.builder.lock_model import DebianPackage
from remote.errors import RackformError

INSTALL_TIMEOUT_S = 900
UNREPRODUCIBLE = (
    "/etc/apt/sources.list",
    "/etc/machine-id",
    "/etc/resolv.conf",
    "/etc/hostname",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/etc/ssh/ssh_host_*",
)
"""What the packages' scripts leave that is one machine's own, or tells of where it was built."""


def install(
    debian: Debian, packages: list[DebianPackage], debs: dict[str, Path], work: Path, out: BinaryIO
) -> str:
    """Install the packages by mmdebstrap from a repository that holds nothing else.

    Returns:
        The sha256 of the tar written to `out`.

    """
    _need_root_and("mmdebstrap")
    folder = work / "repository"
    folder.mkdir()
    for package in packages:
        (folder / repository.file_name(package)).hardlink_to(debs[package.name])
    listing = repository.listing(packages, debs)
    (folder / "Packages").write_bytes(listing)
    # mmdebstrap finds the essential packages of a suite by its name, which only a Release tells.
    (folder / "Release").write_text(
        f"Suite: {debian.suite}\nCodename: {debian.suite}\nArchitectures: amd64\n"
        f"Date: Tue, 14 Nov 2023 22:13:20 UTC\nSHA256:\n"
        f" {hashlib.sha256(listing).hexdigest()} {len(listing)} Packages\n",
        encoding="utf-8",
    )
    tar = work / "root.tar"
    unwanted = " ".join(f'"$1"{path}' for path in UNREPRODUCIBLE)
    options = [
        "--mode=root",
        "--variant=essential",
        "--format=tar",
        f"--include={','.join(p.name for p in packages)}",
        "--aptopt=APT::Install-Recommends false",
        "--aptopt=Acquire::Languages none",
        "--dpkgopt=force-unsafe-io",
        *[f"--dpkgopt=path-exclude={path}/*" for path in debian.exclude],
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook=rm -f {unwanted}",
        '--customize-hook=: > "$1"/etc/machine-id',
        '--customize-hook=rm -rf "$1"/var/log/journal "$1"/var/cache/debconf/*-old',
        '--customize-hook=find "$1"/usr "$1"/opt -name __pycache__ -prune -exec rm -rf {} +',
    ]
    _run(
        ["mmdebstrap", *options, debian.suite, str(tar),
         f"deb [trusted=yes] copy://{folder} ./"],
        INSTALL_TIMEOUT_S,
    )  # fmt: skip
    writer = HashingWriter(out)
    with tar.open("rb") as handle:
        shutil.copyfileobj(handle, writer, 1 << 20)
    return writer.digest


def extract(
    debian: Debian, packages: list[DebianPackage], debs: dict[str, Path], root: Path
) -> None:
    """Unpack the packages into `root` over the merged-/usr links, without running anything."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    status = root / "var/lib/dpkg/status.d"  # where scanners look in images without dpkg
    status.mkdir(parents=True)
    excluded = [f"--exclude=.{folder}/*" for folder in debian.exclude]
    for package in packages:
        (status / package.name).write_text(f"{repository.control(debs[package.name])}\n")
        _untar(debs[package.name], root, excluded)
        with contextlib.suppress(RackformError):  # one without a licence of its own
            _untar(debs[package.name], root, ["--wildcards", "./usr/share/doc/*/copyright"])
    for name in ("proc", "sys", "dev", "tmp", "run", "etc"):
        (root / name).mkdir(exist_ok=True)


def _untar(deb: Path, root: Path, options: list[str]) -> None:
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    try:
        done = subprocess.run(
            ["tar", "--extract", "--directory", str(root), "--keep-directory-symlink",
             "--no-same-owner", "--same-permissions", *options],
            stdin=unpack.stdout, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        if unpack.stdout:
            unpack.stdout.close()
        unpack.wait()
    if done.returncode:
        raise RackformError(f"{deb} can't be unpacked: {done.stderr.strip()[-300:]}")


def write_extracted(root: Path, out: BinaryIO, bind_low_ports: list[str]) -> str:
    """Write the layer of an extracted root; some programs may open ports below 1024."""
    writer = LayerWriter(out)
    writer.folder("/tmp", Owner(mode=0o1777))  # noqa: S108 - the image's, as Debian has it
    writer.tree(root, "/", dict.fromkeys(bind_low_ports, Owner(bind_low_ports=True)))
    return writer.close()


def unpack_layers(layers: list[BinaryIO], root: Path) -> None:
    """Unpack tar layers over each other into `root`, with owners, modes and capabilities."""
    _need_root_and("tar")
    for layer in layers:
        done = subprocess.run(
            ["tar", "--extract", "--directory", str(root), "--numeric-owner", "--same-owner",
             "--same-permissions", "--xattrs", "--xattrs-include=*", "--exclude=./dev/*"],
            stdin=layer,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RackformError(f"a layer can't be unpacked into {root}: {done.stderr[-300:]}")


def _need_root_and(program: str) -> None:
    if os.geteuid() != 0:
        raise RackformError(f"{program} makes files of many owners: run as root")
    if not shutil.which(program):
        raise RackformError(f"{program} is missing: install it ('apt-get install {program}')")


def _run(command: list[str], timeout_s: float) -> None:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - mmdebstrap makes its own folder
    }
    before = os.umask(0o022)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise RackformError(
            f"{command[0]} did not end within {timeout_s:.0f} s: is the disk slow or full?"
        ) from None
    finally:
        os.umask(before)
    if done.returncode:
        if (full := os.strerror(errno.ENOSPC)) in done.stderr:
            raise RackformError(f"{command[0]} failed: {full}")
        told = [line for line in done.stderr.splitlines() if not line.startswith("E: ")]
        last = " | ".join(line[:300] for line in told[-12:])
        raise RackformError(f"{command[0]} failed: {last}")
