"""CONFIG_DB as a value: made, checked, patched (RFC 6902), and put onto ports.

Tables and fields are those of SONiC's YANG models (sonic-buildimage, src/sonic-yang-models); the
QoS part of a fresh switch is what `config qos reload` makes.
"""

import copy
import json
from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from lab.switch_cli.core import CliError, Context, Landing
from lab.switch_cli.ports import Link

DEFAULT_MTU_BYTES = 9100
MIN_MTU_BYTES = 68
PRIORITIES = 8
LAST_VLAN = 4094
Row = dict[str, str]
ConfigDb = dict[str, dict[str, Row]]
_CONFIG = TypeAdapter(ConfigDb)
_PATCH = TypeAdapter(list[dict[str, object]])


def factory(hostname: str, context: Context) -> ConfigDb:
    ports = context.ports
    return {
        "DEVICE_METADATA": {"localhost": {"hostname": hostname, "platform": "x86_64-twin-r0"}},
        "DSCP_TO_TC_MAP": {
            "AZURE": {str(d): {26: "3", 48: "6"}.get(d, "1") for d in range(PRIORITIES**2)}
        },
        "FEATURE": {"lldp": {"auto_restart": "enabled", "state": "enabled"}},
        "PORT": {
            port: {
                "admin_status": "up",
                "alias": f"etp{number}",
                "mtu": str(DEFAULT_MTU_BYTES),
                "speed": "100000",
            }
            for number, port in enumerate(ports, start=1)
        },
        "PORT_QOS_MAP": {port: {"dscp_to_tc_map": "AZURE", "pfc_enable": "3,4"} for port in ports},
        "QUEUE": {f"{port}|3": {"wred_profile": "AZURE_LOSSLESS"} for port in ports},
        "WRED_PROFILE": {
            "AZURE_LOSSLESS": {
                "ecn": "ecn_all",
                "green_max_threshold": "2097152",
                "green_min_threshold": "1048576",
                "wred_green_enable": "true",
            }
        },
    }


def parse(text: str) -> ConfigDb:
    try:
        return _CONFIG.validate_json(text)
    except ValidationError as error:
        raise CliError(f"Failed to load config_db: {error.errors()[0]['msg']}") from error


def render(config: ConfigDb) -> str:
    return json.dumps(config, indent=4, sort_keys=True) + "\n"


def landings(config: ConfigDb) -> dict[str, Landing]:
    untagged = {
        key.partition("|")[2]: int(key.partition("|")[0].removeprefix("Vlan"))
        for key, row in config.get("VLAN_MEMBER", {}).items()
        if row.get("tagging_mode") == "untagged"
    }
    return {
        port: Landing(
            int(row["mtu"]),
            row.get("description", ""),
            row["admin_status"] == "up",
            untagged.get(port),
        )
        for port, row in config["PORT"].items()
    }


def overlaid(config: ConfigDb, links: Mapping[str, Link]) -> ConfigDb:
    found = copy.deepcopy(config)
    for port, link in links.items():
        status = "up" if link.enabled else "down"
        found["PORT"][port] |= {"mtu": str(link.mtu_bytes), "admin_status": status}
    return found


def patched(config: ConfigDb, text: str, context: Context) -> ConfigDb:
    """Return the configuration after a JSON patch; it is checked as a whole.

    Raises:
        CliError: the patch is none, a path isn't there, or the outcome breaks a model.

    """
    try:
        operations = _PATCH.validate_json(text)
    except ValidationError as error:
        raise CliError(f"Failed to apply patch due to: {error.errors()[0]['msg']}") from error
    tree: dict[str, object] = json.loads(json.dumps(config))
    for operation in operations:
        _operate(tree, operation)
    try:
        found = _CONFIG.validate_python(tree)
        check(found, context)
    except (ValidationError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise CliError(
            f"Failed to apply patch due to: Given patch will produce invalid config. Error: {said}"
        ) from error
    return found


def _operate(tree: dict[str, object], operation: Mapping[str, object]) -> None:
    kind, path = operation.get("op"), str(operation.get("path"))
    keys = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    at: object = tree
    for key in keys[:-1]:
        at = at.get(key) if isinstance(at, dict) else None
    there = isinstance(at, dict) and bool(keys)
    if not there or not isinstance(at, dict) or (kind != "add" and keys[-1] not in at):
        raise CliError(f"Failed to apply patch due to: can't {kind} '{path}': it does not exist")
    if kind == "remove":
        del at[keys[-1]]
    elif kind in {"add", "replace"} and "value" in operation:
        at[keys[-1]] = operation["value"]
    else:
        raise CliError(f"Failed to apply patch due to: Invalid operation '{kind}'")


def by_hand(config: ConfigDb, words: list[str]) -> list[dict[str, object]] | None:
    """Return the patch of an operator's command about VLANs and addresses; None: it is none."""
    rows: dict[str, Row | None]
    match words:
        case ["vlan", "add", number] if number.isdecimal():
            table, rows = "VLAN", {f"Vlan{number}": {"vlanid": number}}
        case ["vlan", "member", "add", "-u", number, port]:
            table, rows = "VLAN_MEMBER", {f"Vlan{number}|{port}": {"tagging_mode": "untagged"}}
        case ["vlan", "member", "add", number, port]:
            table, rows = "VLAN_MEMBER", {f"Vlan{number}|{port}": {"tagging_mode": "tagged"}}
        case ["vlan", "member", "del", number, port]:
            table, rows = "VLAN_MEMBER", {f"Vlan{number}|{port}": None}
        case ["interface", "ip", "add", port, address]:
            table, rows = "INTERFACE", {port: {}, f"{port}|{address}": {}}
        case ["interface", "ip", "remove", port, address]:
            table, rows = "INTERFACE", {port: None, f"{port}|{address}": None}
        case _:
            return None
    wanted = {**config.get(table, {}), **rows}
    value = {key: row for key, row in wanted.items() if row is not None}
    return [{"op": "add", "path": f"/{table}", "value": value}]


def check(config: ConfigDb, context: Context) -> None:
    """Refuse what SONiC's models refuse.

    Raises:
        ValueError: the path and the rule.

    """
    if set(config.get("PORT", {})) != set(context.ports):
        raise ValueError("/sonic-port:PORT: the ports of a switch can't be added or removed")
    for port, row in config["PORT"].items():
        mtu = row.get("mtu", "")
        if not mtu.isdecimal() or not MIN_MTU_BYTES <= int(mtu) <= context.max_mtu_bytes:
            raise ValueError(f'Value "{mtu}" does not satisfy range of PORT {port} mtu')
        if row.get("admin_status") not in {"up", "down"}:
            raise ValueError(f'Invalid value "{row.get("admin_status")}" of PORT {port}')
    _check_vlans(config, context)
    _check_qos(config, context)


def _check_vlans(config: ConfigDb, context: Context) -> None:
    for name, row in config.get("VLAN", {}).items():
        vlan = row.get("vlanid", "")
        if not vlan.isdecimal() or not 2 <= int(vlan) <= LAST_VLAN or name != f"Vlan{vlan}":  # noqa: PLR2004 - VLAN 1 is none
            raise ValueError(f'Value "{vlan}" does not satisfy range of VLAN {name} vlanid')
    untagged: set[str] = set()
    for key, row in config.get("VLAN_MEMBER", {}).items():
        vlan, _, port = key.partition("|")
        if vlan not in config.get("VLAN", {}) or port not in context.ports:
            raise ValueError(f'Leafref "{key}" of VLAN_MEMBER points to nothing')
        if row.get("tagging_mode") not in {"tagged", "untagged"}:
            raise ValueError(f"Missing required element tagging_mode of VLAN_MEMBER {key}")
        if any(each.partition("|")[0] == port for each in config.get("INTERFACE", {})):
            raise ValueError("Port is a router interface.")
        if row["tagging_mode"] == "untagged" and port in untagged:
            raise ValueError("Port can be untagged in at most one VLAN.")
        untagged |= {port} if row["tagging_mode"] == "untagged" else set()


def _check_qos(config: ConfigDb, context: Context) -> None:
    for port, row in config.get("PORT_QOS_MAP", {}).items():
        maps = config.get("DSCP_TO_TC_MAP", {})
        if port not in context.ports or row.get("dscp_to_tc_map", "AZURE") not in maps:
            raise ValueError(f'Leafref "{port}" of PORT_QOS_MAP points to nothing')
        for each in row.get("pfc_enable", "").split(","):
            if each not in {"", *map(str, range(PRIORITIES))}:
                raise ValueError(f'Value "{each}" does not satisfy pattern of pfc_enable')
    for queue, row in config.get("QUEUE", {}).items():
        if row.get("wred_profile", "AZURE_LOSSLESS") not in config.get("WRED_PROFILE", {}):
            raise ValueError(f'Leafref of QUEUE {queue} "{row["wred_profile"]}" points to nothing')
