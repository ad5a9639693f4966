"""Everything that pyinfra holds on one host."""

from collections.abc import Mapping
from typing import TypeVar

from provider.inputs import HostStateInputs
from provider.memo import Memo
from provider.outputs import HostStateOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain
from pyinfra_deploys.client import Event, HostWorker, Operation, shared
from pyinfra_deploys.registry import DEPLOYS

T = TypeVar("T")
HostStateState = State[HostStateInputs, HostStateOutputs]


class HostState(Resource[HostStateInputs, HostStateOutputs]):
    """One worker process serves every host; it forks for each."""

    inputs = HostStateInputs
    outputs = HostStateOutputs

    def __init__(self, worker: HostWorker | None = None) -> None:
        self._worker = worker or shared()
        self._plans: Memo[list[Operation]] = Memo()

    def preview(
        self, old: HostStateState | None, new: Draft[HostStateInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if new.complete is None or (old and new.complete.machine != old.inputs.machine):
            deploys = new.fields["deploys"]
            listed = (
                ", ".join(in_order(deploys)) if isinstance(deploys, Mapping) else "every deploy"
            )
            ctx.info(f"on a new host: all operations of {listed}")
            return {"pending": []}
        for operation in self._plan(new.complete):
            ctx.info(f"would run on {new.complete.connection.name}: {described(operation)}")
        return {"pending": []}

    def create(self, inputs: HostStateInputs, ctx: Context) -> tuple[str, HostStateOutputs]:
        name = inputs.connection.name

        def told(event: Event) -> None:
            if event.state == "started":
                ctx.progress(f"{name}: {event.deploy}: {event.operation}")

        self._plans.forget(key(inputs))
        applied = self._worker.apply(inputs.connection, in_order(inputs.deploys), told)
        for operation in applied.changed:
            ctx.info(f"changed: {title(operation)}")
        return name, HostStateOutputs()

    def read(self, state: HostStateState, ctx: Context) -> HostStateState:
        _ = ctx
        due = [title(operation) for operation in self._plan(state.inputs)]
        return State(state.id, state.inputs, state.outputs.model_copy(update={"pending": due}))

    def update(
        self, state: HostStateState, inputs: HostStateInputs, ctx: Context
    ) -> HostStateOutputs:
        _ = state
        return self.create(inputs, ctx)[1]

    def delete(self, state: HostStateState, ctx: Context) -> None:
        """Leave the host as it is: what is no longer declared is no longer held, not undone."""
        ctx.info(f"{state.inputs.connection.name} stays as it is: nothing is uninstalled")

    def _plan(self, inputs: HostStateInputs) -> list[Operation]:
        deploys = in_order(inputs.deploys)
        return self._plans.get(key(inputs), lambda: self._worker.plan(inputs.connection, deploys))


RESOURCE = HostState


def in_order(deploys: Mapping[str, T]) -> dict[str, T]:
    """Return the deploys in the registry's order: the engine hands maps over sorted by name."""
    places = {name: place for place, name in enumerate(DEPLOYS)}
    return {name: deploys[name] for name in sorted(deploys, key=lambda name: places.get(name, -1))}


def key(inputs: HostStateInputs) -> str:
    return inputs.model_dump_json(include={"connection", "deploys"})


def title(operation: Operation) -> str:
    return f"{operation.deploy}: {operation.name}"


def described(operation: Operation) -> str:
    """Return the operation with its file's diff, or else its commands, indented."""
    details = operation.diff.splitlines() or operation.commands
    return "\n".join([title(operation), *(f"    {line}" for line in details)])
