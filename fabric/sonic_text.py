"""SONiC's words, both ways: CONFIG_DB is read, what it shall be is a JSON patch. Pure."""

import re
from collections.abc import Mapping, Sequence

from fabric import sonic_vlan
from fabric.changes import Change, Running, Setting, Value, worded
from fabric.linux import branch, joined, leaf
from fabric.protocol import Ecn, Neighbour, PortState, RoceState

DEFAULT_MTU_BYTES = 9100
QOS_MAP = "AZURE"
"""The DSCP map that `config qos reload` makes: DSCP 26 is traffic class 3 in it."""
_BYTES = 1000
_OWN_TABLES = (
    *("DEVICE_METADATA", "FEATURE", "FLEX_COUNTER_TABLE", "PORT", "VERSIONS"),
    *("BUFFER_PG", "BUFFER_POOL", "BUFFER_PROFILE", "BUFFER_QUEUE", "CABLE_LENGTH", "CRM"),
    *("DSCP_TO_TC_MAP", "PORT_QOS_MAP", "QUEUE", "SCHEDULER", "TC_TO_QUEUE_MAP", "WRED_PROFILE"),
    *("MAP_PFC_PRIORITY_TO_QUEUE", "PFC_PRIORITY_TO_QUEUE_MAP", "TC_TO_PRIORITY_GROUP_MAP"),
)
"""Tables that every switch has, or whose RoCE part is managed here."""
_TIMER = re.compile(r"^(?P<unit>\S+)\.timer\s+\S+\s+active\s+\S+\s+(?P<what>.*)$", re.MULTILINE)
_PROCESS = re.compile(
    r"(?P<tty>\S+)\s+(?P<since>\w{3} \w{3} [ \d]\d [\d:]{8} \d{4})\s+(?P<what>\S.*)"
)
_CHANGING = re.compile(r"\bconfig\s+(rollback|reload|replace|apply-patch)\b")


def running(config: Mapping[str, object]) -> Running:
    """Read what `show runningconfiguration all` prints, or /etc/sonic/config_db.json."""
    ports = branch(config, "PORT")
    rest = _rest(config)
    return Running(
        ports={
            name: PortState(
                mtu_bytes=int(leaf(port, "mtu") or DEFAULT_MTU_BYTES),
                description=leaf(port, "description") or "",
                enabled=leaf(port, "admin_status") == "up",
                connected=False,
            )
            for name, port in ports.items()
        },
        lldp=leaf(config, "FEATURE", "lldp", "state") in {None, "enabled", "always_enabled"},
        roce={name: _roce(config, name) for name in ports},
        rest=rest,
        membership={name: sonic_vlan.membership(config, name) for name in ports},
        vlans=sonic_vlan.vlans(config),
        claims=sonic_vlan.claims(rest),
    )


def _rest(config: Mapping[str, object]) -> list[tuple[str, str]]:
    return [
        (
            f"{table}|{key}",
            ", ".join(f"{k} {v}" for k, v in sorted(branch(config, table, key).items())),
        )
        for table in config
        if table not in _OWN_TABLES
        for key in branch(config, table)
    ]


def _roce(config: Mapping[str, object], port: str) -> RoceState:
    on = leaf(config, "PORT_QOS_MAP", port, "pfc_enable") or ""
    marking: dict[int, Ecn] = {}
    for key in branch(config, "QUEUE"):
        name, _, queue = key.partition("|")
        profile = leaf(config, "QUEUE", key, "wred_profile")
        if name == port and profile and queue.isdecimal():
            found = _marking(branch(config, "WRED_PROFILE", profile.strip("[]").split("|")[-1]))
            marking |= {int(queue): found} if found else {}
    return RoceState(
        trust_dscp=leaf(config, "PORT_QOS_MAP", port, "dscp_to_tc_map") is not None,
        pfc=frozenset(int(each) for each in on.split(",") if each),
        ecn=marking,
    )


def _marking(profile: Mapping[str, object]) -> Ecn | None:
    low, high = (leaf(profile, f"green_{end}_threshold") for end in ("min", "max"))
    if leaf(profile, "ecn") in {None, "ecn_none"} or not low or not high:
        return None
    return Ecn(min_kb=max(1, int(low) // _BYTES), max_kb=max(1, int(high) // _BYTES))


def connected(text: str) -> set[str]:
    """Return the ports that are up in `show interfaces status`, by the column called Oper."""
    up, oper = set(), None
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if cells[0] == "Interface" and "Oper" in cells:
            oper = cells.index("Oper")
        elif oper is not None and len(cells) > oper and cells[oper] == "up":
            up.add(cells[0])
    return up


def neighbours(text: str) -> dict[str, list[Neighbour]]:
    """Read `show lldp table`."""
    found: dict[str, list[Neighbour]] = {}
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if cells[0].startswith("Ethernet") and len(cells) > 2:  # noqa: PLR2004 - port, name, id
            heard = Neighbour(system_name=cells[1], port_id=cells[2])
            found.setdefault(cells[0], []).append(heard)
    return found


def timers(text: str) -> dict[str, str]:
    """Return what waits in `systemctl list-units --type=timer`: unit → what it will do."""
    return {row["unit"]: row["what"] for row in _TIMER.finditer(text)}


def lock_owner(text: str) -> str | None:
    """Return the process that holds the lock: its record is `reload, pid 4242`, empty when free."""
    told = re.search(r"\bpid (\d+)", text)
    return told and told[1]


def process(text: str) -> str:
    """Word a row of `ps -o tty=,lstart=,args=`: what runs, on which terminal and since when."""
    row = _PROCESS.fullmatch(text.strip())
    return f"'{row['what']}' on {row['tty']} since {row['since']}" if row else text.strip()


def changes_configuration(what: str) -> bool:
    return bool(_CHANGING.search(what))


def word(change: Change, value: Value) -> str | None:
    if isinstance(value, Ecn):
        return f"queue {change.priority} ecn {value.min_kb} kB to {value.max_kb} kB"
    return worded(change, value, _SWITCHED)


_SWITCHED: dict[Setting, tuple[str, str | None]] = {
    Setting.ENABLED: ("admin_status up", "admin_status down"),
    Setting.TRUST: (f"dscp_to_tc_map {QOS_MAP}", None),
    Setting.PFC: ("pfc_enable {}", None),
    Setting.LLDP: ("lldp enabled", "lldp disabled"),
    Setting.VLAN: ("VLAN Vlan{}", None),
    Setting.MEMBER: ("VLAN_MEMBER Vlan{} untagged", None),
}


def patch(config: Mapping[str, object], due: Sequence[Change]) -> list[dict[str, object]]:
    """Return the JSON patch (RFC 6902) of CONFIG_DB that makes the difference go away."""
    wanted = _Patch(config)
    for change in due:
        wanted.make(change)
    return wanted.operations


class _Patch:
    """A patch in the making; a table or row that isn't there is added before what it holds."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self._rows = {
            (table, key): dict(branch(config, table, key))
            for table in config
            for key in branch(config, table)
        }
        self._tables = set(config)
        self.operations: list[dict[str, object]] = []

    def make(self, change: Change) -> None:
        port, new = change.port or "", change.new
        match change.setting:
            case Setting.MTU:
                self._set("PORT", port, "mtu", str(new))
            case Setting.DESCRIPTION:
                self._set("PORT", port, "description", str(new) or None)
            case Setting.ENABLED:
                self._set("PORT", port, "admin_status", "up" if new else "down")
            case Setting.TRUST:
                self._set("PORT_QOS_MAP", port, "dscp_to_tc_map", QOS_MAP)
            case Setting.PFC:
                self._pfc(port, change.priority, on=bool(new))
            case Setting.LLDP:
                self._set("FEATURE", "lldp", "state", "enabled" if new else "disabled")
            case Setting.VLAN:
                self._add(("VLAN", f"Vlan{new}"), {"vlanid": str(new)})
            case Setting.MEMBER:
                self._member(port, change.old, new)
            case _ if isinstance(new, Ecn):
                self._ecn(port, change.priority, new)

    def _member(self, port: str, old: Value, new: Value) -> None:
        """Put a port into a VLAN; later versions keep a mode beside, for their command line."""
        self._set("VLAN_MEMBER", f"Vlan{new}|{port}", "tagging_mode", "untagged")
        if old is not None:
            self._remove(("VLAN_MEMBER", f"Vlan{old}|{port}"))
        if self._rows[("PORT", port)].get("mode") == "routed":
            self._set("PORT", port, "mode", "access")

    def _pfc(self, port: str, priority: int, *, on: bool) -> None:
        before = str(self._rows.get(("PORT_QOS_MAP", port), {}).get("pfc_enable") or "")
        others = {int(each) for each in before.split(",") if each} - {priority}
        value = joined([*others, priority] if on else [*others])
        self._set("PORT_QOS_MAP", port, "pfc_enable", value or None)

    def _ecn(self, port: str, queue: int, ecn: Ecn) -> None:
        name = f"RACKFORM_{ecn.min_kb}_{ecn.max_kb}"
        profile = {"ecn": "ecn_all"}
        for colour in ("green", "yellow", "red"):
            profile |= {
                f"wred_{colour}_enable": "true",
                f"{colour}_min_threshold": str(ecn.min_kb * _BYTES),
                f"{colour}_max_threshold": str(ecn.max_kb * _BYTES),
                f"{colour}_drop_probability": "5",
            }
        if ("WRED_PROFILE", name) not in self._rows:
            self._add(("WRED_PROFILE", name), profile)
        self._set("QUEUE", f"{port}|{queue}", "wred_profile", name)

    def _set(self, table: str, key: str, field: str, value: str | None) -> None:
        row = self._rows.get((table, key))
        if row is None:
            if value is not None:
                self._add((table, key), {field: value})
            return
        path = f"/{table}/{key}/{field}"
        if value is None:
            row.pop(field, None)
            self.operations.append({"op": "remove", "path": path})
        else:
            row[field] = value
            self.operations.append({"op": "add", "path": path, "value": value})

    def _remove(self, at: tuple[str, str]) -> None:
        table, key = at
        del self._rows[at]
        self.operations.append({"op": "remove", "path": f"/{table}/{key}"})

    def _add(self, at: tuple[str, str], row: Mapping[str, str]) -> None:
        table, key = at
        whole = table not in self._tables
        path, value = (f"/{table}", {key: dict(row)}) if whole else (f"/{table}/{key}", dict(row))
        self.operations.append({"op": "add", "path": path, "value": value})
        self._tables.add(table)
        self._rows[at] = dict(row)
