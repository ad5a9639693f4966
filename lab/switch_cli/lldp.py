"""LLDP frames (IEEE 802.1AB): made, read, and kept as a table of neighbours. Pure.

A neighbour is known by its chassis and port; it is forgotten when its time to live has run out,
at once when it says 0.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

ETHERTYPE = 0x88CC
DESTINATION = bytes.fromhex("0180c200000e")
INTERVAL_S = 30  # EOS's defaults
TTL_S = 120
_HEADER_BYTES = 14
_MAC_BYTES = 6
_IPV4_BYTES = 4


class Tlv(IntEnum):
    END = 0
    CHASSIS_ID = 1
    PORT_ID = 2
    TTL = 3
    PORT_DESCRIPTION = 4
    SYSTEM_NAME = 5
    SYSTEM_DESCRIPTION = 6


class Subtype(IntEnum):
    """Chassis ids count 4 as a MAC address, port ids 3 as one; 5 and 7 name an interface."""

    PORT_MAC = 3
    CHASSIS_MAC = 4
    NETWORK_ADDRESS = 5
    INTERFACE_NAME = 5
    LOCAL = 7


@dataclass(frozen=True)
class Announcement:
    """What one frame tells."""

    chassis_id: str
    chassis_subtype: int
    port_id: str
    port_subtype: int
    ttl_s: int
    system_name: str = ""
    system_description: str = ""
    port_description: str = ""


@dataclass(frozen=True)
class Neighbour:
    announcement: Announcement
    first_seen: float
    last_seen: float


def dotted_mac(raw: bytes) -> str:
    """Return a MAC address as EOS prints it: 0011.2233.4455."""
    digits = raw.hex()
    return ".".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def _tlv(kind: Tlv, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value


def frame(mac: bytes, port: str, system_name: str, system_description: str, ttl_s: int) -> bytes:
    """Return a whole Ethernet frame that announces `port`; the chassis is known by `mac`."""
    return b"".join(
        (
            DESTINATION + mac + struct.pack("!H", ETHERTYPE),
            _tlv(Tlv.CHASSIS_ID, bytes([Subtype.CHASSIS_MAC]) + mac),
            _tlv(Tlv.PORT_ID, bytes([Subtype.INTERFACE_NAME]) + port.encode()[:255]),
            _tlv(Tlv.TTL, struct.pack("!H", ttl_s)),
            _tlv(Tlv.SYSTEM_NAME, system_name.encode()[:255]),
            _tlv(Tlv.SYSTEM_DESCRIPTION, system_description.encode()[:255]),
            _tlv(Tlv.END, b""),
        )
    )


def _tlvs(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 2 <= len(payload):
        (header,) = struct.unpack_from("!H", payload, position)
        kind, length = header >> 9, header & 0x1FF
        value = payload[position + 2 : position + 2 + length]
        if kind == Tlv.END or len(value) < length:
            return
        yield kind, value
        position += 2 + length


def _text(value: bytes) -> str:
    """Return text that can stand on one line of a terminal."""
    text = value.decode("utf-8", errors="replace")
    return "".join(c if c.isprintable() and c != '"' else " " for c in text).strip()


def _identity(value: bytes, mac_subtype: Subtype) -> tuple[str, int]:
    subtype, body = value[0], value[1:]
    if subtype == mac_subtype and len(body) == _MAC_BYTES:
        return dotted_mac(body), subtype
    if (
        mac_subtype is Subtype.CHASSIS_MAC
        and subtype == Subtype.NETWORK_ADDRESS
        and len(body) == 1 + _IPV4_BYTES
    ):
        return ".".join(str(octet) for octet in body[1:]), subtype
    return _text(body), subtype


def parse(raw: bytes) -> Announcement | None:
    """Return what a frame announces, or None when it isn't a valid LLDP frame."""
    if len(raw) < _HEADER_BYTES or raw[12:14] != struct.pack("!H", ETHERTYPE):
        return None
    found: dict[int, bytes] = {}
    for kind, value in _tlvs(raw[_HEADER_BYTES:]):
        found.setdefault(kind, value)
    chassis, port, ttl = (found.get(k, b"") for k in (Tlv.CHASSIS_ID, Tlv.PORT_ID, Tlv.TTL))
    if len(chassis) < 2 or len(port) < 2 or len(ttl) != 2:  # noqa: PLR2004 - subtype + one octet
        return None
    chassis_id, chassis_subtype = _identity(chassis, Subtype.CHASSIS_MAC)
    port_id, port_subtype = _identity(port, Subtype.PORT_MAC)
    return Announcement(
        chassis_id=chassis_id,
        chassis_subtype=chassis_subtype,
        port_id=port_id,
        port_subtype=port_subtype,
        ttl_s=struct.unpack("!H", ttl)[0],
        system_name=_text(found.get(Tlv.SYSTEM_NAME, b"")),
        system_description=_text(found.get(Tlv.SYSTEM_DESCRIPTION, b"")),
        port_description=_text(found.get(Tlv.PORT_DESCRIPTION, b"")),
    )


@dataclass
class Table:
    """Who was heard on which port. `clock` counts seconds and never goes back."""

    clock: Callable[[], float]
    inserts: int = 0
    deletes: int = 0
    age_outs: int = 0
    changed: float | None = None
    _seen: dict[str, dict[tuple[str, str], Neighbour]] = field(default_factory=dict)

    def heard(self, port: str, announcement: Announcement) -> None:
        key = (announcement.chassis_id, announcement.port_id)
        at_port = self._seen.setdefault(port, {})
        now = self.clock()
        before = at_port.get(key)
        if announcement.ttl_s == 0:
            if before:
                del at_port[key]
                self.deletes, self.changed = self.deletes + 1, now
            return
        if before is None:
            self.inserts, self.changed = self.inserts + 1, now
        at_port[key] = Neighbour(announcement, before.first_seen if before else now, now)

    def neighbours(self, port: str) -> list[Neighbour]:
        """Return who is there now, in the order in which they came."""
        now = self.clock()
        at_port = self._seen.get(port, {})
        for key, neighbour in list(at_port.items()):
            if now - neighbour.last_seen > neighbour.announcement.ttl_s:
                del at_port[key]
                self.age_outs, self.changed = self.age_outs + 1, now
        return list(at_port.values())

    def clear(self, port: str) -> None:
        """Forget a port's neighbours: its link went down, or LLDP was turned off."""
        gone = len(self._seen.pop(port, {}))
        if gone:
            self.deletes, self.changed = self.deletes + gone, self.clock()
