"""What an image is declared to be: `images/<name>/image.toml`, which runs no command."""

import hashlib
import json
import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from stack.errors import InputError

IMAGES = Path(__file__).resolve().parent.parent
DECLARATION = "image.toml"
LOCK = "lock.json"
DEFAULT_VARIANT = "default"


class Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Method(StrEnum):
    """How Debian packages become a root file system."""

    INSTALL = "install"
    """A whole Debian by mmdebstrap: essential packages, maintainer scripts, dpkg's database."""
    EXTRACT = "extract"
    """Only the files of the packages and of what they depend on: no shell, no scripts."""


class Debian(Declared):
    suite: str = "bookworm"
    method: Method = Method.INSTALL
    packages: list[str]
    also: list[str] = Field(default=[], description="packages that a variant has beside them")
    without: dict[str, str] = Field(
        default={},
        description="dependency that is left out → why nothing here needs it",
    )
    exclude: list[str] = Field(
        default=["/usr/share/doc", "/usr/share/info", "/usr/share/locale", "/usr/share/man"],
        description="folders of the packages that are left out; licences stay",
    )


class Trim(Declared):
    """Files of the wheels that are left out, and why that is safe."""

    globs: list[str]
    reason: str


class Stub(Declared):
    """A library in place of one that is never called, so that the loader finds its symbols."""

    soname: str
    symbols: str = Field(
        description="regular expression over the symbols the kept libraries import"
    )
    defined_by: list[str] = Field(
        default=[], description="if given: only symbols that these dropped libraries define"
    )


class Stubs(Declared):
    """Libraries that are dropped, and the stubs that stand in for them and for absent packages."""

    folder: str = Field(description="folder under site-packages")
    drop: list[str]
    users: list[str] = Field(description="kept libraries whose imports the stubs satisfy")
    libraries: list[Stub]
    reason: str


class Group(Declared):
    """Packages that get a layer of their own, since they change together and rarely."""

    name: str
    wheels: list[str] = Field(description="name patterns")


class Python(Declared):
    """A virtual environment made from wheels alone."""

    version: str
    prefix: str = "/opt/venv"
    requirements: str = "requirements.in"
    overrides: str | None = None
    layers: list[Group] = Field(
        default=[], description="those that change least first; the rest is one layer"
    )
    trims: list[Trim] = []
    stubs: Stubs | None = None
    strip: list[str] = Field(default=[], description="libraries whose local symbols are dropped")


class User(Declared):
    name: str
    uid: int
    home: str = "/"


class Upstream(Declared):
    """An image that somebody else builds; the lock pins its digest."""

    repository: str = Field(description="registry and name, as in docker.io/redis")
    tag: str = Field(description="what `rackform lock` asks for")


class Variant(Declared):
    """What an image is; a table under `variants` says only what differs from the whole."""

    debian: Debian | None = None
    upstream: Upstream | None = Field(
        default=None, description="instead of everything below but labels: taken as it is"
    )
    tools: list[str] = Field(
        default=[],
        description="Debian packages that the builder itself runs, locked like the rest",
    )
    python: Python | None = None
    files: dict[str, str] = Field(default={}, description="path in the folder → path in the image")
    folders: dict[str, int] = Field(default={}, description="folder in the image → owner's uid")
    bind_low_ports: list[str] = Field(
        default=[],
        description="programs that may open ports below 1024 without being root (extract only)",
    )
    user: User | None = None
    env: dict[str, str] = {}
    entrypoint: list[str] = []
    cmd: list[str] = []
    workdir: str = "/"
    volumes: list[str] = []
    ports: list[str] = []
    labels: dict[str, str] = {}
    stop_signal: str | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> "Variant":
        if (self.debian is None) == (self.upstream is None):
            raise ValueError("an image is either made from [debian] or taken from [upstream]")
        given = self.model_fields_set - {"upstream", "labels"}
        if self.upstream and given:
            raise ValueError(f"{min(given)} can't be set for an image that is taken from upstream")
        return self


class Definition(Declared):
    """One variant of one image with the checksums of all that defines it."""

    name: str
    variant: str
    spec: Variant
    files: dict[str, str] = Field(description="path in the image's folder → sha256")
    checksum: str = Field(description="sha256 over the declaration and its files")
    declared: dict[str, JsonValue] = Field(description="what the checksum is over")

    @property
    def folder(self) -> Path:
        return IMAGES / self.name


def names() -> list[str]:
    """Return the images that are declared."""
    return sorted(p.parent.name for p in IMAGES.glob(f"*/{DECLARATION}"))


def variants(name: str) -> list[str]:
    """Return the variants of an image; one without any has the variant `default`."""
    return sorted(_declared(name)[1])


def load(name: str, variant: str) -> Definition:
    """Read and check one variant of one image."""
    raw, tables = _declared(name)
    if variant not in tables:
        known = ", ".join(sorted(tables))
        raise InputError(f"image {name} has no variant {variant!r}: choose one of {known}")
    merged = _merge(raw, tables[variant])
    try:
        spec = Variant.model_validate(merged)
    except ValidationError as error:
        where = "; ".join(map(_sentence, error.errors()))
        raise InputError(f"images/{name}/{DECLARATION} (variant {variant}): {where}") from None
    files = _checksums(name, spec)
    declared: dict[str, JsonValue] = {
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
        "files": dict[str, JsonValue](files),
    }
    canonical = json.dumps({"name": name, "variant": variant, **declared}, sort_keys=True)
    return Definition(
        name=name,
        variant=variant,
        spec=spec,
        files=files,
        checksum=hashlib.sha256(canonical.encode()).hexdigest(),
        declared=declared,
    )


def _sentence(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path} is no setting of an image: correct its name, or take it out"
    return f"{path}: {error['msg']}".removeprefix(": ")


def _declared(name: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return what an image declares for all variants, and the variants' own tables."""
    path = IMAGES / name / DECLARATION
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(names())
        raise InputError(f"there is no image {name!r}: choose one of {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"images/{name}/{DECLARATION} is not TOML: {error}") from None
    return raw, raw.pop("variants", {}) or {DEFAULT_VARIANT: {}}


def _merge(base: dict[str, object], over: object) -> dict[str, object]:
    """Lay a variant's table over the image's: tables are joined, anything else is replaced."""
    if not isinstance(over, dict):
        raise InputError(f"a variant is a table, not {over!r}")
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) else value
    return merged


def _checksums(name: str, spec: Variant) -> dict[str, str]:
    folder = IMAGES / name
    paths = [folder / source for source in spec.files]
    if spec.python:
        paths.append(folder / spec.python.requirements)
        if spec.python.overrides:
            paths.append(folder / spec.python.overrides)
    found: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise InputError(
                f"images/{name}/{path.relative_to(folder)} is declared in {DECLARATION}, "
                "but there is no such file: add it, or take it out of the declaration"
            )
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                relative = file.relative_to(folder).as_posix()
                found[relative] = hashlib.sha256(file.read_bytes()).hexdigest()
    return dict(sorted(found.items()))
