"""Arista EOS over SSH, by netmiko: every change is a configuration session with a commit timer."""

import contextlib
import logging
import re
import secrets
import select
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from netmiko.arista.arista import AristaSSH
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException, ReadTimeout
from paramiko.ssh_exception import BadHostKeyException, SSHException

from fabric import eos_text
from fabric.protocol import DesiredSwitch, SwitchState
from remote.connection import Connection
from remote.errors import RackformError, Unreachable

if TYPE_CHECKING:
    from paramiko import Channel

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 30
SSH_PORT = 22
SESSION_PREFIX = "rackform-"
_UNSAVED = "startup-config"

# Without a handler, Python prints paramiko's tracebacks to standard error; errors are raised here.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Terminal(AristaSSH):
    """netmiko's EOS driver, woken by what the switch sends instead of asking every 10 ms."""

    def _try_session_preparation(self, force_data: bool = False) -> None:  # noqa: FBT001, FBT002 - netmiko's signature
        super()._try_session_preparation(force_data=force_data)

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

    def session_preparation(self) -> None:
        self.ansi_escape_codes = True
        self._test_channel_read(pattern=self.prompt_pattern)
        self.disable_paging(cmd_verify=False, pattern=r"Pagination disabled[^>#]*[>#]")
        self.set_base_prompt()


def _known_hosts_line(connection: Connection) -> str:
    host = connection.address
    if connection.port != SSH_PORT:
        host = f"[{host}]:{connection.port}"
    return f"{host} {connection.host_key}\n"


@contextlib.contextmanager
def _reaching(connection: Connection) -> Iterator[None]:
    """Turn what netmiko and paramiko raise into a sentence."""
    where = f"switch {connection.name} at {connection.address}:{connection.port}"
    try:
        yield
    except ValueError as error:  # netmiko's own word for a prompt or a mode that didn't come
        raise RackformError(
            f"{where} answers, but not like EOS that lets user {connection.user} use 'enable' "
            f"without a password ({str(error).strip().splitlines()[0]}): see to both"
        ) from error
    except NetmikoAuthenticationException as error:
        raise Unreachable(
            f"{where} refuses user {connection.user} with the key {connection.private_key_file}: "
            "add the key's public half to the switch, or name the right one"
        ) from error
    except (NetmikoBaseException, SSHException, OSError, EOFError) as error:
        if isinstance(error.__context__, BadHostKeyException):
            raise Unreachable(
                f"{where} shows another host key than the pinned one: find out why before you "
                "trust it, then pin the new key"
            ) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreachable(
            f"{where} can't be reached ({reason[0]}): see that it is up and that the management "
            "network leads to it"
        ) from error


def _connect(connection: Connection) -> AristaSSH:
    if not connection.private_key_file.is_file():
        raise RackformError(
            f"the private key {connection.private_key_file} for switch {connection.name} isn't "
            "there: put it back, or name another one in the site"
        )
    with tempfile.TemporaryDirectory(prefix="rackform-") as folder:
        known_hosts = Path(folder) / "known_hosts"
        known_hosts.write_text(_known_hosts_line(connection), encoding="ascii")
        with _reaching(connection):
            terminal = _Terminal(
                device_type="arista_eos",
                host=connection.address,
                port=connection.port,
                username=connection.user,
                use_keys=True,
                key_file=str(connection.private_key_file),
                allow_agent=False,
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


class Eos:
    """One switch that runs Arista EOS. Connects when it is made."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._terminal = _connect(connection)
        prompt = re.escape(self._terminal.base_prompt)
        self._prompt = rf"{prompt}(?:\([^)\s]*\))?[>#]\s*$"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection, without netmiko's polite and slow way out."""
        self._terminal.paramiko_cleanup()

    def read(self) -> SwitchState:
        config = self._config("running-config")
        up = eos_text.connected(self._ask("show interfaces status"))
        heard = eos_text.neighbours(self._ask("show lldp neighbors")) if config.lldp else {}
        return SwitchState(
            ports={
                name: port.model_copy(update={"connected": name in up})
                for name, port in config.ports.items()
            },
            lldp=config.lldp,
            neighbours=heard,
        )

    def pending(self, desired: DesiredSwitch) -> list[str]:
        due = self._differences(desired)
        if due:
            return eos_text.told(due)
        return [] if self._saved(desired) else [_UNSAVED, "  + write memory"]

    def apply(self, desired: DesiredSwitch, confirm_timeout_s: int) -> list[str]:
        self._drop_leftovers()
        due = self._differences(desired)
        told = eos_text.told(due) if due else self.pending(desired)
        if due:
            session = SESSION_PREFIX + secrets.token_hex(4)
            self._commit(session, eos_text.commands(due), confirm_timeout_s)
            self._confirm(session, desired, confirm_timeout_s)
        if told:
            self._save()
        return told

    def _commit(self, session: str, commands: list[str], confirm_timeout_s: int) -> None:
        try:
            self._do(f"configure session {session}")
            for command in commands:
                self._do(command)
            self._expect_difference(commands)
        except Unreachable:
            raise  # the next run aborts what is left of the session
        except RackformError:
            self._abort(session)
            raise
        try:
            self._do(f"commit timer {eos_text.timer(confirm_timeout_s)}")
        except Unreachable:
            return  # a new connection, if there can be one, finds out how it went
        except RackformError:
            self._abort(session)
            raise

    def _abort(self, session: str) -> None:
        with contextlib.suppress(RackformError):
            self._do(f"configure session {session} abort")

    def _expect_difference(self, commands: list[str]) -> None:
        if not self._ask("show session-config diffs"):
            raise RackformError(
                f"switch {self._connection.name} took {commands} without a difference to its "
                "running configuration: enter them by hand to see why"
            )

    def _confirm(self, session: str, desired: DesiredSwitch, confirm_timeout_s: int) -> None:
        """Confirm from a new connection, which proves that the switch can still be reached."""
        name = self._connection.name
        try:
            fresh = Eos(self._connection)
        except Unreachable as error:
            raise Unreachable(
                f"switch {name} can't be reached after the change: it goes back to its former "
                f"configuration within {confirm_timeout_s} s by itself ({error})"
            ) from error
        self.close()
        self._terminal = fresh._terminal
        left = eos_text.told(self._differences(desired))
        if left:
            self._abort(session)
            raise RackformError(
                f"switch {name} still differs after the change ({'; '.join(left)}): the change "
                "was undone; see whether somebody else is configuring it"
            )
        self._do(f"configure session {session} commit")

    def _drop_leftovers(self) -> None:
        """Abort the sessions of a run that was cut off; a timed commit among them is undone."""
        listing = self._ask("show configuration sessions detail")
        for session in sorted(eos_text.open_sessions(listing)):
            if session.startswith(SESSION_PREFIX):
                self._do(f"configure session {session} abort")
            elif session in eos_text.timed_sessions(listing):
                raise RackformError(
                    f"switch {self._connection.name} is waiting for somebody to confirm the "
                    f"configuration session {session}: confirm it there with 'configure session "
                    f"{session} commit', or wait until its timer has run out"
                )

    def _differences(self, desired: DesiredSwitch) -> list[eos_text.Difference]:
        state = self._config("running-config")
        missing = [port for port in desired.ports if port not in state.ports]
        if missing:
            raise RackformError(
                f"switch {self._connection.name} has no port {', '.join(missing)} (it has "
                f"{', '.join(state.ports) or 'none'}): name one of these in the site"
            )
        return eos_text.differences(state, desired)

    def _saved(self, desired: DesiredSwitch) -> bool:
        """Return whether the switch would start with what is declared."""
        try:
            state = self._config("startup-config")
        except Unreachable:
            raise
        except RackformError:  # it was never saved
            return False
        if any(port not in state.ports for port in desired.ports):
            return False
        return not eos_text.differences(state, desired)

    def _config(self, which: str) -> eos_text.Running:
        return eos_text.running(self._ask(f"show {which}"))

    def _save(self) -> None:
        answer = self._ask("write memory")
        if "Copy completed successfully" not in answer:
            raise RackformError(
                f"switch {self._connection.name} runs the new configuration but didn't save it "
                f"({answer or 'no answer'}): free space on its flash, then run 'up' again"
            )

    def _do(self, command: str) -> None:
        """Enter a line that prints nothing unless it is refused or warned about."""
        self._ask(command)

    def _ask(self, command: str) -> str:
        with _reaching(self._connection):
            self._terminal.write_channel(f"{command}\n")
            echo = rf"{re.escape(command)}[\s\S]*?\n{self._prompt}"
            heard = self._terminal.read_until_pattern(echo, read_timeout=READ_TIMEOUT_S)
        _, _, answer = str(heard).replace("\r", "").partition(f"{command}\n")
        text = answer.rpartition("\n")[0].strip("\n")
        refused = next((line for line in text.splitlines() if line.startswith("% ")), None)
        if refused:
            raise RackformError(
                f"switch {self._connection.name} refuses '{command}' ({refused[2:]}): check the "
                "value against what this switch and its EOS version allow"
            )
        return text
