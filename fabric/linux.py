"""Switches that are Linux machines (SONiC, Cumulus): their commands over SSH."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from fabric.terminal import own_key
from fabric.trial import TrialSwitch
from remote import ssh
from remote.connection import Connection
from remote.errors import NotDone, RackformError, Unreachable

COMMAND_TIMEOUT_S = 60
_TREE = TypeAdapter(dict[str, object])


class LinuxSwitch(TrialSwitch):
    """One switch with a shell. Connects when it is made."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        own_key(connection)
        self._run("true")

    def close(self) -> None:
        """Leave the connection to be shared: OpenSSH closes it when it has been idle."""

    def _reconnect(self) -> None:
        ssh.forget(self._connection)
        self._run("true")

    def _run(self, *words: str, stdin: str | None = None) -> str:
        """Return what a command prints.

        Raises:
            RackformError: the switch refuses it.
            Unreachable: no connection, or no answer any more, as when it cuts its own way.

        """
        try:
            done = ssh.run(
                self._connection, words, input=stdin, timeout_s=COMMAND_TIMEOUT_S, check=False
            )
        except (Unreachable, NotDone) as error:
            ssh.forget(self._connection)  # the next one shan't wait for an answer over a dead one
            kind = type(error) if isinstance(error, Unreachable) else Unreachable
            raise kind(f"switch {error}") from error
        if done.returncode == 0:
            return done.stdout
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RackformError(
            f"switch {self._connection.name} refuses '{' '.join(words)}' "
            f"({said[-1] if said else f'status {done.returncode}'}): check the value against what "
            "this switch and its version allow"
        )

    def _json(self, *words: str) -> dict[str, object]:
        text = self._run(*words)
        try:
            return _TREE.validate_json(text or "{}")
        except ValidationError as error:
            raise RackformError(
                f"switch {self._connection.name} answers '{' '.join(words)}' with something else "
                f"than JSON ({text.strip()[:60]!r}): see what it says there by hand"
            ) from error


def branch(tree: object, *keys: str) -> dict[str, object]:
    """Return the mapping below these keys; empty where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def leaf(tree: object, *keys: str) -> str | None:
    """Return the text below these keys; None where there is none."""
    found = branch(tree, *keys[:-1]).get(keys[-1])
    return None if found is None or isinstance(found, dict | list) else str(found)


def joined(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in sorted(values))
