"""LLDP on the ports and word from the kernel that a port changed: the sockets of the daemon."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from lab.switch_cli import lldp
from lab.switch_cli.ports import Link, Ports

_PACKET_OUTGOING = 4  # linux/if_packet.h
_FRAME_MAX_BYTES = 65535
_RTMGRP_LINK = 1  # linux/rtnetlink.h
_SETTLE_S = 0.05  # several messages tell of one change


class Announced(Protocol):
    """A switch, as far as LLDP tells of it."""

    @property
    def ports(self) -> Ports: ...

    @property
    def system_name(self) -> str: ...

    @property
    def lldp_runs(self) -> bool: ...

    @property
    def about(self) -> str: ...


class LldpAgent:
    """Announces the switch on its ports and listens for neighbours, while it runs LLDP.

    Needs CAP_NET_RAW in the network namespace that holds the ports.
    """

    def __init__(self, switch: Announced, table: lldp.Table, devices: Mapping[str, str]) -> None:
        self._switch = switch
        self._table = table
        self._devices = dict(devices)
        self._ports = {device: port for port, device in devices.items()}
        self._up: set[str] = set()
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(lldp.ETHERTYPE)
        )
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's signature

    async def run(self) -> None:
        """Announce on every port now, and every 30 s, until cancelled."""
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        try:
            while True:
                self.announce(self._switch.ports.read(), fresh_only=False)
                await asyncio.sleep(lldp.INTERVAL_S)
        finally:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def announce(self, links: Mapping[str, Link], *, fresh_only: bool) -> None:
        """Send a frame out of each port with a carrier; with `fresh_only` where it is new."""
        up = {port for port, link in links.items() if link.enabled and link.carrier}
        for port in self._up - up:
            self._table.clear(port)
        chosen, self._up = (up - self._up if fresh_only else up), up
        if not self._switch.lldp_runs:
            for port in self._devices:
                self._table.clear(port)
            return
        for port in sorted(chosen):
            mac = bytes.fromhex(links[port].mac.replace(":", ""))
            told = self._switch.system_name, self._switch.about
            frame = lldp.frame(mac, port, *told, lldp.TTL_S)
            with contextlib.suppress(OSError):  # the link went down meanwhile: the next round tells
                self._socket.sendto(frame, (self._devices[port], 0))

    def _receive(self) -> None:
        try:
            raw, address = self._socket.recvfrom(_FRAME_MAX_BYTES)
        except OSError:  # the device went away: a message of its own tells of that
            return
        port = self._ports.get(address[0])
        announcement = lldp.parse(raw)
        if port and announcement and address[2] != _PACKET_OUTGOING and self._switch.lldp_runs:
            self._table.heard(port, announcement)


class LinkWatch:
    """Calls back after links changed: made, removed, up, down."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._due: asyncio.TimerHandle | None = None
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's signature

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._receive)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()

    def _receive(self) -> None:
        with contextlib.suppress(OSError):  # messages were dropped: something changed all the same
            self._socket.recv(_FRAME_MAX_BYTES)
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_SETTLE_S, self._fire)

    def _fire(self) -> None:
        self._due = None
        self._changed()


def monotonic_table() -> lldp.Table:
    return lldp.Table(clock=time.monotonic)
