"""The declared part of a switch's configuration."""

from collections.abc import Mapping, Sequence

from fabric.cabling import misplaced
from fabric.open import open_switch
from fabric.protocol import DesiredPort, DesiredSwitch, Look, Roce
from provider.inputs import SwitchConfigInputs, SwitchPort
from provider.memo import Memo
from provider.outputs import SwitchConfigOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain

LISTED = 12
"""Lines of what is left alone that a preview shows."""
SwitchConfigState = State[SwitchConfigInputs, SwitchConfigOutputs]


class SwitchConfig(Resource[SwitchConfigInputs, SwitchConfigOutputs]):
    inputs = SwitchConfigInputs
    outputs = SwitchConfigOutputs

    def __init__(self) -> None:
        self._seen: Memo[Look] = Memo()

    def preview(
        self,
        old: SwitchConfigState | None,
        new: Draft[SwitchConfigInputs],
        ctx: Context,
    ) -> Mapping[str, Plain]:
        if new.complete is None:
            ctx.info("on a new switch: everything that is declared")
        else:
            seen, name = self._look(new.complete), new.complete.connection.name
            swapped = misplaced(name, cables(new.complete), seen.neighbours)
            for sentence in (*swapped, *(other.sentence for other in seen.under_way)):
                ctx.warn(sentence)
            if seen.pending:
                ctx.info(f"would configure on {name}:\n{indented(seen.pending)}")
                if seen.left_alone:
                    ctx.info(f"left as it is on {name}:\n{indented(shortened(seen.left_alone))}")
        _ = old
        return {"pending": []}

    def create(self, inputs: SwitchConfigInputs, ctx: Context) -> tuple[str, SwitchConfigOutputs]:
        self._seen.forget(key(inputs))
        ctx.progress(f"configuring {inputs.connection.name}")
        with open_switch(inputs.os, inputs.connection) as switch:
            done = switch.apply(desired(inputs), inputs.confirm_timeout_s)
        swapped = misplaced(inputs.connection.name, cables(inputs), done.neighbours)
        for sentence in (*swapped, *(other.sentence for other in done.under_way)):
            ctx.warn(sentence)
        if done.changed:
            ctx.info("configured:\n" + indented(done.changed))
        return inputs.connection.name, SwitchConfigOutputs()

    def read(self, state: SwitchConfigState, ctx: Context) -> SwitchConfigState:
        _ = ctx
        return state.with_pending(self._look(state.inputs).pending)

    def update(
        self, state: SwitchConfigState, inputs: SwitchConfigInputs, ctx: Context
    ) -> SwitchConfigOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: SwitchConfigState, ctx: Context) -> None:
        ctx.info(f"{state.inputs.connection.name} keeps its configuration as it is")

    def _look(self, inputs: SwitchConfigInputs) -> Look:
        def ask() -> Look:
            with open_switch(inputs.os, inputs.connection) as switch:
                return switch.look(desired(inputs))

        return self._seen.get(key(inputs), ask)


RESOURCE = SwitchConfig


def desired(inputs: SwitchConfigInputs) -> DesiredSwitch:
    in_order = sorted(inputs.ports, key=lambda name: (len(name), name))  # the engine keeps no order
    return DesiredSwitch(
        ports={name: _port(inputs.ports[name]) for name in in_order},
        lldp=inputs.lldp,
        vlan=inputs.vlan,
    )


def _port(port: SwitchPort) -> DesiredPort:
    return DesiredPort(
        mtu_bytes=port.mtu_bytes,
        description=port.description,
        enabled=port.enabled,
        roce=Roce(mode=port.roce) if port.roce else None,
    )


def cables(inputs: SwitchConfigInputs) -> dict[str, str]:
    """Return port → node.interface, for the ports whose description is a cable's end."""
    return {
        name: port.description for name, port in inputs.ports.items() if "." in port.description
    }


def shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - LISTED
    return [*lines[:LISTED], *([f"and {more} lines more"] if more > 0 else [])]


def key(inputs: SwitchConfigInputs) -> str:
    return inputs.model_dump_json()


def indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
