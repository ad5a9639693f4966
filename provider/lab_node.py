"""A host of the twin."""

from collections.abc import Mapping
from secrets import token_hex

from lab import nodes
from lab.spec import NodeSpec
from provider import lab_machine
from provider.inputs import LabNodeInputs
from provider.outputs import LabNodeOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain

LabNodeState = State[LabNodeInputs, LabNodeOutputs]


class LabNode(Resource[LabNodeInputs, LabNodeOutputs]):
    """Another base image makes the host's file system anew, and `machine` with it."""

    inputs = LabNodeInputs
    outputs = LabNodeOutputs
    replace_on = frozenset({"site", "name"})

    def preview(
        self, old: LabNodeState | None, new: Draft[LabNodeInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if old is None:
            return {"pending": []}
        known = dict(super().preview(old, new, ctx))
        if new.fields.get("base_digest") != old.inputs.base_digest:
            ctx.info("would be installed anew from another base image")
            del known["machine"]
        if new.fields.get("address") != old.inputs.address:
            del known["connection"]
        return known

    def create(self, inputs: LabNodeInputs, ctx: Context) -> tuple[str, LabNodeOutputs]:
        return inputs.name, self._made(inputs, token_hex(8), ctx)

    def read(self, state: LabNodeState, ctx: Context) -> LabNodeState | None:
        _ = ctx
        found = nodes.read(lab_machine.twin(), state.inputs.name)
        if found is None:
            return None
        due = lab_machine.due(found.power, found.problems)
        return state.with_pending(due)

    def update(self, state: LabNodeState, inputs: LabNodeInputs, ctx: Context) -> LabNodeOutputs:
        for line in state.outputs.pending:
            ctx.info(f"mending: {line}")
        found = nodes.read(lab_machine.twin(), inputs.name)
        kept = (
            found is not None
            and found.spec.base_digest == inputs.base_digest == state.inputs.base_digest
        )
        return self._made(inputs, state.outputs.machine if kept else token_hex(8), ctx)

    def delete(self, state: LabNodeState, ctx: Context) -> None:
        _ = ctx
        nodes.delete(lab_machine.twin(), state.inputs.name)

    @staticmethod
    def _made(inputs: LabNodeInputs, machine: str, ctx: Context) -> LabNodeOutputs:
        ctx.progress(f"booting {inputs.name}")
        spec = NodeSpec(**inputs.model_dump(), private_key_file=lab_machine.private_key(ctx))
        connection = nodes.create(lab_machine.twin(), spec)
        return LabNodeOutputs(connection=connection, machine=machine)


RESOURCE = LabNode
