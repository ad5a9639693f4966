"""The SSH server in front of a switch's command line, and the clock that ends its timers."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

import asyncssh

from lab.switch_cli.core import CliError
from lab.switch_cli.ports import PortError
from lab.switch_cli.settings import Settings

USER = "admin"
TICK_S = 0.25
LINE_MAX = 4096

log = logging.getLogger("switch_cli")


@dataclass(frozen=True)
class Done:
    """What a command that was given on ssh's own command line came to."""

    status: int
    stdout: str = ""
    stderr: str = ""


class Terminal(Protocol):
    """One login: lines typed into it, or one command with its standard input."""

    closed: bool

    @property
    def prompt(self) -> str: ...

    def run(self, line: str) -> list[str]:
        """Return what a typed line prints."""

    def execute(self, command: str, stdin: str) -> Done:
        """Run what was given on ssh's command line."""

    def hang_up(self) -> None:
        """Hear that the connection is gone, whoever ended it."""


class Login(Protocol):
    """How somebody logs in."""

    def __call__(self, user: str, line: str, host: str = "", /) -> Terminal: ...


class Timed(Protocol):
    """What has timers that run out."""

    def expire(self) -> bool:
        """Undo the change whose timer has run out; return whether there was one."""


class _Server(asyncssh.SSHServer):
    """Lets in one user, by the keys of one file; the file is read anew at each login."""

    def __init__(self, settings: Settings, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._settings = settings
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._connection:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        if username == USER and self._connection:
            self._connection.set_authorized_keys(str(self._settings.authorized_keys_file))
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False


class CliServer:
    """Serves terminals until `close`. Commands run one at a time, on the event loop."""

    def __init__(self, settings: Settings, switch: Timed, login: Login) -> None:
        self._settings = settings
        self._switch = switch
        self._login = login
        self._terminals = 0
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; return the port, which the system chose where the settings say 0."""
        self._acceptor = await asyncssh.listen(
            str(self._settings.address),
            self._settings.port,
            server_factory=lambda: _Server(self._settings, self._connections),
            server_host_keys=[str(self._settings.host_key_file)],
            process_factory=self._terminal,
            allow_scp=False,
            agent_forwarding=False,
            line_editor=True,
            line_history=100,
            max_line_length=LINE_MAX,
            compression_algs=None,
        )
        self._ticker = asyncio.create_task(self._tick())
        return self._acceptor.get_port()

    async def close(self) -> None:
        if self._ticker:
            self._ticker.cancel()
        if self._acceptor:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        open_now = list(self._connections)
        for connection in open_now:
            connection.abort()
        await asyncio.gather(*(c.wait_closed() for c in open_now), return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            try:
                if self._switch.expire():
                    log.warning("a commit timer ran out: the configuration is as before it")
            except (CliError, PortError) as error:
                log.warning("a commit timer ran out and can't be undone yet: %s", error)
            await asyncio.sleep(TICK_S)

    async def _terminal(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self._terminals += 1
        user = process.get_extra_info("username") or USER
        host = (process.get_extra_info("peername") or ("",))[0]
        shell = self._login(user, f"vty{self._terminals}", host)
        try:
            await self._serve(process, shell)
        finally:
            shell.hang_up()

    @staticmethod
    async def _serve(process: asyncssh.SSHServerProcess[str], shell: Terminal) -> None:
        if process.command is not None:
            done = shell.execute(process.command, await process.stdin.read())
            process.stdout.write(done.stdout)
            process.stderr.write(done.stderr)
            process.exit(done.status)
            return
        process.stdout.write("\n" + shell.prompt)
        try:
            async for line in process.stdin:
                output = "".join(f"{text}\n" for text in shell.run(line.rstrip("\r\n")))
                if shell.closed:
                    break
                process.stdout.write(output + shell.prompt)
        except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged, ConnectionError):
            pass
        process.exit(0)
