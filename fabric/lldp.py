"""What `lldpctl -f json0` prints, on switches and hosts alike: who is at the other end. Pure."""

import json
from collections.abc import Iterator

from fabric.protocol import Neighbour


def _each(value: object) -> Iterator[dict[str, object]]:
    """Yield what json0 always has as a list, and older lldpd sometimes as one object."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def _text(holder: dict[str, object], key: str) -> str:
    return next((str(item.get("value", "")) for item in _each(holder.get(key))), "")


def neighbours(text: str) -> dict[str, list[Neighbour]]:
    """Return interface → its neighbours; nothing for what isn't lldpctl's JSON."""
    try:
        top = json.loads(text or "{}")
    except ValueError:
        return {}
    found: dict[str, list[Neighbour]] = {}
    for lldp in _each(top.get("lldp") if isinstance(top, dict) else None):
        for interface in _each(lldp.get("interface")):
            name = str(interface.get("name", ""))
            for port in _each(interface.get("port")):
                chassis = next(_each(interface.get("chassis")), {})
                system = _text(chassis, "name") or _text(chassis, "id")
                heard = Neighbour(system_name=system, port_id=_text(port, "id"))
                found.setdefault(name, []).append(heard)
    return found
