"""The Pulumi engine as this command uses it: one process a call, its events read as they come."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue, TypeAdapter

from cli import backend
from cli.console import err
from cli.events import EngineEvent
from remote.errors import RackformError
from stack.errors import InputError
from stack.paths import ROOT, state_dir

_POLL_S = 0.1
_ALL = "1000000"
_JSON_LIST = TypeAdapter(list[JsonValue])
_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


class EngineFailedError(RackformError):
    """Pulumi ended with an error that it has already told on the screen."""


class Watcher(Protocol):
    """Who follows a run of the engine."""

    def on_event(self, event: EngineEvent) -> None: ...

    def on_pause(self) -> None:
        """Be told, many times a second, that nothing has happened since."""


class Pulumi:
    """The engine on one stack; every call is a process of its own and ends with it."""

    def __init__(self, stack: str) -> None:
        self.stack = stack

    def ensure_stack(self) -> None:
        """Make the stack in the backend if it isn't there; the stack's file is never touched."""
        if not backend.holds(self.stack):
            self._output("stack", "select", "--create", self.stack)

    def exists(self) -> bool:
        listed = self._output("stack", "ls", "--json")
        return any(entry["name"].split("/")[-1] == self.stack for entry in json.loads(listed))

    def outputs(self) -> dict[str, JsonValue]:
        """Return the stack's outputs, its secrets in the clear: for this process only."""
        text = self._output("stack", "output", "--json", "--show-secrets", "--stack", self.stack)
        return _JSON_OBJECT.validate_json(text)

    def history(self) -> list[JsonValue]:
        """Return the stack's updates as `pulumi stack history --json` does, the newest first."""
        text = self._output(
            "stack", "history", "--json", "--full-dates", "--page-size", _ALL, "--stack", self.stack
        )
        return _JSON_LIST.validate_json(text or "[]")

    def export(self, version: int) -> dict[str, Any]:
        """Return the stack's state after one of its updates; not every backend can tell it."""
        text = self._output("stack", "export", "--version", str(version), "--stack", self.stack)
        exported: dict[str, Any] = json.loads(text)
        return exported

    def configure(self, file: Path, remove: Sequence[str], put: Mapping[str, JsonValue]) -> None:
        """Change paths of the configuration in a file that is laid out as the stack's."""
        chosen = ("--stack", self.stack, "--config-file", str(file))
        for path in remove:
            self._output("config", "rm", "--path", path, *chosen)
        values = [f"{path}={_scalar(value)}" for path, value in put.items()]
        if values:
            given = [part for value in values for part in ("--plaintext", value)]
            self._output("config", "set-all", "--path", *given, *chosen)

    def preview(self, file: Path) -> None:
        """Show on standard error what an `up` with this configuration file would change.

        Raises:
            EngineFailedError: it could not be previewed, as told on the screen.

        """
        done = subprocess.run(
            ["pulumi", "preview", "--diff", "--non-interactive", "--stack", self.stack,
             "--config-file", str(file)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise EngineFailedError("the preview failed, as told above: nothing was changed")

    def unlock(self) -> None:
        """Release the lock of an update that was killed; harmless when there is none."""
        self._output("cancel", "--yes", "--stack", self.stack)

    def clear_pending(self) -> None:
        """Drop what an interrupted update was making, and read the machines instead."""
        self._output(
            "refresh", "--clear-pending-creates", "--yes", "--skip-preview", "--stack", self.stack
        )

    def remove_stack(self) -> None:
        self._output("stack", "rm", "--yes", "--force", "--preserve-config", "--stack", self.stack)

    def run(self, command: str, *options: str, watcher: Watcher) -> None:
        """Run an update (`up`, `destroy`) and hand over each event as it is written.

        The engine has a process group of its own, so that an interrupt reaches it once, from here:
        a second one makes it drop what is under way. If this process is killed, it is interrupted.

        Raises:
            EngineFailedError: the engine ended with an error; its diagnostics were handed over.

        """
        state_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=state_dir(), prefix="events-") as folder:
            log = Path(folder, "events.jsonl")
            log.touch(mode=0o600)
            process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig", "INT", "pulumi", command, "--yes",
                    "--skip-preview", "--non-interactive", "--stack", self.stack,
                    "--event-log", log, *options,
                ],
                cwd=ROOT,
                env={**os.environ, "PULUMI_DEBUG_COMMANDS": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )  # fmt: skip
            try:
                for line in _follow(log, process, watcher.on_pause):
                    watcher.on_event(EngineEvent.model_validate_json(line))
            except KeyboardInterrupt:
                _wind_down(process)
                raise
            _, error = process.communicate()
        if process.returncode:
            _refuse_passphrase(error)
            raise EngineFailedError(error.strip() or f"pulumi {command} failed")

    def _output(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            _refuse_passphrase(done.stderr)
            cause = done.stderr.strip().removeprefix("error: ")
            raise RackformError(f"pulumi {' '.join(arguments)}: {cause}")
        return done.stdout


def _scalar(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_passphrase(error: str) -> None:
    """Raise where the engine's own words say that the passphrase is the wrong one."""
    if "incorrect passphrase" in error:
        raise InputError(
            "the passphrase does not open this stack's secrets: point"
            " PULUMI_CONFIG_PASSPHRASE_FILE at the file that the stack was made with"
        )


def _wind_down(process: subprocess.Popen[str]) -> None:
    """Let the engine end or cancel what is under way; a second interrupt stops it at once."""
    err.print("interrupted: ending what is under way (press ctrl-C again to stop at once)")
    process.send_signal(signal.SIGINT)
    try:
        process.communicate()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.communicate()


def _follow(
    log: Path, process: subprocess.Popen[str], on_pause: Callable[[], None]
) -> Iterator[str]:
    """Yield each whole line of the growing file until the process has ended."""
    with log.open(encoding="utf-8") as lines:
        part = ""
        while True:
            ended = process.poll() is not None
            while text := lines.readline():
                part += text
                if part.endswith("\n"):
                    yield part
                    part = ""
            if ended:
                return
            on_pause()
            time.sleep(_POLL_S)
