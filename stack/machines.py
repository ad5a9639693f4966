"""How real machines are reached: as the site itself declares it, host keys and all."""

from pathlib import Path

from remote import keys
from remote.connection import Connection
from remote.errors import RackformError
from stack.errors import InputError
from stack.schema import Site

SSH_PORT = 22


def declared(site: Site, private_key_file: Path) -> dict[str, Connection]:
    """Return node or switch → its connection; `private_key_file` where the site names no key."""
    key = site.ssh.private_key_file or private_key_file
    nodes = {
        name: (node.address, site.ssh.user, site.ssh.port, node.host_key)
        for name, node in site.nodes.items()
    }
    switches = {
        name: (switch.address, switch.user, SSH_PORT, switch.host_key)
        for name, switch in site.switches.items()
    }
    return {
        name: Connection(
            name=name,
            address=str(address),
            user=user,
            port=port,
            private_key_file=key,
            host_key=_pinned(name, host_key),
        )
        for name, (address, user, port, host_key) in {**nodes, **switches}.items()
    }


def own_key(site: Site) -> None:
    """See that the key that the site names can be used.

    Raises:
        InputError: it can't.

    """
    if site.twin or site.ssh.private_key_file is None:
        return
    try:
        keys.ready(site.ssh.private_key_file)
    except RackformError as error:
        raise InputError(f"ssh.private_key_file: {error}") from None


def _pinned(name: str, host_key: str | None) -> str:
    if host_key is None:
        raise ValueError(f"{name} has no host key, though the schema requires one")
    return host_key
