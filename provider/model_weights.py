"""A model's pinned snapshot on every node that needs it."""

from collections.abc import Mapping

from models import prepare, sources, spread
from provider.inputs import ModelWeightsInputs
from provider.outputs import ModelWeightsOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import UNKNOWN, Plain
from remote.errors import Unreachable
from remote.host_folders import MODELS
from stack.paths import store_dir

ModelWeightsState = State[ModelWeightsInputs, ModelWeightsOutputs]


class ModelWeights(Resource[ModelWeightsInputs, ModelWeightsOutputs]):
    inputs = ModelWeightsInputs
    outputs = ModelWeightsOutputs

    def preview(
        self, old: ModelWeightsState | None, new: Draft[ModelWeightsInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        identity = {name: new.normal()[name] for name in ("source", "revision", "pad_heads_to")}
        if old and identity == old.inputs.model_dump(include=set(identity)):
            return {**super().preview(old, new, ctx), "pending": []}
        if UNKNOWN in identity.values():
            return {"pending": []}
        source, revision, padded = identity.values()
        pad = padded if isinstance(padded, int) else None
        name = sources.folder_name(str(source), str(revision), pad)
        ctx.info(f"would fetch {source} and put it on every node, as {MODELS}/{name}")
        return {"pending": [], "path": f"{MODELS}/{name}"}

    def create(self, inputs: ModelWeightsInputs, ctx: Context) -> tuple[str, ModelWeightsOutputs]:
        snapshot = prepare.snapshot(
            inputs.source, inputs.revision, inputs.pad_heads_to, store_dir(), ctx.progress
        )
        spread.spread(snapshot, inputs.nodes, inputs.fabric_addresses, ctx.progress)
        return snapshot.name, ModelWeightsOutputs(
            path=f"{MODELS}/{snapshot.name}",
            files=snapshot.files,
            size_bytes=snapshot.size_bytes,
        )

    def read(self, state: ModelWeightsState, ctx: Context) -> ModelWeightsState:
        _ = ctx
        found = spread.pending(folder(state), state.outputs.files, state.inputs.nodes)
        due = [f"{node}: {file}" for node, files in found.items() for file in files]
        return state.with_pending(due)

    def update(
        self, state: ModelWeightsState, inputs: ModelWeightsInputs, ctx: Context
    ) -> ModelWeightsOutputs:
        """Put the new snapshot beside the old one, and then remove the old one."""
        made, outputs = self.create(inputs, ctx)
        if made != folder(state):
            self._remove(state, ctx)
        return outputs

    def delete(self, state: ModelWeightsState, ctx: Context) -> None:
        self._remove(state, ctx)

    @staticmethod
    def _remove(state: ModelWeightsState, ctx: Context) -> None:
        try:
            spread.remove(folder(state), state.inputs.nodes)
        except Unreachable as error:
            ctx.warn(f"{state.outputs.path} may be left on a node: {error}")


RESOURCE = ModelWeights


def folder(state: ModelWeightsState) -> str:
    return state.outputs.path.rpartition("/")[2]
