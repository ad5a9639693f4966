"""An SSH server on loopback that runs commands and takes files, for tests of SSH clients."""

import asyncio
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

USER = "rack"
PASSWORD = "correct horse"  # noqa: S105 (the test's own server)


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def locked_text(key: asyncssh.SSHKey, passphrase: str | None = PASSWORD) -> str:
    """Return a private key's file, with a passphrase unless that is None."""
    # The fewest rounds that a key may have: their number is no part of what is tested.
    text = key.export_private_key("openssh", passphrase, rounds=1, ignore_few_rounds=True)
    return text.decode()


class _Server(asyncssh.SSHServer):
    def __init__(self, loopback: "Loopback") -> None:
        self._loopback = loopback

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._loopback.connections += 1
        if self._loopback.connections <= self._loopback.refuse_first:
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data == self._loopback.user_key.public_data

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        del dest_host, orig_host, orig_port
        self._loopback.forwarded.append(dest_port)
        return True


@dataclass
class Loopback:
    """A running server; `refuse_first` connections are cut before they begin."""

    host_key: asyncssh.SSHKey
    user_key: asyncssh.SSHKey
    port: int = 0
    refuse_first: int = 0
    connections: int = 0
    forwarded: list[int] = field(default_factory=list)

    @property
    def public_host_key(self) -> str:
        return self.host_key.export_public_key().decode().strip()

    def private_key(self, passphrase: str | None = None) -> str:
        return locked_text(self.user_key, passphrase)


async def _run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    child = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command or "true",
        env={"PATH": "/usr/bin:/bin", **process.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    given = await process.stdin.read()
    out, err = await child.communicate(given)
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(child.returncode or 0)


@contextmanager
def serving() -> Iterator[Loopback]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    loopback = Loopback(new_key(), new_key())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[loopback.host_key],
            server_factory=lambda: _Server(loopback),
            process_factory=_run,
            sftp_factory=True,
            encoding=None,
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    loopback.port = server.get_port()
    try:
        yield loopback
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@dataclass(frozen=True)
class Agent:
    """An SSH agent that runs; it takes keys whose passphrase is the tests' password."""

    socket: Path
    ask: Path

    def add(self, key: Path) -> None:
        told = {"SSH_AUTH_SOCK": str(self.socket), "SSH_ASKPASS": str(self.ask)}
        subprocess.run(
            ["ssh-add", key],
            env={**told, "SSH_ASKPASS_REQUIRE": "force", "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            timeout=10,
        )


@contextmanager
def ssh_agent(folder: Path) -> Iterator[Agent]:
    """Run an SSH agent until the block ends."""
    agent = Agent(folder / "agent", folder / "ask")
    agent.ask.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
    agent.ask.chmod(0o700)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", agent.socket], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 5
        while not agent.socket.exists() and time.monotonic() < end:
            time.sleep(0.01)
        yield agent
    finally:
        process.terminate()
        process.wait(timeout=5)
