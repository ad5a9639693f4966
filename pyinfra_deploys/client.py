"""The host worker as the provider sees it: plan and apply on one host, many at a time."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from pyinfra_deploys import registry
from pyinfra_deploys.messages import Answer, Applied, Event, Operation, Request
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError, Unreachable

__all__ = ["Applied", "Event", "HostWorker", "Operation", "shared"]

ROOT = Path(__file__).resolve().parent.parent
GRACE_S = 10
"""How much longer than the child's own limit the client waits before it calls the worker dead."""

_KINDS = {
    "": RackformError,
    "unreachable": Unreachable,
    "refused": LoginRefused,
    "other key": OtherHostKey,
}


class HostWorker:
    """A process with pyinfra in it that forks once per host.

    It starts at the first request (or at `start`), and its methods may be called from several
    threads at once: each call is a process of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._identities: dict[Connection, str] = {}

    def start(self) -> None:
        """Begin the import of pyinfra (about a second of CPU) without waiting for its end."""
        with self._lock:
            self._started()

    def plan(
        self,
        connection: Connection,
        deploys: Mapping[str, Mapping[str, JsonValue]],
        *,
        timeout_s: float = 120,
    ) -> list[Operation]:
        """Return the operations that are due on the host; change nothing there.

        Raises Unreachable where the host can't be reached, RackformError for wrong settings.
        """
        request = _request("plan", connection, deploys, timeout_s)
        return self._ask(request, connection, None).operations

    def apply(
        self,
        connection: Connection,
        deploys: Mapping[str, Mapping[str, JsonValue]],
        on_event: Callable[[Event], None] | None = None,
        *,
        timeout_s: float = 1800,
    ) -> Applied:
        """Bring the host to its declared state and return what was changed.

        The first operation that fails ends it; what was done before stays done, and the next run
        goes on from there. Raises as `plan` does, and RackformError for that operation.
        """
        request = _request("apply", connection, deploys, timeout_s)
        return Applied(changed=self._ask(request, connection, on_event).operations)

    def look(self, connection: Connection) -> str:
        """Return what the machine is, whatever it is called; ask it unless it told before.

        Raises as `plan` does.
        """
        if connection not in self._identities:
            self.plan(connection, {})
        return self._identities.get(connection, "")

    def close(self) -> None:
        """End the worker; requests under way end with it."""
        with self._lock:
            if self._control:
                self._control.close()
            if self._process:
                try:
                    self._process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process = self._control = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _started(self) -> socket.socket:
        if self._control and self._process and self._process.poll() is None:
            return self._control
        if self._control:
            self._control.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pyinfra_deploys.worker", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is this process's: the worker ends with its socket
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self._control = ours
        return ours

    def _ask(
        self, request: Request, connection: Connection, on_event: Callable[[Event], None] | None
    ) -> Answer:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                try:
                    socket.send_fds(self._started(), [b"?"], [theirs.fileno()])
                except OSError as error:
                    raise RackformError(
                        f"{connection.name}: the host worker ended ({error}); run it again"
                    ) from error
            ours.settimeout(request.timeout_s + GRACE_S)
            ours.sendall(request.model_dump_json().encode() + b"\n")
            for line in _lines(ours, connection):
                message = json.loads(line)
                if "state" in message:
                    if on_event:
                        on_event(Event.model_validate(message))
                    continue
                answer = _answer(Answer.model_validate(message))
                self._identities[connection] = answer.identity
                return answer
        raise RackformError(
            f"{connection.name}: the host worker ended without an answer; run it again, and see "
            "its last words on standard error if it happens twice"
        )


@cache
def shared() -> HostWorker:
    """Return the one worker of this process, started at the first call."""
    worker = HostWorker()
    worker.start()
    return worker


def _request(
    action: str,
    connection: Connection,
    deploys: Mapping[str, Mapping[str, JsonValue]],
    timeout_s: float,
) -> Request:
    for name, values in deploys.items():
        registry.settings(name, values)  # wrong settings end here, before any host is asked
    return Request.model_validate(
        {"action": action, "connection": connection, "deploys": deploys, "timeout_s": timeout_s}
    )


def _answer(answer: Answer) -> Answer:
    if answer.error:
        raise _KINDS[answer.kind](answer.error)
    return answer


def _lines(channel: socket.socket, connection: Connection) -> Iterator[bytes]:
    with contextlib.closing(channel.makefile("rb")) as stream:
        while True:
            try:
                line = stream.readline()
            except TimeoutError:
                raise RackformError(
                    f"{connection.name}: no answer from the host worker; run it again"
                ) from None
            except ConnectionError:
                return
            if not line:
                return
            yield line
