"""A fake kind of resource, a recording log and requests for the provider's tests."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pulumi.provider.experimental import provider as sdk
from pydantic import Field

from provider.adapter import OLD_INPUTS, Adapter
from provider.inputs import Inputs
from provider.outputs import Outputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain, wire_map

KIND = "rackform:index:Fake"
URN = f"urn:pulumi:lab::rackform::{KIND}::w1-fake"
T = TypeVar("T")


class FakeInputs(Inputs):
    name: str
    ports: dict[str, dict[str, int]] = Field(default={})
    password: str = ""


class FakeOutputs(Outputs):
    address: str
    key: str = ""


FakeState = State[FakeInputs, FakeOutputs]


class Fake(Resource[FakeInputs, FakeOutputs]):
    """Fails as `fails_with` says; counts what was done."""

    inputs = FakeInputs
    outputs = FakeOutputs
    secret_outputs = frozenset({"key"})
    replace_on = frozenset({"name"})

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails_with: Exception | None = None
        self.gone = False

    def _do(self, what: str) -> None:
        if self.fails_with:
            raise self.fails_with
        self.done.append(what)

    def preview(
        self, old: FakeState | None, new: Draft[FakeInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if self.fails_with:
            raise self.fails_with
        ctx.info(f"would set {new.fields['ports']} with {new.fields.get('password')}")
        return {} if old is None else {"address": old.outputs.address}

    def create(self, inputs: FakeInputs, ctx: Context) -> tuple[str, FakeOutputs]:
        ctx.progress("creating")
        self._do("create")
        return inputs.name, FakeOutputs(address="10.0.0.1", key="k3y-material")

    def read(self, state: FakeState, ctx: Context) -> FakeState | None:
        _ = ctx
        self._do("read")
        return None if self.gone else state

    def update(self, state: FakeState, inputs: FakeInputs, ctx: Context) -> FakeOutputs:
        _ = inputs, ctx
        self._do("update")
        return state.outputs.model_copy(update={"pending": []})

    def delete(self, state: FakeState, ctx: Context) -> None:
        _ = state, ctx
        self._do("delete")


@dataclass
class RecordingLog:
    sent: list[tuple[int, str, bool]] = field(default_factory=list)

    def send(self, severity: int, message: str, urn: str, *, ephemeral: bool = False) -> None:
        assert urn == URN
        self.sent.append((severity, message, ephemeral))

    @property
    def messages(self) -> list[str]:
        return [message for _, message, _ in self.sent]


@dataclass
class RecordingContext:
    """A context for a resource that is called without an adapter."""

    messages: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    name: str = "w1-host"
    stack: str = "lab"

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        self.messages.append(f"warning: {message}")

    def progress(self, message: str) -> None:
        self.shown.append(message)

    def cancelled(self) -> bool:
        return False


class Bench:
    """An adapter with one fake kind of resource, asked as the SDK's servicer asks it."""

    def __init__(self) -> None:
        self.fake = Fake()
        self.log = RecordingLog()
        self.adapter = Adapter(self.log, {KIND: lambda: self.fake})

    def ask(self, call: Awaitable[T], old_inputs: Mapping[str, Plain] | None = None) -> T:
        async def asked() -> T:
            OLD_INPUTS.set(wire_map(old_inputs or {}))
            return await call

        return asyncio.run(asked())

    def diff(
        self, old: Mapping[str, Plain], new: Mapping[str, Plain], **outputs: Plain
    ) -> sdk.DiffResponse:
        state = wire_map({"address": "10.0.0.1", **outputs})
        request = sdk.DiffRequest(URN, "w1", state, wire_map(new), [])
        return self.ask(self.adapter.diff(request), old)

    def create(
        self, inputs: Mapping[str, Plain], *, preview: bool = False, timeout: float = 0
    ) -> sdk.CreateResponse:
        request = sdk.CreateRequest(URN, wire_map(inputs, {"password"}), timeout, preview)
        return self.ask(self.adapter.create(request))

    def read(self, inputs: Mapping[str, Plain]) -> sdk.ReadResponse:
        state = wire_map({"address": "10.0.0.1"})
        return self.ask(self.adapter.read(sdk.ReadRequest(URN, "w1", state, wire_map(inputs))))

    def update(
        self, old: Mapping[str, Plain], new: Mapping[str, Plain], *, preview: bool = False
    ) -> sdk.UpdateResponse:
        state = wire_map({"address": "10.0.0.1", "pending": ["x"]})
        request = sdk.UpdateRequest(URN, "w1", state, wire_map(new), 0, [], preview)
        return self.ask(self.adapter.update(request), old)
