"""The declared part of a switch's configuration."""

from collections.abc import Mapping

from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch
from provider.inputs import SwitchConfigInputs
from provider.memo import Memo
from provider.outputs import SwitchConfigOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain

SwitchConfigState = State[SwitchConfigInputs, SwitchConfigOutputs]


class SwitchConfig(Resource[SwitchConfigInputs, SwitchConfigOutputs]):
    inputs = SwitchConfigInputs
    outputs = SwitchConfigOutputs

    def __init__(self) -> None:
        self._lines: Memo[list[str]] = Memo()

    def preview(
        self,
        old: SwitchConfigState | None,
        new: Draft[SwitchConfigInputs],
        ctx: Context,
    ) -> Mapping[str, Plain]:
        if new.complete is None:
            ctx.info("on a new switch: everything that is declared")
        else:
            lines = self._pending(new.complete)
            if lines:
                name = new.complete.connection.name
                ctx.info(f"would configure on {name}:\n{indented(lines)}")
        _ = old
        return {"pending": []}

    def create(self, inputs: SwitchConfigInputs, ctx: Context) -> tuple[str, SwitchConfigOutputs]:
        self._lines.forget(key(inputs))
        ctx.progress(f"configuring {inputs.connection.name}")
        with open_switch(inputs.os, inputs.connection) as switch:
            changed = switch.apply(desired(inputs), inputs.confirm_timeout_s)
        if changed:
            ctx.info("configured:\n" + indented(changed))
        return inputs.connection.name, SwitchConfigOutputs()

    def read(self, state: SwitchConfigState, ctx: Context) -> SwitchConfigState:
        _ = ctx
        lines = self._pending(state.inputs)
        return State(state.id, state.inputs, state.outputs.model_copy(update={"pending": lines}))

    def update(
        self, state: SwitchConfigState, inputs: SwitchConfigInputs, ctx: Context
    ) -> SwitchConfigOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: SwitchConfigState, ctx: Context) -> None:
        ctx.info(f"{state.inputs.connection.name} keeps its configuration as it is")

    def _pending(self, inputs: SwitchConfigInputs) -> list[str]:
        def ask() -> list[str]:
            with open_switch(inputs.os, inputs.connection) as switch:
                return switch.pending(desired(inputs))

        return self._lines.get(key(inputs), ask)


RESOURCE = SwitchConfig


def desired(inputs: SwitchConfigInputs) -> DesiredSwitch:
    in_order = sorted(inputs.ports, key=lambda name: (len(name), name))  # the engine keeps no order
    ports = {name: DesiredPort.model_validate(inputs.ports[name].model_dump()) for name in in_order}
    return DesiredSwitch(ports=ports, lldp=inputs.lldp)


def key(inputs: SwitchConfigInputs) -> str:
    return inputs.model_dump_json()


def indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
