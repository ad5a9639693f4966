"""A switch for tests: its daemon on loopback in a thread, over ports that are only values."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import asyncssh
from asyncssh.editor import SSHLineEditor

from lab.switch_cli.lldp import Announcement, Table, frame, parse
from lab.switch_cli.ports import Link, PortError
from lab.switch_cli.server import CliServer, Login
from lab.switch_cli.settings import Settings
from lab.switch_cli.store import Store
from lab.switch_cli.systems import World, speaking
from remote import ssh
from remote.connection import Connection

System = Literal["eos", "onyx", "cumulus", "sonic"]
PORTS: dict[System, tuple[str, ...]] = {
    "eos": ("Ethernet1", "Ethernet2", "Ethernet3"),
    "onyx": ("Eth1/1", "Eth1/2", "Eth1/3"),
    "cumulus": ("swp1", "swp2", "swp3"),
    "sonic": ("Ethernet0", "Ethernet4", "Ethernet8"),
}
MAX_MTU_BYTES = {"eos": 9214, "onyx": 9216, "cumulus": 9216, "sonic": 9216}


@dataclass
class FakePorts:
    """Ports without a kernel; `refused` names the MTU that it won't take."""

    names: tuple[str, ...] = PORTS["eos"]
    mtu_bytes: int = 1500
    links: dict[str, Link] = field(default_factory=dict)
    refused: int | None = None

    def __post_init__(self) -> None:
        for number, port in enumerate(self.names, start=1):
            mac = f"02:00:00:00:00:0{number}"
            link = Link(number, self.mtu_bytes, enabled=True, carrier=True, mac=mac)
            self.links.setdefault(port, link)

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

    def set_vlan(self, port: str, vlan: int) -> None:
        self.links[port] = replace(self.links[port], vlan=vlan)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def announced(system_name: str, port_id: str) -> Announcement:
    told = parse(frame(bytes(6), port_id, system_name, "Debian", 120))
    assert told
    return told


@dataclass
class Twin:
    """The daemon of a test: restarted, reached, and looked into."""

    folder: Path
    ports: FakePorts
    clock: Clock
    table: Table
    settings: Settings
    switch: Any
    login: Login
    connection: Connection
    _loop: asyncio.AbstractEventLoop
    _server: CliServer

    def restart(self, world: str = "boot/1") -> None:
        """End the daemon and start it again over the same ports and the same state folder."""
        self.stop()
        of = World(self.ports, Store(self.folder / "state"), world, self.table, self.clock)
        spoken = speaking(self.settings, of)
        self.switch, self.login = spoken.switch, spoken.login
        settings = self.settings.model_copy(update={"port": self.connection.port})
        self._server = CliServer(settings, self.switch, spoken.login)
        self._call(self._server.start())

    def renew(self) -> None:
        """Make the switch as if it had just been unpacked: no state, ports at their defaults."""
        self.clock.now = Clock.now
        self.ports.refused = None
        self.ports.links.clear()
        self.ports.__post_init__()
        for port in self.ports.names:
            self.table.clear(port)
        for file in sorted((self.folder / "state").rglob("*")):
            if file.is_file():
                file.unlink()
        self.restart(world="boot/1")

    def hear(self, port: str, system_name: str, port_id: str) -> None:
        """Let a neighbour be heard on a port."""
        self.table.heard(port, announced(system_name, port_id))

    def type(self, *lines: str) -> list[str]:
        """Enter lines as somebody else who is logged in, and return what all of them printed."""
        terminal = self.login("colleague", "vty99", "10.77.0.9")
        return [printed for line in lines for printed in terminal.run(line)]

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
    (folder / "id").chmod(0o600)
    user.write_public_key(str(folder / "authorized_keys"))
    return host.export_public_key().decode().strip(), folder / "id"


def _remembered(build: Callable[[Any], None]) -> Callable[[Any], None]:
    """Keep what asyncssh's line editor finds out at each login, for every login with its keys."""
    known: dict[frozenset[str], object] = {}

    def build_printable(editor: Any) -> None:
        keys = frozenset(editor._keymap)
        if keys not in known:
            build(editor)
            known[keys] = editor._printable
        editor._printable = known[keys]

    return build_printable


# It looks at 65,536 characters, 15 ms of each login.
SSHLineEditor._build_printable = _remembered(SSHLineEditor._build_printable)  # type: ignore[method-assign, assignment]  # to no other effect


@contextlib.contextmanager
def running_twin(folder: Path, system: System = "eos") -> Iterator[Twin]:
    """Run a daemon on a free port of loopback until the block ends."""
    host_key, key_file = write_keys(folder)
    settings = Settings(
        os=system,
        hostname="tor1",
        address=IPv4Address("127.0.0.1"),
        port=0,
        host_key_file=folder / "host_key",
        authorized_keys_file=folder / "authorized_keys",
        state_dir=folder / "state",
        ports={port: f"swp{number}" for number, port in enumerate(PORTS[system], start=1)},
        max_mtu_bytes=MAX_MTU_BYTES[system],
    )
    ports, clock = FakePorts(PORTS[system]), Clock()
    table = Table(clock)
    of = World(ports, Store(settings.state_dir), "boot/1", table, clock)
    spoken = speaking(settings, of)
    server = CliServer(settings, spoken.switch, spoken.login)
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
        twin = Twin(
            folder,
            ports,
            clock,
            table,
            settings,
            spoken.switch,
            spoken.login,
            connection,
            loop,
            server,
        )
        try:
            yield twin
        finally:
            ssh.forget(connection)
            twin.stop()
