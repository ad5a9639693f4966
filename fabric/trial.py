"""A change of a switch as a trial: made with a rollback armed, kept once it has been proved.

read → normalise → diff → candidate → commit that undoes itself → proof over a new connection →
confirm → save. A network OS says how each of these is done on it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar, Self

from fabric.changes import Change, Running, changes, left_alone
from fabric.protocol import DesiredSwitch, Neighbour, SwitchState
from remote.connection import Connection
from remote.errors import RackformError, Unreachable

PREFIX = "rackform-"
"""Begins the name of every session, checkpoint, revision and job that is ours."""


class TrialSwitch(ABC):
    """One switch, connected. What is common to every network OS."""

    roce_per_port: ClassVar[bool] = True
    unsaved: ClassVar[Sequence[str]]
    """What `pending` says where only the saving is due."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _running(self) -> Running: ...

    @abstractmethod
    def _startup(self) -> Running | None:
        """Return what the switch would start with; None where nothing was ever saved."""

    @abstractmethod
    def _connected(self) -> set[str]:
        """Return the ports with a carrier."""

    @abstractmethod
    def _neighbours(self) -> dict[str, list[Neighbour]]: ...

    @abstractmethod
    def _told(self, due: Sequence[Change]) -> list[str]: ...

    @abstractmethod
    def _clear_the_way(self) -> None:
        """Undo what a run of ours left that was cut off.

        Raises:
            RackformError: somebody else is in the middle of a change.

        """

    @abstractmethod
    def _try(self, due: Sequence[Change], confirm_timeout_s: int) -> str:
        """Make the changes with a rollback armed, and return the name of the trial.

        A connection that breaks in the very commit is no failure: the proof finds out.
        """

    @abstractmethod
    def _reconnect(self) -> None:
        """Go on over a new connection, which proves that the switch can still be reached."""

    @abstractmethod
    def _undo(self, trial: str) -> None:
        """Undo a trial at once; silent where that fails, since its own timer does the same."""

    @abstractmethod
    def _keep(self, trial: str) -> None: ...

    @abstractmethod
    def _save(self) -> None: ...

    def read(self) -> SwitchState:
        config, up = self._running(), self._connected()
        return SwitchState(
            ports={
                name: port.model_copy(update={"connected": name in up})
                for name, port in config.ports.items()
            },
            lldp=config.lldp,
            neighbours=self._neighbours() if config.lldp else {},
            roce=dict(config.roce),
            roce_mode=config.roce_mode,
        )

    def left_alone(self, desired: DesiredSwitch) -> list[str]:
        return left_alone(self._running(), desired)

    def pending(self, desired: DesiredSwitch) -> list[str]:
        due = self._differences(desired)
        if due:
            return self._told(due)
        return [] if self._saved(desired) else list(self.unsaved)

    def apply(self, desired: DesiredSwitch, confirm_timeout_s: int) -> list[str]:
        self._clear_the_way()
        due = self._differences(desired)
        told = self._told(due) if due else self.pending(desired)
        if due:
            trial = self._try(due, confirm_timeout_s)
            self._prove(trial, desired, confirm_timeout_s)
        if told:
            self._save()
        return told

    def _prove(self, trial: str, desired: DesiredSwitch, confirm_timeout_s: int) -> None:
        name = self._connection.name
        try:
            self._reconnect()
        except Unreachable as error:
            raise Unreachable(
                f"switch {name} can't be reached after the change: it goes back to its former "
                f"configuration within {confirm_timeout_s} s by itself ({error})"
            ) from error
        left = self._told(self._differences(desired))
        if left:
            self._undo(trial)
            raise RackformError(
                f"switch {name} still differs after the change ({'; '.join(left)}): the change "
                "was undone; see whether somebody else is configuring it"
            )
        self._keep(trial)

    def _differences(self, desired: DesiredSwitch) -> list[Change]:
        state = self._running()
        missing = [port for port in desired.ports if port not in state.ports]
        if missing:
            raise RackformError(
                f"switch {self._connection.name} has no port {', '.join(missing)} (it has "
                f"{', '.join(state.ports) or 'none'}): name one of these in the site"
            )
        return changes(state, desired, roce_per_port=self.roce_per_port)

    def _saved(self, desired: DesiredSwitch) -> bool:
        """Return whether the switch would start with what is declared."""
        state = self._startup()
        if state is None or any(port not in state.ports for port in desired.ports):
            return False
        return not changes(state, desired, roce_per_port=self.roce_per_port)
