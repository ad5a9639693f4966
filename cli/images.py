"""`./rackform lock` and `./rackform build`."""

from pydantic import BaseModel

from cli.console import err
from images import builder
from stack.errors import InputError
from stack.paths import locks_dir, store_dir


class Built(BaseModel):
    """What `build --json` prints."""

    digest: str
    image_id: str
    size_bytes: int
    seconds: float
    layers: dict[str, bool]


def _say(message: str) -> None:
    err.print(f"[dim]{message}[/]")


def write_locks(names: list[str]) -> None:
    """Resolve every variant of the named images, all when none is named."""
    for name in names or builder.names():
        for variant in builder.variants(name):
            change = builder.lock(name, variant, store_dir(), _say)
            err.print(f"{name}:{variant} {change}")


def build_image(name: str, variant: str | None) -> Built:
    """Build one image into the store, from its lock alone."""
    if name not in builder.names():
        raise InputError(f"{name} is no image: use one of {', '.join(builder.names())}")
    variants = builder.variants(name)
    if variant is None:
        variant = variants[0]
    if variant not in variants:
        raise InputError(f"{name} has no variant {variant}: use one of {', '.join(variants)}")
    built = builder.build(name, variant, store_dir(), _say, locks=locks_dir())
    return Built(
        digest=built.digest,
        image_id=built.image_id,
        size_bytes=built.size_bytes,
        seconds=round(built.seconds, 1),
        layers={layer.name: layer.cached for layer in built.layers},
    )
