"""Waiting until a machine of the twin lets the controller in."""

import socket
import time
from pathlib import Path

from lab import processes, shell
from remote.connection import Connection
from remote.errors import RackformError

POLL_S = 0.05


def wait_login(
    connection: Connection, folder: Path, *, timeout_s: float, command: str = "true"
) -> None:
    """Wait for an SSH server with the pinned key that takes the controller's and runs a command.

    Raises:
        RackformError: not within the time, or the machine ended; with the console's last lines.

    """
    deadline = time.monotonic() + timeout_s
    why = "nothing listens on its SSH port"
    while time.monotonic() < deadline:
        if processes.supervisor(folder) is None:
            raise RackformError(
                f"{connection.name} powered off while the twin waited for its SSH at "
                f"{connection.address}; its console says:\n{processes.log_tail(folder)}"
            )
        if banner(connection):
            answer = greet(connection, folder, command)
            if answer is None:
                return
            why = answer
            time.sleep(0.3)
        time.sleep(POLL_S)
    raise RackformError(
        f"{connection.name} did not let the controller in over SSH at {connection.address}:"
        f"{connection.port} within {timeout_s:.0f} s ({why}); its console says:\n"
        f"{processes.log_tail(folder)}\nRun 'up' again, or './rackform down' first if it stays so"
    )


def banner(connection: Connection, timeout_s: float = 1) -> bool:
    """Say whether an SSH server greets at the machine's address."""
    try:
        end = (connection.address, connection.port)
        with socket.create_connection(end, timeout=timeout_s) as sock:
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def greet(connection: Connection, folder: Path, command: str = "true") -> str | None:
    """Log in once; return why it failed, or None."""
    try:
        run(connection, folder, command, timeout_s=20)
    except RackformError as error:
        return str(error)
    return None


def run(connection: Connection, folder: Path, command: str, timeout_s: float = 120) -> str:
    """Run a command on a machine of the twin over SSH and return what it printed.

    Not multiplexed: a connection of before a reboot would hang.

    Raises:
        RackformError: it failed; with the last line that it, or ssh, said.

    """
    known = folder / "known_hosts"
    known.write_text(f"{connection.address} {connection.host_key}\n", encoding="ascii")
    options = [
        "BatchMode=yes",
        "ConnectTimeout=5",
        "StrictHostKeyChecking=yes",
        f'UserKnownHostsFile="{known}"',
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "ControlPath=none",
    ]
    argv = ["ssh", "-F", "none", "-p", str(connection.port)]
    for option in options:
        argv += ["-o", option]
    argv += ["-i", str(connection.private_key_file), f"{connection.user}@{connection.address}"]
    return shell.run(
        [*argv, command],
        stdin="",
        purpose=f"run '{command}' on {connection.name}",
        timeout_s=timeout_s,
    )
