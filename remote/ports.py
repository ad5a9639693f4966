"""Who listens on a machine's port, so that a clash is named before a container crashes over it."""

import re

from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError

_EVERYWHERE = frozenset({"0.0.0.0", "*", "[::]"})  # noqa: S104 - compared with, not listened on


def refuse_taken(connection: Connection, who: str, address: str, port: int) -> None:
    """Raise where something else listens on the address and port that `who` is about to take."""
    listed = ssh.run(connection, ["ss", "-Hltnp", f"sport = :{port}"]).stdout
    if holder := holder_of(listed, address):
        raise RackformError(
            f"port {port} of {address} is taken on {connection.name} by {holder}, and {who} is to"
            " listen there: end that, or choose another port in the site, then run 'up' again"
        )


def holder_of(listed: str, address: str) -> str | None:
    """Return who listens on the address, from lines of `ss -Hltnp` about one port."""
    for line in listed.splitlines():
        local = line.split()[3].rpartition(":")[0].partition("%")[0]
        if local in _EVERYWHERE or local.strip("[]") == address:
            found = re.search(r'\("([^"]+)",pid=(\d+)', line)
            return f"{found[1]} (process {found[2]})" if found else "a process of the kernel"
    return None
