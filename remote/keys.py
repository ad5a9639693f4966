"""The private key with which the controller logs in: what its file tells, and whether it is usable.

A key with a passphrase is used through the SSH agent, to which somebody gave the passphrase: nobody
is there to type it later.
"""

import base64
import binascii
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from remote.errors import RackformError

_MAGIC = b"openssh-key-v1\0"
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\s(.*?)-----END ", re.DOTALL)
_FOR_OTHERS = 0o077
_AGENT_S = 5
_NAME_IT = "name another by ssh.private_key_file"


@dataclass(frozen=True)
class KeyFile:
    """What a private key's file tells without its passphrase.

    Attributes:
        locked: it has a passphrase.
        public: as in authorized_keys: `ssh-ed25519 AAAA…`; empty where the file doesn't tell.

    """

    locked: bool
    public: str


def read(path: Path) -> KeyFile:
    """Return what a private key's file tells.

    Raises:
        RackformError: it isn't there, can't be read, may be read by others, or is no private key.

    """
    path = path.expanduser()
    try:
        text = path.read_text(encoding="ascii")
        facts = path.stat()
    except FileNotFoundError:
        raise RackformError(
            f"the private key {path} isn't there: put it back, or {_NAME_IT}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RackformError(f"the private key {path} can't be read ({error}): {_NAME_IT}") from None
    found = parse(text)
    if found is None:
        meant = " (a public one has .pub at its end)" if text.startswith(("ssh-", "ecdsa-")) else ""
        raise RackformError(f"{path} is no private SSH key{meant}: {_NAME_IT}")
    if facts.st_uid == os.geteuid() and facts.st_mode & _FOR_OTHERS:
        raise RackformError(
            f"the private key {path} has mode {facts.st_mode & 0o777:04o}, and SSH uses none that "
            f"others may read: run 'chmod 600 {path}'"
        )
    return found if found.public else KeyFile(found.locked, _beside(path))


def ready(path: Path) -> KeyFile:
    """Return what the file tells of a key that can be used now.

    Raises:
        RackformError: as `read`, or it has a passphrase and the agent hasn't the key.

    """
    found = read(path)
    if found.locked and not in_agent(found):
        at = "the SSH agent hasn't it" if os.environ.get("SSH_AUTH_SOCK") else "no SSH agent runs"
        raise RackformError(
            f"the private key {path} has a passphrase, which nobody is there to type, and {at}: "
            f"run 'eval \"$(ssh-agent)\"; ssh-add {path}' in this shell first, or name one without "
            "a passphrase by ssh.private_key_file"
        )
    return found


def in_agent(key: KeyFile) -> bool:
    """Say whether the SSH agent of this shell has the key."""
    if not (key.public and os.environ.get("SSH_AUTH_SOCK")):
        return False
    try:
        done = subprocess.run(
            ["ssh-add", "-L"], capture_output=True, text=True, timeout=_AGENT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.split()[:2] == key.public.split() for line in done.stdout.splitlines())


def parse(text: str) -> KeyFile | None:
    """Read a private key as OpenSSH or OpenSSL writes it; None: it is none."""
    found = _PEM.search(text)
    if found is None:
        return None
    kind, body = found[1], found[2]
    if kind != "OPENSSH ":
        return KeyFile("ENCRYPTED" in kind or "Proc-Type: 4,ENCRYPTED" in body, "")
    try:
        blob = base64.b64decode(body)
        if not blob.startswith(_MAGIC):
            return None
        cipher, rest = _string(blob.removeprefix(_MAGIC))
        _, rest = _string(rest)
        _, rest = _string(rest)
        public, _ = _string(rest[4:])  # after the count of keys, which is one
        name, _ = _string(public)
    except (binascii.Error, ValueError):
        return None
    return KeyFile(cipher != b"none", f"{name.decode()} {base64.b64encode(public).decode()}")


def _string(blob: bytes) -> tuple[bytes, bytes]:
    """Split SSH's string (RFC 4251: its length in four bytes) from what follows it."""
    end = 4 + int.from_bytes(blob[:4])
    if len(blob) < end:
        raise ValueError(blob)
    return blob[4:end], blob[end:]


def _beside(path: Path) -> str:
    """Return the public half from the file that ssh-keygen writes beside an older kind of key."""
    try:
        words = path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return ""
    return " ".join(words[:2]) if len(words) > 1 else ""
