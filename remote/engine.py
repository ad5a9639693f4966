"""Docker Engine of another machine: its socket by OpenSSH, with the machine's key pinned."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import requests.exceptions
from docker.errors import DockerException

from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError

REMOTE_SOCKET = "/run/docker.sock"
CALL_TIMEOUT_S = 120
"""Longest silence of the engine within one call. Stopping and `docker load` are the slowest."""


@contextlib.contextmanager
def engine(connection: Connection) -> Iterator[docker.DockerClient]:
    """Yield a client for the machine's Docker Engine; failures of either become sentences.

    The engine's socket is forwarded to one of ours through the machine's multiplexed SSH
    connection: a call costs about a millisecond, and no port opens on either side.
    """
    with tempfile.TemporaryDirectory(prefix="rackform-") as folder:
        socket = Path(folder, "docker.sock")
        try:
            with ssh.forwarded(connection, f"{socket}:{REMOTE_SOCKET}"), _sentences(connection):
                client = docker.DockerClient(
                    base_url=f"unix://{socket}", version="auto", timeout=CALL_TIMEOUT_S
                )
                try:
                    yield client
                finally:
                    client.close()
        finally:
            socket.unlink(missing_ok=True)


@contextlib.contextmanager
def _sentences(connection: Connection) -> Iterator[None]:
    try:
        yield
    except requests.exceptions.ConnectionError as error:
        raise RackformError(
            f"{connection.name}: Docker Engine does not answer ({_root(error)}); see "
            f"'systemctl status docker' there"
        ) from error
    except requests.exceptions.Timeout as error:
        raise RackformError(
            f"{connection.name}: Docker Engine was silent for {CALL_TIMEOUT_S} s; see "
            f"'journalctl -u docker' there"
        ) from error
    except DockerException as error:
        explanation = getattr(error, "explanation", None) or str(error)
        if "Error while fetching server API version" in explanation:
            explanation = "Docker Engine does not answer; see 'systemctl status docker' there"
        raise RackformError(f"{connection.name}: {explanation}") from error


def _root(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error)
