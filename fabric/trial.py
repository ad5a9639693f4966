"""A change of a switch as a trial: made with a rollback armed, kept once it has been proved.

read → normalise → diff → candidate → commit that undoes itself → proof over a new connection →
confirm → save. A network OS says how each of these is done on it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar, Self

from fabric.changes import Change, Running, changes, left_alone, unsaved
from fabric.membership import in_the_way, managed_vlan
from fabric.protocol import Applied, DesiredSwitch, Look, Neighbour, SwitchState, UnderWay
from remote.connection import Connection
from remote.errors import RackformError, Unreachable

PREFIX = "rackform-"
"""Begins the name of every session, checkpoint, revision and job that is ours."""
_NAMED = 5
"""Lines of others that a sentence names."""


class TrialSwitch(ABC):
    """One switch, connected. What is common to every network OS."""

    roce_per_port: ClassVar[bool] = True
    unsaved: ClassVar[Sequence[str]]
    """What is pending where only the saving is due."""
    saving: ClassVar[str]
    """The command that saves what runs for the next start."""

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
    def _startup(self, running: Running) -> Running | None:
        """Return what the switch would start with; None where nothing was ever saved.

        `running` tells what no saved file does: the ports that there are.
        """

    @abstractmethod
    def _connected(self) -> set[str]:
        """Return the ports with a carrier."""

    @abstractmethod
    def _neighbours(self) -> dict[str, list[Neighbour]]: ...

    @abstractmethod
    def _told(self, due: Sequence[Change]) -> list[str]: ...

    @abstractmethod
    def _others(self, due: Sequence[Change]) -> list[UnderWay]:
        """Return the trials, sessions, locks and logins of others; `due` is what we would enter."""

    @abstractmethod
    def _undo_leftovers(self) -> bool:
        """Undo what a run of ours left that was cut off; return whether there was any."""

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
            neighbours=self._heard(config),
            roce=dict(config.roce),
            roce_mode=config.roce_mode,
            membership=dict(config.membership),
            vlans=config.vlans,
            managed_vlan=managed_vlan(config.rest, self._connection.address),
        )

    def look(self, desired: DesiredSwitch) -> Look:
        state = self._running()
        due, startup = self._due(state, desired), self._startup(state)
        told = self._pending(due, startup, desired)
        return Look(
            pending=told,
            left_alone=left_alone(state, desired),
            under_way=[
                *self._in_the_way(state, desired, due),
                *self._under_way(due, _mixed(state, startup, desired)),
            ]
            if told
            else [],
            neighbours=self._heard(state),
        )

    def apply(self, desired: DesiredSwitch, confirm_timeout_s: int) -> Applied:
        state = self._running()
        due = self._due(state, desired)
        self._expect_nobody([*self._in_the_way(state, desired, due), *self._others(due)])
        if self._undo_leftovers():
            state = self._running()
        due, startup = self._due(state, desired), self._startup(state)
        told, mixed = self._pending(due, startup, desired), _mixed(state, startup, desired)
        if due:
            trial = self._try(due, confirm_timeout_s)
            state = self._prove(trial, desired, confirm_timeout_s)
        if told and not mixed:
            self._save()
        return Applied(
            changed=told if due or not mixed else [],
            under_way=self._under_way([], mixed),
            neighbours=self._heard(state),
        )

    def _heard(self, state: Running) -> dict[str, list[Neighbour]]:
        return self._neighbours() if state.lldp else {}

    def _pending(
        self, due: Sequence[Change], startup: Running | None, desired: DesiredSwitch
    ) -> list[str]:
        return self._told(due) if due else self._unsaved(startup, desired)

    def _under_way(self, due: Sequence[Change], mixed: Sequence[str]) -> list[UnderWay]:
        """Return what others have open, and the lines of theirs that keep ours from being saved."""
        found = self._others(due)
        if mixed and not any(other.blocks for other in found):  # a trial isn't to be saved yet
            sentence = (
                f"switch {self._connection.name} runs lines that somebody entered and didn't save "
                f"({'; '.join(_few(mixed))}), so nothing is saved there, the declared lines "
                f"neither: save them with '{self.saving}', or take them back, then run 'up' again"
            )
            found.append(UnderWay(sentence=sentence, blocks=False))
        return found

    def _in_the_way(
        self, state: Running, desired: DesiredSwitch, due: Sequence[Change]
    ) -> list[UnderWay]:
        return in_the_way(self._connection.name, self._connection.address, state, desired, due)

    def _expect_nobody(self, found: Sequence[UnderWay]) -> None:
        for other in found:
            if other.blocks:
                raise RackformError(other.sentence)

    def _prove(self, trial: str, desired: DesiredSwitch, confirm_timeout_s: int) -> Running:
        """Keep a trial that a new connection finds as declared, and return what runs."""
        name = self._connection.name
        try:
            self._reconnect()
        except Unreachable as error:
            raise Unreachable(
                f"switch {name} can't be reached after the change: it goes back to its former "
                f"configuration within {confirm_timeout_s} s by itself ({error})"
            ) from error
        state = self._running()
        left = self._told(self._due(state, desired))
        if left:
            self._undo(trial)
            raise RackformError(
                f"switch {name} still differs after the change ({'; '.join(left)}): the change "
                "was undone; see whether it cuts the way to the switch, so that its own timer took "
                "it back, or whether somebody else is configuring it"
            )
        self._keep(trial)
        return state

    def _due(self, state: Running, desired: DesiredSwitch) -> list[Change]:
        missing = [port for port in desired.ports if port not in state.ports]
        if missing:
            raise RackformError(
                f"switch {self._connection.name} has no port {', '.join(missing)} (it has "
                f"{', '.join(state.ports) or 'none'}): name one of these in the site"
            )
        return changes(state, desired, roce_per_port=self.roce_per_port)

    def _unsaved(self, startup: Running | None, desired: DesiredSwitch) -> list[str]:
        """Return that the saving is due, unless the switch would start with what is declared."""
        if startup is None or any(port not in startup.ports for port in desired.ports):
            return list(self.unsaved)
        same = not changes(startup, desired, roce_per_port=self.roce_per_port)
        return [] if same else list(self.unsaved)


def _mixed(state: Running, startup: Running | None, desired: DesiredSwitch) -> list[str]:
    """Return the undeclared lines that saving would keep; none where nothing was ever saved."""
    return [] if startup is None else unsaved(state, startup, desired)


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _NAMED
    return [*lines[:_NAMED], *([f"and {more} more"] if more > 0 else [])]
