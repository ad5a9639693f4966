"""Pulumi's provider protocol over the resources: values in, a resource's method, values out."""

import asyncio
import json
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from secrets import token_hex
from typing import Any, TypeAlias, TypeVar

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pydantic import ValidationError

from provider.check import draft, failures
from provider.engine_log import EngineContext, Log, redact
from provider.outputs import Outputs
from provider.own_log import log_file
from provider.paths import Change, ChangeKind
from provider.resource import Diff, Resource, State
from provider.schema import package_schema
from provider.values import (
    UNKNOWN,
    Plain,
    Properties,
    plain_map,
    secret_keys,
    secret_texts,
    wire_map,
)
from remote import absence
from remote.errors import OtherHostKey, RackformError, Unreachable

AnyResource: TypeAlias = Resource[Any, Any]
AnyState: TypeAlias = State[Any, Any]
Resources: TypeAlias = Mapping[str, Callable[[], AnyResource]]
T = TypeVar("T")

OLD_INPUTS: ContextVar[Properties] = ContextVar("OLD_INPUTS")
"""The inputs of the last `up`, which the engine sends and the SDK's request classes leave out."""

CANCEL_GRACE_S = 10.0

_KINDS = {
    (ChangeKind.ADD, False): sdk.PropertyDiffKind.ADD,
    (ChangeKind.ADD, True): sdk.PropertyDiffKind.ADD_REPLACE,
    (ChangeKind.UPDATE, False): sdk.PropertyDiffKind.UPDATE,
    (ChangeKind.UPDATE, True): sdk.PropertyDiffKind.UPDATE_REPLACE,
    (ChangeKind.DELETE, False): sdk.PropertyDiffKind.DELETE,
    (ChangeKind.DELETE, True): sdk.PropertyDiffKind.DELETE_REPLACE,
}


class Adapter(sdk.Provider):
    """Runs each resource's method in a thread of its own, so that resources go side by side."""

    def __init__(self, log: Log, resources: Resources) -> None:
        self._log = log
        self._makers = resources
        self._made: dict[str, AnyResource] = {}
        self._making = threading.Lock()
        self._stop = threading.Event()
        self._abandoned: asyncio.Future[None] | None = None

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        _ = request
        kinds = {token: await self._resource(token) for token in self._makers}
        return sdk.GetSchemaResponse(json.dumps(package_schema(kinds)))

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        return sdk.CheckResponse(request.new_inputs, [])

    async def diff_config(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        _ = request
        return sdk.DiffResponse(changes=False)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        _ = request
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        found = failures(
            (await self._resource(request.type)).inputs,
            plain_map(request.new_inputs),
            secret_keys(request.new_inputs),
        )
        # A property's name would make the engine print its value, secret or not.
        told = [sdk.CheckFailure("", f"{failure.path}: {failure.reason}") for failure in found]
        return sdk.CheckResponse(request.new_inputs, told)

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        resource = await self._resource(request.type)
        old = _state(resource, request.resource_id, OLD_INPUTS.get(), request.old_state)
        new = draft(resource.inputs, plain_map(request.new_inputs))
        return _diff_response(resource.diff(old, new))

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        resource = await self._resource(request.type)
        ctx = self._context(request.urn, request.properties)
        new = draft(resource.inputs, plain_map(request.properties))
        if request.preview:
            known = await self._work(ctx, lambda: _preview(resource, None, new, ctx))
            return sdk.CreateResponse("", _preview_outputs(resource, known))
        made_id, outputs = await self._work(
            ctx, lambda: resource.create(new.complete, ctx), request.timeout
        )
        return sdk.CreateResponse(made_id, _outputs(resource, _revised(outputs)))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        if not request.inputs:
            raise RackformError(
                f"{request.type} can't be imported by its id {request.resource_id}: declare it and"
                " run 'pulumi up', which adopts what is there"
            )
        resource = await self._resource(request.type)
        ctx = self._context(request.urn, {**request.properties, **request.inputs})
        old = _state(resource, request.resource_id, request.inputs, request.properties)

        def read() -> AnyState | None:
            try:
                with absence.looking():
                    return resource.read(old, ctx)
            except RackformError as error:
                if _is_away(error):
                    ctx.warn(f"not reachable: assuming no change since the last up ({error})")
                    return old
                # A refresh doesn't stand in the way of the `up` that mends it or tells why not.
                return old.with_pending([str(error)])

        found = await self._work(ctx, read)
        if found is None:
            return sdk.ReadResponse("")
        return sdk.ReadResponse(found.id, _outputs(resource, found.outputs), request.inputs)

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        resource = await self._resource(request.type)
        ctx = self._context(request.urn, {**request.olds, **request.news})
        old = _state(resource, request.resource_id, OLD_INPUTS.get(), request.olds)
        new = draft(resource.inputs, plain_map(request.news))
        if request.preview:
            known = await self._work(ctx, lambda: _preview(resource, old, new, ctx))
            return sdk.UpdateResponse(_preview_outputs(resource, known))
        outputs = await self._work(
            ctx, lambda: resource.update(old, new.complete, ctx), request.timeout
        )
        return sdk.UpdateResponse(_outputs(resource, _revised(outputs)))

    async def delete(self, request: sdk.DeleteRequest) -> None:
        resource = await self._resource(request.type)
        ctx = self._context(request.urn, {**request.properties, **OLD_INPUTS.get()})
        old = _state(resource, request.resource_id, OLD_INPUTS.get(), request.properties)
        await self._work(ctx, lambda: resource.delete(old, ctx), request.timeout)

    async def cancel(self) -> None:
        """End the waits that ask `ctx.cancelled()`; the others are left after a grace."""
        self._stop.set()
        loop = asyncio.get_running_loop()
        loop.call_later(CANCEL_GRACE_S, self._abandonment().cancel)

    async def _resource(self, kind: str) -> AnyResource:
        """Return the kind of resource; the first one of it imports what does its work.

        The engine names a type with its parents' before it, from the resource's URN.
        """
        token = kind.rsplit("$", 1)[-1]
        if token not in self._makers:
            raise RackformError(
                f"{token} is no resource of rackform: there are {', '.join(self._makers)}"
            )
        if token not in self._made:
            await asyncio.to_thread(self._make, token)
        return self._made[token]

    def _make(self, token: str) -> None:
        with self._making:
            if token not in self._made:
                self._made[token] = self._makers[token]()

    def _context(self, urn: str, properties: Properties) -> EngineContext:
        return EngineContext(self._log, urn, secret_texts(properties), self._stop)

    def _abandonment(self) -> asyncio.Future[None]:
        if self._abandoned is None:
            self._abandoned = asyncio.get_running_loop().create_future()
        return self._abandoned

    async def _work(self, ctx: EngineContext, call: Callable[[], T], timeout_s: float = 0) -> T:
        """Run `call` in a thread; what goes wrong there comes back as one sentence."""
        work = asyncio.ensure_future(asyncio.to_thread(_told, ctx, call))
        ends: set[asyncio.Future[Any]] = {work, self._abandonment()}
        await asyncio.wait(
            ends,
            timeout=timeout_s or None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if work.done():
            return work.result()
        work.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self._stop.is_set():
            raise RackformError(f"{ctx.name}: interrupted; the next 'pulumi up' takes it up again")
        raise RackformError(
            f"{ctx.name} is not done after {timeout_s:.0f} s, its custom timeout: raise the timeout"
            " or see what it waits for above"
        )


def _told(ctx: EngineContext, call: Callable[[], T]) -> T:
    try:
        return call()
    except RackformError as error:
        raise RackformError(redact(str(error), ctx.secrets)) from None
    except Exception as error:  # noqa: BLE001 - told, and kept with its traceback
        text = redact(traceback.format_exc(), ctx.secrets)
        logging.getLogger(__name__).error("%s failed unexpectedly\n%s", ctx.urn, text)  # noqa: TRY400 - the traceback is in the text, without secrets
        raise RackformError(
            f"{ctx.name} failed in a way that Rackform does not know ({type(error).__name__}):"
            f" the details are at the end of {log_file()}"
        ) from None


def _preview(
    resource: AnyResource, old: AnyState | None, new: Any, ctx: EngineContext
) -> Mapping[str, Plain]:
    try:
        with absence.looking():
            return resource.preview(old, new, ctx)
    except Unreachable as error:
        if not _is_away(error):
            raise
        ctx.warn(f"not reachable: assuming no change since the last up ({error})")
        return {} if old is None else old.outputs.model_dump(mode="json")


def _is_away(error: RackformError) -> bool:
    """Say whether a machine is just not there: what shows another key may be another machine."""
    return isinstance(error, Unreachable) and not isinstance(error, OtherHostKey)


def _state(
    resource: AnyResource, made_id: str, inputs: Properties, outputs: Properties
) -> AnyState:
    try:
        return State(
            made_id,
            resource.inputs.model_validate(plain_map(inputs)),
            resource.outputs.model_validate(plain_map(outputs)),
        )
    except ValidationError as error:
        fields = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        raise RackformError(
            f"the state of {made_id} was written by another version of Rackform ({fields}):"
            " use that version, or remove it with 'pulumi state delete', then the next up adopts it"
        ) from None


def _revised(outputs: Outputs) -> Outputs:
    return outputs.model_copy(update={"revision": token_hex(8)})


def _outputs(resource: AnyResource, outputs: Outputs) -> dict[str, PropertyValue]:
    return wire_map(outputs.model_dump(mode="json"), resource.secret_outputs)


def _preview_outputs(resource: AnyResource, known: Mapping[str, Plain]) -> dict[str, PropertyValue]:
    names = resource.outputs.model_fields
    values = {name: known.get(name, UNKNOWN) for name in names} | {"revision": UNKNOWN}
    return wire_map(values, resource.secret_outputs)


def _diff_response(diff: Diff) -> sdk.DiffResponse:
    def kind(change: Change) -> sdk.PropertyDiff:
        return sdk.PropertyDiff(
            _KINDS[change.kind, change.path[0] in diff.replace], input_diff=True
        )

    return sdk.DiffResponse(
        changes=bool(diff.changes or diff.due),
        replaces=sorted(diff.replace),
        delete_before_replace=diff.delete_before_replace,
        diffs=sorted({str(change.path[0]) for change in diff.changes}),
        detailed_diff={str(change): kind(change) for change in diff.changes},
    )
