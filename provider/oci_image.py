"""An image from its lock, in the store and in the site's registry."""

from collections.abc import Callable, Mapping

from images import builder
from provider.inputs import OciImageInputs
from provider.outputs import OciImageOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import UNKNOWN, Plain
from stack.paths import locks_dir, store_dir

OciImageState = State[OciImageInputs, OciImageOutputs]
_SHOWN = 12  # packages named in a preview; the diff above it holds them all


class OciImage(Resource[OciImageInputs, OciImageOutputs]):
    """What the store has already is known in a preview, digest and all."""

    inputs = OciImageInputs
    outputs = OciImageOutputs

    def preview(
        self, old: OciImageState | None, new: Draft[OciImageInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        fields = new.normal()
        name, variant = str(fields["image"]), str(fields["variant"])
        pinned = fields["pinned"]
        expected = builder.expected(
            name, variant, store_dir(), _sources(pinned if isinstance(pinned, str) else None)
        )
        before = old.inputs.packages if old else {}
        for line in package_changes(before, expected.packages):
            ctx.info(line)
        if expected.digest is None:
            ctx.info(f"would build {name}/{variant} from {len(expected.packages)} packages")
            return {"pending": []}
        same = old is not None and old.outputs.digest == expected.digest
        return {
            "pending": [],
            "digest": expected.digest,
            "image_id": expected.image_id or UNKNOWN,
            "size_bytes": old.outputs.size_bytes if old and same else UNKNOWN,
            "reference": reference(name, expected.digest, fields["registry"]),
            "input_hash": expected.input_hash,
        }

    def create(self, inputs: OciImageInputs, ctx: Context) -> tuple[str, OciImageOutputs]:
        store = store_dir()
        builder.register_checkout()
        sources = _sources(inputs.pinned, inputs.debian_snapshot, ctx.warn)
        built = builder.build(inputs.image, inputs.variant, store, ctx.progress, sources)
        pulled = f"rackform/{inputs.image}@{built.digest}"
        if registry := inputs.registry:
            pulled = builder.push(
                built.digest,
                store,
                registry.address,
                registry.ca_certificate,
                registry.user,
                registry.password,
                ctx.progress,
                repository=inputs.image,
            )
        return f"{inputs.image}/{inputs.variant}", OciImageOutputs(
            digest=built.digest,
            image_id=built.image_id,
            reference=pulled,
            size_bytes=built.size_bytes,
            input_hash=built.input_hash,
        )

    def read(self, state: OciImageState, ctx: Context) -> OciImageState:
        _ = ctx
        due = builder.check(state.outputs.digest, store_dir())
        return state.with_pending(due)

    def update(self, state: OciImageState, inputs: OciImageInputs, ctx: Context) -> OciImageOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: OciImageState, ctx: Context) -> None:
        """Leave the image in the store, which checkouts share and `rackform gc` clears."""


RESOURCE = OciImage


def _sources(
    pinned: str | None, snapshot: str | None = None, warn: Callable[[str], None] | None = None
) -> builder.Sources:
    return builder.Sources(locks=locks_dir(), snapshot=snapshot, pinned=pinned, warn=warn)


def reference(name: str, digest: str, registry: Plain) -> Plain:
    """Return what a node pulls, as far as a preview knows the registry."""
    if registry is None:
        return f"rackform/{name}@{digest}"
    if not isinstance(registry, Mapping) or not isinstance(registry.get("address"), str):
        return UNKNOWN
    return f"{registry['address']}/{name}@{digest}"


def package_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return `name old → new` for each package that differs; none for a new image."""
    if not old:
        return []
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    lines = [f"{name} {old.get(name, '-')} → {new.get(name, '-')}" for name in names[:_SHOWN]]
    more = len(names) - _SHOWN
    return [*lines, *([f"and {more} more packages"] if more > 0 else [])]
