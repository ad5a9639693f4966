"""Which wheels an environment is made of: chosen by uv, pinned to the one file that fits."""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from images.builder.declaration import Python
from images.builder.lock_model import Wheel
from images.builder.wheel_files import settle
from remote.errors import RackformError

GLIBC_MINOR = 36
"""Debian 12's: a wheel may ask for at most this."""
UV_PLATFORM = f"x86_64-manylinux_2_{GLIBC_MINOR}"
COMPILE_TIMEOUT_S = 600
INSTALL_TIMEOUT_S = 1800


def resolve(python: Python, folder: Path, keep: Mapping[str, str]) -> list[Wheel]:
    """Resolve requirements to wheels, sorted by name; versions in `keep` stay where they fit.

    Raises:
        RackformError: they contradict each other, or something has no wheel for the image.

    """
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "pylock.toml"
        if keep:  # uv prefers what the file that it writes held before
            out.write_text(_preferred(keep), encoding="utf-8")
        overrides = ["--overrides", str(folder / python.overrides)] if python.overrides else []
        run_uv(
            ["pip", "compile", "--quiet", "--format", "pylock.toml", "--no-header",
             "--only-binary", ":all:", "--python-version", python.version,
             "--python-platform", UV_PLATFORM, *overrides, "--output-file", str(out),
             str(folder / python.requirements)],
            COMPILE_TIMEOUT_S,
            purpose=f"images/{folder.name}/{python.requirements} can't be resolved: correct it",
        )  # fmt: skip
        document = tomllib.loads(out.read_text(encoding="utf-8"))
    ranks = {tag: rank for rank, tag in enumerate(_tags(python.version))}
    found = []
    for package in document["packages"]:
        fitting = []
        for wheel in package.get("wheels", []):
            file = wheel.get("name") or wheel["url"].rsplit("/", 1)[1]
            file = file.replace("%2B", "+")
            tags = parse_wheel_filename(file)[3] & ranks.keys()
            if tags:
                fitting.append((min(ranks[tag] for tag in tags), file, wheel))
        if not fitting:
            raise RackformError(
                f"{package['name']} {package['version']} has no wheel for Python {python.version} "
                f"on glibc 2.{GLIBC_MINOR}: take another version"
            )
        _, file, wheel = min(fitting, key=lambda entry: entry[:2])
        found.append(
            Wheel(
                name=package["name"],
                version=package["version"],
                file=file,
                sha256=wheel["hashes"]["sha256"],
                size=wheel.get("size", 0),
            )
        )
    return sorted(found, key=lambda wheel: wheel.name)


def install(wheels: list[Wheel], version: str, target: Path) -> None:
    """Unpack exactly these wheels into `target`, checked against their hashes.

    Raises:
        RackformError: a wheel is not the locked one, or a file not what its wheel holds.

    """
    pinned: dict[str, Wheel] = {canonicalize_name(wheel.name): wheel for wheel in wheels}

    def alone(package: str, folder: Path, *, cached: bool) -> None:
        _unpack([pinned[package]], version, folder, *([] if cached else ["--no-cache"]))

    _unpack(wheels, version, target)
    settle(target, alone)


def _unpack(wheels: Sequence[Wheel], version: str, target: Path, *options: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        pins = Path(work) / "requirements.txt"
        pins.write_text(
            "".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels),
            encoding="utf-8",
        )
        run_uv(
            ["pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary",
             ":all:", "--python-version", version, "--python-platform", UV_PLATFORM,
             "--target", str(target), "--requirement", str(pins), *options],
            INSTALL_TIMEOUT_S,
        )  # fmt: skip


def _preferred(keep: Mapping[str, str]) -> str:
    listed = "".join(f'[[packages]]\nname = "{n}"\nversion = "{v}"\n' for n, v in keep.items())
    return f'lock-version = "1.0"\ncreated-by = "uv"\n{listed}'


def run_uv(arguments: list[str], timeout_s: float, purpose: str | None = None) -> None:
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise RackformError("uv is missing: run ./rackform, which installs it into .venv")
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RackformError(
            f"uv {arguments[1]} did not end within {timeout_s:.0f} s: "
            "check that the Python index can be reached"
        ) from None
    if done.returncode:
        raise RackformError(
            f"{purpose or f'uv {arguments[1]} failed'}: {done.stderr.strip()[-1500:]}"
        )


def _tags(version: str) -> list[Tag]:
    major, minor = (int(part) for part in version.split("."))
    platforms = [f"manylinux_2_{n}_x86_64" for n in range(GLIBC_MINOR, 16, -1)]
    platforms += ["manylinux2014_x86_64"]
    platforms += [f"manylinux_2_{n}_x86_64" for n in range(16, 4, -1)]
    platforms += ["manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    interpreter = f"cp{major}{minor}"
    return [
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), interpreter=interpreter, platforms=platforms),
    ]
