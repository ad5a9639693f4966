"""`./rackform lock` and `./rackform build`."""

from collections.abc import Sequence
from fnmatch import fnmatch

from pydantic import BaseModel, ConfigDict
from rich.markup import escape

from cli.console import err
from images import builder
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site, read_stack
from stack.paths import store_dir

DEFAULT = "default"


class BuiltLayer(BaseModel):
    """One layer of what `build --json` prints."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    size_bytes: int
    cached: bool


class Built(BaseModel):
    """What `build --json` prints."""

    model_config = ConfigDict(frozen=True)

    digest: str
    image_id: str
    input_hash: str
    size_bytes: int
    seconds: float
    layers: list[BuiltLayer]


def say(message: str) -> None:
    err.print(f"[dim]{escape(message)}[/]")


def write_locks(names: Sequence[str], upgrade: Sequence[str]) -> None:
    """Resolve every variant of the named images, all when none is named.

    Raises:
        InputError: there is no such image, or no locked package that `upgrade` names.
        RackformError: some of them could not be resolved; the others are locked.

    """
    wanted = [
        (name, variant)
        for name in names or builder.names()
        for variant in builder.variants(known(name))
    ]
    _check_upgrade(wanted, upgrade)
    failed: list[str] = []
    for name, variant in wanted:
        try:
            change = builder.lock(name, variant, store_dir(), say, upgrade)
        except RackformError as error:
            if len(wanted) == 1:
                raise
            failed.append(f"{name}/{variant}")
            err.print(f"[red]{name}/{variant}[/] {escape(str(error))}")
            continue
        lines = change.lines()
        err.print(f"[bold]{name}/{variant}[/]{'' if lines else ' as it was'}")
        for line in lines:
            err.print(f"  {escape(line)}")
    if failed:
        raise RackformError(f"{', '.join(failed)} could not be locked, as told above")


def _check_upgrade(wanted: Sequence[tuple[str, str]], upgrade: Sequence[str]) -> None:
    locks = [lock for kind in wanted if (lock := builder.locked(*kind))]
    held = {pin.partition("/")[2] for lock in locks for pin in lock.pins()}
    for pattern in upgrade:
        if not any(fnmatch(name, pattern) for name in held):
            images = ", ".join(sorted({name for name, _ in wanted}))
            raise InputError(
                f"--upgrade {pattern}, but no lock of {images} holds such a package: correct its "
                "name; a new one goes into image.toml or the requirements"
            )


def build_image(name: str, variant: str | None, stack: str) -> Built:
    """Build one image into the store, from its lock alone.

    Args:
        name: folder under `images/`.
        variant: `default`, or its first one, if not given.
        stack: its site may name a snapshot mirror.

    Raises:
        InputError: there is no such image, or its lock doesn't hold.

    """
    variants = builder.variants(known(name))
    if variant is None:
        variant = DEFAULT if DEFAULT in variants else variants[0]
    if variant not in variants:
        raise InputError(f"{name} has no variant {variant}: use one of {', '.join(variants)}")
    snapshot = load_site(read_stack(stack)).images.debian_snapshot
    sources = builder.Sources(snapshot=snapshot)
    built = builder.build(name, variant, store_dir(), say, sources)
    return Built(
        digest=built.digest,
        image_id=built.image_id,
        input_hash=built.input_hash,
        size_bytes=built.size_bytes,
        seconds=round(built.seconds, 1),
        layers=[BuiltLayer(**layer.model_dump()) for layer in built.layers],
    )


def known(name: str) -> str:
    """Return the name if it is an image's.

    Raises:
        InputError: it is none's.

    """
    if name not in builder.names():
        raise InputError(f"{name} is no image: use one of {', '.join(builder.names())}")
    return name


def sbom(name: str, variant: str | None, stack: str) -> str:
    """Return an image's software bill of materials, building the image if the store lacks it.

    Raises:
        InputError: there is no such image, or it comes from upstream as it is.

    """
    built = build_image(name, variant, stack)
    text = builder.sbom_document(built.input_hash, store_dir())
    if text is None:
        raise InputError(
            f"{name} is taken from upstream as it is, without a list of what is in it: "
            "ask its makers for one"
        )
    return text
