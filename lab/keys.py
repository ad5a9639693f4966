"""SSH keys: the controller's own, and one host key for each machine of the twin."""

import fcntl
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from remote.errors import RackformError
from remote.private_file import write_private


@dataclass(frozen=True)
class ControllerKey:
    """The key with which the controller logs in everywhere.

    Attributes:
        private_file: readable by its owner alone.
        public: as in authorized_keys: `ssh-ed25519 AAAA… rackform`.

    """

    private_file: Path
    public: str


def controller_key(stack_dir: Path) -> ControllerKey:
    """Return the stack's SSH key, made at the first call."""
    private = stack_dir / "ssh" / "id_ed25519"
    return ControllerKey(private, f"{ensure_key(private)} rackform")


def ensure_key(private: Path) -> str:
    """Make an ed25519 key unless it's there; return its public half (`ssh-ed25519 AAAA…`)."""
    private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with private.with_name(f".{private.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not private.exists():
            made = Ed25519PrivateKey.generate()
            text = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            write_private(private, text.decode())
        return public_key(private)


def public_key(private: Path) -> str:
    """Return the public half of a private key file."""
    try:
        key = load_ssh_private_key(private.read_bytes(), password=None)
    except ValueError as error:
        raise RackformError(
            f"{private} is no SSH key ({error}): remove it, and the next 'up' makes another"
        ) from error
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return public.decode()
