"""A switch of the twin."""

from collections.abc import Mapping

from lab import switch
from lab.spec import SwitchSpec
from provider import lab_machine
from provider.inputs import LabSwitchInputs
from provider.outputs import LabSwitchOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain

LabSwitchState = State[LabSwitchInputs, LabSwitchOutputs]


class LabSwitch(Resource[LabSwitchInputs, LabSwitchOutputs]):
    inputs = LabSwitchInputs
    outputs = LabSwitchOutputs
    replace_on = frozenset({"site", "name"})

    def preview(
        self, old: LabSwitchState | None, new: Draft[LabSwitchInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        known = super().preview(old, new, ctx)
        if old and new.complete and new.complete.address == old.inputs.address:
            return known
        return {"pending": []}

    def create(self, inputs: LabSwitchInputs, ctx: Context) -> tuple[str, LabSwitchOutputs]:
        ctx.progress(f"starting switch {inputs.name}")
        spec = SwitchSpec(**inputs.model_dump(), private_key_file=lab_machine.private_key(ctx))
        connection = switch.create(lab_machine.twin(), spec)
        namespace = switch.namespace(inputs.name)
        return inputs.name, LabSwitchOutputs(connection=connection, namespace=namespace)

    def read(self, state: LabSwitchState, ctx: Context) -> LabSwitchState | None:
        _ = ctx
        found = switch.read(lab_machine.twin(), state.inputs.name)
        if found is None:
            return None
        due = lab_machine.due(found.power, found.problems)
        return state.with_pending(due)

    def update(
        self, state: LabSwitchState, inputs: LabSwitchInputs, ctx: Context
    ) -> LabSwitchOutputs:
        for line in state.outputs.pending:
            ctx.info(f"mending: {line}")
        return self.create(inputs, ctx)[1]

    def delete(self, state: LabSwitchState, ctx: Context) -> None:
        _ = ctx
        switch.delete(lab_machine.twin(), state.inputs.name)


RESOURCE = LabSwitch
