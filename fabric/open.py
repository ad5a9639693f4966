"""Opens a switch by the name of its network OS."""

from collections.abc import Callable

from fabric.cumulus import Cumulus
from fabric.eos import Eos
from fabric.onyx import Onyx
from fabric.protocol import Switch
from fabric.sonic import Sonic
from remote.connection import Connection
from remote.errors import RackformError

_SYSTEMS: dict[str, Callable[[Connection], Switch]] = {
    "eos": Eos,
    "cumulus": Cumulus,
    "onyx": Onyx,
    "sonic": Sonic,
}


def open_switch(os: str, connection: Connection) -> Switch:
    """Return a switch that is connected.

    Raises:
        RackformError: the network OS isn't known here.
        Unreachable: no connection, another host key, or a refused login.

    """
    if os not in _SYSTEMS:
        raise RackformError(
            f"switch {connection.name} has os = {os}, but only {', '.join(_SYSTEMS)} can be "
            "spoken to: use one of these"
        )
    return _SYSTEMS[os](connection)
