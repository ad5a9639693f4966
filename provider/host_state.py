"""Everything that pyinfra holds on one host."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import JsonValue

from provider.inputs import HostStateInputs
from provider.memo import Memo
from provider.outputs import HostStateOutputs
from provider.resource import Context, Diff, Draft, Resource, State
from provider.values import Plain
from pyinfra_deploys.client import Event, HostWorker, Operation, shared
from pyinfra_deploys.registry import DEPLOYS
from remote.connection import Connection
from remote.errors import RackformError
from remote.examine import one_machine

T = TypeVar("T")
HostStateState = State[HostStateInputs, HostStateOutputs]


class HostState(Resource[HostStateInputs, HostStateOutputs]):
    """One worker process serves every host; it forks for each."""

    inputs = HostStateInputs
    outputs = HostStateOutputs

    def __init__(self, worker: HostWorker | None = None) -> None:
        self._worker = worker or shared()
        self._plans: Memo[list[Operation]] = Memo()
        self._claims: dict[str, Connection] = {}
        self._claiming = threading.Lock()

    def diff(self, old: HostStateState, new: Draft[HostStateInputs]) -> Diff:
        found = super().diff(old, new)
        changes = tuple(each for each in found.changes if each.path[0] != "at_reboot")
        return replace(found, changes=changes)

    def preview(
        self, old: HostStateState | None, new: Draft[HostStateInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if new.complete is None or (old and new.complete.machine != old.inputs.machine):
            deploys = new.fields["deploys"]
            listed = (
                ", ".join(in_order(deploys)) if isinstance(deploys, Mapping) else "every deploy"
            )
            ctx.info(f"on a new host: all operations of {listed}")
            if new.known("connection") and new.fields.get("machine") is None:
                self._claim(Connection.model_validate(new.fields["connection"]))
            return {"pending": []}
        name, due = new.complete.connection.name, self._plan(new.complete)
        if new.complete.machine is None:
            self._claim(new.complete.connection)
        for operation in due:
            ctx.info(f"would run on {name}: {described(operation)}")
        boot = ends_boot(due)
        if boot:
            ctx.warn(_told(name, new.complete.at_reboot))
        return {"pending": [], "reboot": boot or (old.outputs.reboot if old else "")}

    def create(self, inputs: HostStateInputs, ctx: Context) -> tuple[str, HostStateOutputs]:
        name = inputs.connection.name

        def told(event: Event) -> None:
            if event.state == "started":
                ctx.progress(f"{name}: {event.deploy}: {event.operation}")

        self._plans.forget(key(inputs))
        if inputs.machine is None:
            self._claim(inputs.connection)
        applied = self._worker.apply(inputs.connection, in_order(inputs.deploys), told)
        for operation in applied.changed:
            ctx.info(f"changed: {title(operation)}")
        return name, HostStateOutputs(reboot=ends_boot(applied.changed))

    def read(self, state: HostStateState, ctx: Context) -> HostStateState:
        _ = ctx
        due = self._plan(state.inputs)
        if state.inputs.machine is None:
            self._claim(state.inputs.connection)
        found = {
            "pending": [title(operation) for operation in due],
            "reboot": ends_boot(due) or state.outputs.reboot,
        }
        return State(state.id, state.inputs, state.outputs.model_copy(update=found))

    def update(
        self, state: HostStateState, inputs: HostStateInputs, ctx: Context
    ) -> HostStateOutputs:
        made = self.create(inputs, ctx)[1]
        return made if made.reboot else HostStateOutputs(reboot=state.outputs.reboot)

    def delete(self, state: HostStateState, ctx: Context) -> None:
        """Leave the host as it was found, as far as that is recorded there, and say what stays."""
        name = state.inputs.connection.name

        def told(event: Event) -> None:
            if event.state == "started":
                ctx.progress(f"{name}: putting back: {event.operation}")

        self._plans.forget(key(state.inputs))
        try:
            done = self._worker.apply(state.inputs.connection, restoring(state.inputs), told)
        except RackformError as error:
            raise type(error)(
                f"{name} was not put back as it was: {error}; what was there before is still "
                f"recorded on it: bring {name} back and run this again, or let go of it, as it "
                "is, with 'pulumi state delete'"
            ) from error
        for line in restored(done.changed):
            ctx.info(f"{name}: {line}")

    def _claim(self, connection: Connection) -> None:
        """Refuse a machine that another node is already; a twin's are this program's own.

        Raises:
            RackformError: with both names.

        """
        identity = self._worker.look(connection)
        with self._claiming:
            first = self._claims.setdefault(identity, connection) if identity else connection
        if first.name != connection.name:
            raise RackformError(one_machine(first, connection))

    def _plan(self, inputs: HostStateInputs) -> list[Operation]:
        deploys = in_order(inputs.deploys)
        return self._plans.get(key(inputs), lambda: self._worker.plan(inputs.connection, deploys))


RESOURCE = HostState


def _told(name: str, at_reboot: str) -> str:
    told = f"{name} would be rebooted after this, when it is drained"
    return f"{told}: {at_reboot}" if at_reboot else told


def in_order(deploys: Mapping[str, T]) -> dict[str, T]:
    """Return the deploys in the registry's order: the engine hands maps over sorted by name."""
    places = {name: place for place, name in enumerate(DEPLOYS)}
    return {name: deploys[name] for name in sorted(deploys, key=lambda name: places.get(name, -1))}


def restoring(inputs: HostStateInputs) -> dict[str, dict[str, JsonValue]]:
    """Return the deploy that takes back what those of `inputs` changed."""
    fabric = inputs.deploys.get("fabric_link", {})
    address = fabric.get("management_address", inputs.connection.address)
    registry = inputs.deploys.get("docker_engine", {}).get("registry")
    return {"restore": {"management_address": address, "registry": registry}}


def restored(operations: Sequence[Operation]) -> list[str]:
    """Return what was, or would be, put back and what stays, a line each."""
    lines = [line for operation in operations for line in operation.commands]
    return lines or ["stays as it is: no change by Rackform is recorded there"]


def key(inputs: HostStateInputs) -> str:
    return inputs.model_dump_json(include={"connection", "deploys"})


def ends_boot(operations: Sequence[Operation]) -> str:
    """Return the boot that has to end because of them; empty where no reboot is asked for."""
    return next((each.ends_boot for each in operations if each.ends_boot), "")


def title(operation: Operation) -> str:
    return f"{operation.deploy}: {operation.name}"


def described(operation: Operation) -> str:
    """Return the operation with its file's diff, or else its commands, indented."""
    details = operation.diff.splitlines() or operation.commands
    return "\n".join([title(operation), *(f"    {line}" for line in details)])
