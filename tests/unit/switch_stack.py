"""A switch of a stack: its preview, its up, and what a refresh finds."""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.check import draft
from provider.inputs import SwitchConfigInputs
from provider.outputs import SwitchConfigOutputs
from provider.resource import State
from provider.switch_config import SwitchConfig
from remote.connection import Connection
from tests.unit.provider_fakes import RecordingContext
from tests.unit.switch_twin import System


@dataclass(frozen=True)
class Stack:
    """The resource, driven as the engine does it, each time anew: only Pulumi's state is kept."""

    inputs: SwitchConfigInputs

    @property
    def _state(self) -> State[SwitchConfigInputs, SwitchConfigOutputs]:
        return State("tor1", self.inputs, SwitchConfigOutputs())

    def preview(self) -> str:
        ctx = RecordingContext()
        fields = self.inputs.model_dump(mode="json")
        SwitchConfig().preview(self._state, draft(SwitchConfigInputs, fields), ctx)
        return "\n".join(ctx.messages)

    def up(self) -> str:
        ctx = RecordingContext()
        SwitchConfig().update(self._state, self.inputs, ctx)
        return "\n".join(ctx.messages)

    def verify(self) -> list[str]:
        """Return what a refresh finds that isn't as declared."""
        return SwitchConfig().read(self._state, RecordingContext()).outputs.pending


def stack_of(
    connection: Connection, system: System, ends: Mapping[str, str], vlan: int | None = None
) -> Stack:
    """Return the switch with these cables, jumbo frames and lossless RoCE."""
    port = {"mtu_bytes": 9000, "roce": "lossless"}
    return Stack(
        SwitchConfigInputs.model_validate(
            {
                "connection": connection.model_dump(),
                "os": system,
                "ports": {name: {**port, "description": end} for name, end in ends.items()},
                "vlan": vlan,
                "confirm_timeout_s": 60,
            }
        )
    )
