"""What every resource's module implements, and what the adapter gives it.

Nothing here knows of Pulumi: a resource gets validated inputs, its own state and a context to speak
through, and returns outputs. It runs in a worker thread, beside the other resources.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import TypeAdapter

from provider.inputs import Inputs
from provider.outputs import Outputs
from provider.paths import Change, differences
from provider.values import Plain, has_unknown

InputsT = TypeVar("InputsT", bound=Inputs)
OutputsT = TypeVar("OutputsT", bound=Outputs)


class Context(Protocol):
    """How a resource speaks, under its own name in the engine's display."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""

    @property
    def stack(self) -> str:
        """The stack's name: its files are in `stack.paths.stack_dir(stack)`."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def progress(self, message: str) -> None:
        """Show what is being waited for; the next message takes its place."""

    def cancelled(self) -> bool:
        """Return whether the user asked to stop: a wait ends then."""


@dataclass(frozen=True)
class State(Generic[InputsT, OutputsT]):
    """A resource as the last `up` left it, or as `read` found it."""

    id: str
    inputs: InputsT
    outputs: OutputsT

    def with_pending(self, lines: list[str]) -> Self:
        """Return it with what `read` found to be due."""
        return replace(self, outputs=self.outputs.model_copy(update={"pending": lines}))


@dataclass(frozen=True)
class Draft(Generic[InputsT]):
    """Declared inputs, some of which a preview may not know yet."""

    model: type[InputsT]
    fields: Mapping[str, Plain]
    complete: InputsT | None

    def known(self, name: str) -> bool:
        return not has_unknown(self.fields.get(name))

    def normal(self) -> dict[str, Plain]:
        """Return every field as the model would write it, defaults included."""
        if self.complete is not None:
            return self.complete.model_dump(mode="json")
        return {name: self._normal_field(name) for name in self.model.model_fields}

    def _normal_field(self, name: str) -> Plain:
        field = self.model.model_fields[name]
        if name not in self.fields:
            value = field.get_default(call_default_factory=True)
        elif has_unknown(self.fields[name]):
            return self.fields[name]
        else:
            value = self.fields[name]
        adapter = TypeAdapter[object](field.rebuild_annotation())
        plain: Plain = adapter.dump_python(adapter.validate_python(value), mode="json")
        return plain


@dataclass(frozen=True)
class Diff:
    """What separates the state from the declaration.

    `changes` are input fields; `due` is what `read` found to be mended; a field in `replace` can't
    be changed in place.
    """

    changes: tuple[Change, ...] = ()
    replace: frozenset[str] = frozenset()
    due: tuple[str, ...] = ()
    delete_before_replace: bool = True


class Resource(ABC, Generic[InputsT, OutputsT]):
    """One kind of resource. An instance serves all resources of its kind, from many threads."""

    inputs: ClassVar[type[Inputs]]
    outputs: ClassVar[type[Outputs]]
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    replace_on: ClassVar[frozenset[str]] = frozenset()

    def diff(self, old: State[InputsT, OutputsT], new: Draft[InputsT]) -> Diff:
        """Compare by fields; pure, asks nothing of the world."""
        before: Plain = old.inputs.model_dump(mode="json")
        changes = tuple(differences(before, new.normal()))
        touched = {str(change.path[0]) for change in changes}
        return Diff(changes, self.replace_on & touched, tuple(old.outputs.pending))

    def preview(
        self, old: State[InputsT, OutputsT] | None, new: Draft[InputsT], ctx: Context
    ) -> Mapping[str, Plain]:
        """Say what an `up` would do and return the outputs that are known before it.

        `old` is None where the resource would be created. Nothing is changed.
        """
        _ = new
        if old is None:
            return {}
        for line in old.outputs.pending:
            ctx.info(f"would mend: {line}")
        return {**old.outputs.model_dump(mode="json"), "pending": []}

    @abstractmethod
    def create(self, inputs: InputsT, ctx: Context) -> tuple[str, OutputsT]:
        """Make it, or adopt what an interrupted `up` left; return its id and outputs."""

    def read(
        self, state: State[InputsT, OutputsT], ctx: Context
    ) -> State[InputsT, OutputsT] | None:
        """Return the state as found, with what is due in `pending`; None when it is gone.

        `remote.errors.Unreachable` from here leaves the state as it was, with a warning.
        """
        _ = ctx
        return state

    @abstractmethod
    def update(
        self, state: State[InputsT, OutputsT], inputs: InputsT, ctx: Context
    ) -> OutputsT: ...

    @abstractmethod
    def delete(self, state: State[InputsT, OutputsT], ctx: Context) -> None: ...
