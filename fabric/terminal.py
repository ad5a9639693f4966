"""A terminal on a switch by netmiko: one pinned host key, one private key, errors as sentences."""

import contextlib
import logging
import re
import select
import socket
import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from netmiko.base_connection import BaseConnection
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException, ReadTimeout
from paramiko.ssh_exception import BadHostKeyException, SSHException

from fabric.trial import TrialSwitch
from remote import keys
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError, Unreachable

if TYPE_CHECKING:
    from paramiko import Channel

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 30
SSH_PORT = 22

# Without a handler, Python prints paramiko's tracebacks to standard error; errors are raised here.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Woken(BaseConnection):
    """A netmiko driver, woken by what the switch sends instead of asking every 10 ms."""

    greeting: ClassVar[str]
    """What is seen once the switch can be typed to."""
    unpaged: ClassVar[str]
    """The answer to the line that turns paging off, up to and with the next prompt."""

    def _try_session_preparation(self, force_data: bool = False) -> None:  # noqa: FBT001, FBT002 - netmiko's signature
        super()._try_session_preparation(force_data=force_data)

    def session_preparation(self) -> None:
        """Turn paging off, and learn the prompt from the answer instead of waiting for silence."""
        self.ansi_escape_codes = True
        self._test_channel_read(pattern=self.greeting)
        answer = str(self.disable_paging(cmd_verify=False, pattern=self.unpaged))
        self.base_prompt = answer.splitlines()[-1].strip()[:-1]

    def read_until_pattern(
        self,
        pattern: str = "",
        read_timeout: float = READ_TIMEOUT_S,
        re_flags: int = 0,
        max_loops: int | None = None,  # noqa: ARG002 - netmiko's signature
    ) -> str:
        end = time.monotonic() + read_timeout
        heard = str(self.read_channel())
        channel = cast("Channel", self.remote_conn)
        while not (found := re.search(pattern, heard, re_flags)):
            left = max(0.0, end - time.monotonic())
            if not select.select([channel], [], [], left)[0]:
                raise ReadTimeout(f"no {pattern!r} within {read_timeout} s")
            fresh = str(self.read_channel())
            if not fresh and channel.closed:
                raise EOFError("it closed the connection")
            heard += fresh
        self._read_buffer += heard[found.end() :]
        return heard[: found.end()]


def _known_hosts_line(connection: Connection) -> str:
    host = connection.address
    if connection.port != SSH_PORT:
        host = f"[{host}]:{connection.port}"
    return f"{host} {connection.host_key}\n"


@contextlib.contextmanager
def reaching(connection: Connection, system: str) -> Iterator[None]:
    """Turn what netmiko and paramiko raise into a sentence."""
    where = f"switch {connection.name} at {connection.address}:{connection.port}"
    try:
        yield
    except ValueError as error:  # netmiko's own word for a prompt or a mode that didn't come
        raise RackformError(
            f"{where} answers, but not like {system} that lets user {connection.user} use 'enable' "
            f"without a password ({str(error).strip().splitlines()[0]}): see to both"
        ) from error
    except NetmikoAuthenticationException as error:
        raise LoginRefused(
            f"{where} refuses user {connection.user} with the key {connection.private_key_file}: "
            "add the key's public half to the switch, or name the right one"
        ) from error
    except (NetmikoBaseException, SSHException, OSError, EOFError) as error:
        if isinstance(error.__context__, BadHostKeyException):
            raise OtherHostKey(
                f"{where} shows another host key than the pinned one: find out why before you "
                "trust it, then pin the new key"
            ) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreachable(
            f"{where} can't be reached ({reason[0]}): see that it is up and that the management "
            "network leads to it"
        ) from error


def own_key(connection: Connection) -> keys.KeyFile:
    """Return what is told of the controller's own key.

    Raises:
        RackformError: it can't be used.

    """
    try:
        return keys.ready(connection.private_key_file)
    except RackformError as error:
        raise RackformError(f"switch {connection.name}: {error}") from None


def _at_once(connection: Connection) -> socket.socket:
    """Return a TCP connection that sends at once: a small message would wait 40 ms."""
    opened = socket.create_connection((connection.address, connection.port), CONNECT_TIMEOUT_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def connect(
    connection: Connection, driver: type[BaseConnection], device_type: str, system: str
) -> BaseConnection:
    """Return a terminal that may configure.

    Raises:
        Unreachable: no connection, another host key, or a refused login.

    """
    in_agent = own_key(connection).locked
    with tempfile.TemporaryDirectory(prefix="rackform-") as folder:
        known_hosts = Path(folder) / "known_hosts"
        known_hosts.write_text(_known_hosts_line(connection), encoding="ascii")
        with reaching(connection, system):
            terminal = driver(
                device_type=device_type,
                host=connection.address,
                port=connection.port,
                sock=_at_once(connection),
                username=connection.user,
                use_keys=not in_agent,
                key_file=None if in_agent else str(connection.private_key_file),
                allow_agent=in_agent,
                ssh_strict=True,
                alt_host_keys=True,
                alt_key_file=str(known_hosts),
                conn_timeout=CONNECT_TIMEOUT_S,
                banner_timeout=CONNECT_TIMEOUT_S,
                auth_timeout=CONNECT_TIMEOUT_S,
                fast_cli=True,
            )
            terminal.enable()
            return terminal


class TerminalSwitch(TrialSwitch):
    """One switch whose command line is typed into. Connects when it is made."""

    system: ClassVar[str]

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._terminal = self._open()
        prompt = re.escape(str(self._terminal.base_prompt).strip())
        self._prompt = rf"{prompt}\s*(?:\([^)\n]*\)\s*)?[>#]\s*$"

    @abstractmethod
    def _open(self) -> BaseConnection:
        """Return a terminal that may configure."""

    def close(self) -> None:
        """Drop the connection, without netmiko's polite and slow way out."""
        self._terminal.paramiko_cleanup()

    def _reconnect(self) -> None:
        fresh = self._open()
        self.close()
        self._terminal = fresh

    def _own_address(self) -> str:
        """Return the address from which the switch sees this connection come."""
        channel = cast("Channel", self._terminal.remote_conn)
        return str(cast("socket.socket", channel.get_transport().sock).getsockname()[0])

    def _do(self, command: str) -> None:
        """Enter a line that prints nothing unless it is refused or warned about."""
        self._ask(command)

    def _ask(self, command: str) -> str:
        with reaching(self._connection, self.system):
            self._terminal.write_channel(f"{command}\n")
            echo = rf"{re.escape(command)}[\s\S]*?\n{self._prompt}"
            heard = self._terminal.read_until_pattern(echo, read_timeout=READ_TIMEOUT_S)
        _, _, answer = str(heard).replace("\r", "").partition(f"{command}\n")
        text = answer.rpartition("\n")[0].strip("\n")
        refused = next((line for line in text.splitlines() if line.startswith("% ")), None)
        if refused:
            raise RackformError(
                f"switch {self._connection.name} refuses '{command}' ({refused[2:]}): check the "
                f"value against what this switch and its {self.system} version allow"
            )
        return text
