"""A machine's public host key as it shows it, and its fingerprint to compare on the console."""

import base64
import hashlib
import subprocess
from dataclasses import dataclass

from remote.errors import Unreachable

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
_TIMEOUT_S = 10


@dataclass(frozen=True)
class HostKey:
    address: str
    key: str
    """As a site has it: 'ssh-ed25519 AAAA…'."""

    @property
    def fingerprint(self) -> str:
        """Return what 'ssh-keygen -lf' shows of it: SHA256:…"""
        blob = base64.b64decode(self.key.partition(" ")[2])
        digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"


def parse(address: str, text: str) -> HostKey | None:
    """Return the strongest key of ssh-keyscan's lines; None where there is none."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    keys = {row[1]: f"{row[1]} {row[2]}" for row in rows if len(row) > 2}  # noqa: PLR2004 - host, kind, key
    kind = next((kind for kind in _KINDS if kind in keys), None)
    return HostKey(address, keys[kind]) if kind else None


def shown(address: str, port: int) -> HostKey:
    """Ask a machine for its host key.

    Raises:
        Unreachable: nothing answers like SSH.

    """
    command = ["ssh-keyscan", "-T", "5", "-p", str(port), "-t", "ed25519,ecdsa,rsa", "--", address]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        found = parse(address, done.stdout)
    except subprocess.TimeoutExpired:
        found = None
    if found is None:
        raise Unreachable(
            f"{address} doesn't answer as an SSH server on port {port}: see that the machine runs, "
            "that sshd listens there, and that nothing filters it"
        )
    return found
