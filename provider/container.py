"""One container on one node."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext

from images import builder
from provider import lab_machine
from provider.inputs import ContainerInputs
from provider.memo import Memo
from provider.outputs import ContainerOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import Plain
from remote import containers
from remote.container_spec import ContainerSpec
from remote.errors import Unreachable
from stack.paths import store_dir

ContainerState = State[ContainerInputs, ContainerOutputs]
_CHUNK_BYTES = 1 << 20


class Container(Resource[ContainerInputs, ContainerOutputs]):
    """Another node or another name is another container; all else replaces it in one step."""

    inputs = ContainerInputs
    outputs = ContainerOutputs
    replace_on = frozenset({"name"})

    def __init__(self) -> None:
        self._found: Memo[list[str]] = Memo()

    def preview(
        self, old: ContainerState | None, new: Draft[ContainerInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if old is None or new.complete is None:
            return {"pending": []}
        if new.complete.machine != old.inputs.machine:
            ctx.info("would start on a new host")
            return {"pending": []}
        for line in self._pending(new.complete):
            ctx.info(f"would replace it: {line}")
        return {"pending": []}

    def create(self, inputs: ContainerInputs, ctx: Context) -> tuple[str, ContainerOutputs]:
        self._found.forget(inputs.model_dump_json())
        stored = inputs.load_from_store
        name = inputs.connection.name
        with lab_machine.docker_engine(name) if inputs.machine else nullcontext():
            running = containers.ensure(
                inputs.connection,
                spec(inputs),
                (lambda: docker_archive(stored)) if stored else None,
                ctx.progress,
            )
        return f"{inputs.connection.name}/{inputs.name}", ContainerOutputs(
            container_id=running.container_id
        )

    def read(self, state: ContainerState, ctx: Context) -> ContainerState:
        _ = ctx
        due = self._pending(state.inputs)
        return state.with_pending(due)

    def update(
        self, state: ContainerState, inputs: ContainerInputs, ctx: Context
    ) -> ContainerOutputs:
        before = state.inputs.connection
        if (before.name, before.address) != (inputs.connection.name, inputs.connection.address):
            containers.remove(before, state.inputs.name)
        return self.create(inputs, ctx)[1]

    def delete(self, state: ContainerState, ctx: Context) -> None:
        _ = ctx
        name = state.inputs.connection.name
        try:
            containers.remove(state.inputs.connection, state.inputs.name)
        except Unreachable as error:
            raise Unreachable(
                f"{state.inputs.name} was not removed from {name}: {error}; bring {name} back, or"
                f" let go of the container with 'pulumi state delete'"
            ) from error

    def _pending(self, inputs: ContainerInputs) -> list[str]:
        key = inputs.model_dump_json()
        return self._found.get(key, lambda: containers.pending(inputs.connection, spec(inputs)))


RESOURCE = Container


def spec(inputs: ContainerInputs) -> ContainerSpec:
    return ContainerSpec.model_validate(inputs.model_dump(include=set(ContainerSpec.model_fields)))


def docker_archive(digest: str) -> Iterator[bytes]:
    """Yield the image as `docker load` reads it, written by a thread as fast as it is taken."""
    read_end, write_end = os.pipe()
    failed: list[Exception] = []

    def write() -> None:
        try:
            with os.fdopen(write_end, "wb") as out:
                builder.docker_archive(digest, store_dir(), out)
        except Exception as error:  # noqa: BLE001 - raised again where the archive is read
            failed.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with os.fdopen(read_end, "rb") as archive:
        while chunk := archive.read(_CHUNK_BYTES):
            yield chunk
    writer.join()
    if failed:
        raise failed[0]
