"""A switch for tests: the CLI daemon on loopback in a thread, over ports that are only values."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import asyncssh

from lab.eos_cli.engine import Switch
from lab.eos_cli.shell import Shell
from lab.switch_cli.core import Context
from lab.switch_cli.lldp import Table
from lab.switch_cli.ports import Link, PortError
from lab.switch_cli.server import CliServer
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store
from remote.connection import Connection

PORTS = ("Ethernet1", "Ethernet2", "Ethernet3")
CONTEXT = Context(ports=PORTS, max_mtu_bytes=9214)


@dataclass
class FakePorts:
    """Ports without a kernel; `refused` names the MTU that it won't take."""

    links: dict[str, Link] = field(default_factory=dict)
    refused: int | None = None

    def __post_init__(self) -> None:
        for number, port in enumerate(PORTS, start=1):
            mac = f"02:00:00:00:00:0{number}"
            self.links.setdefault(port, Link(number, 1500, enabled=True, carrier=True, mac=mac))

    def read(self) -> Mapping[str, Link]:
        return dict(self.links)

    def set_mtu(self, port: str, mtu_bytes: int) -> None:
        if mtu_bytes == self.refused:
            raise PortError("RTNETLINK answers: Invalid argument")
        self.links[port] = replace(self.links[port], mtu_bytes=mtu_bytes)

    def set_enabled(self, port: str, *, enabled: bool) -> None:
        self.links[port] = replace(self.links[port], enabled=enabled, carrier=enabled)

    def set_description(self, port: str, description: str) -> None:
        self.links[port] = replace(self.links[port], alias=description)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make_switch(
    folder: Path, ports: FakePorts, clock: Clock | None = None, world: str = "boot/1"
) -> Switch:
    return Switch("tor1", CONTEXT, ports, Store(folder), world, clock or Clock())


def login(switch: Switch, table: Table) -> Callable[[str, str], Shell]:
    return lambda user, terminal: Shell(switch, table, user, terminal)


@dataclass
class Twin:
    """The daemon of a test: restarted, reached, and looked into."""

    folder: Path
    ports: FakePorts
    clock: Clock
    table: Table
    switch: Switch
    connection: Connection
    _loop: asyncio.AbstractEventLoop
    _server: CliServer

    def restart(self, world: str = "boot/1") -> None:
        """End the daemon and start it again over the same ports and the same state folder."""
        self.stop()
        self.switch = make_switch(self.folder / "state", self.ports, self.clock, world)
        settings = self._server._settings.model_copy(update={"port": self.connection.port})
        self._server = CliServer(settings, self.switch, login(self.switch, self.table))
        self._call(self._server.start())

    def stop(self) -> None:
        self._call(self._server.close())

    def _call(self, work: "asyncio.Future[object] | object") -> object:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]  # a coroutine of either method


@contextlib.contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def write_keys(folder: Path) -> tuple[str, Path]:
    """Make a host key and a user key there; return the public host key and the user key's file."""
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(str(folder / "host_key"))
    user.write_private_key(str(folder / "id"))
    user.write_public_key(str(folder / "authorized_keys"))
    return host.export_public_key().decode().strip(), folder / "id"


@contextlib.contextmanager
def running_twin(folder: Path) -> Iterator[Twin]:
    """Run a daemon on a free port of loopback until the block ends."""
    host_key, key_file = write_keys(folder)
    settings = Settings(
        hostname="tor1",
        address=IPv4Address("127.0.0.1"),
        port=0,
        host_key_file=folder / "host_key",
        authorized_keys_file=folder / "authorized_keys",
        state_dir=folder / "state",
        ports={port: f"swp{number}" for number, port in enumerate(PORTS, start=1)},
        max_mtu_bytes=CONTEXT.max_mtu_bytes,
    )
    ports, clock = FakePorts(), Clock()
    switch = make_switch(settings.state_dir, ports, clock)
    table = Table(clock)
    server = CliServer(settings, switch, login(switch, table))
    with event_loop() as loop:
        port = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        connection = Connection(
            name="tor1",
            address="127.0.0.1",
            port=port,
            user="admin",
            private_key_file=key_file,
            host_key=host_key,
        )
        twin = Twin(folder, ports, clock, table, switch, connection, loop, server)
        try:
            yield twin
        finally:
            twin.stop()
