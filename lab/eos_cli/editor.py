"""Configuration lines at work on a configuration: pure, the same for a session and for at-once."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lab.eos_cli.grammar import Level, match
from lab.eos_cli.model import DEFAULT_MTU_BYTES, Config, Interface, factory
from lab.switch_cli.core import CliError, Context
from lab.switch_cli.matching import Command

DEFAULT_HOSTNAME = "localhost"


@dataclass(frozen=True)
class Draft:
    """A configuration that is being edited, and the interface whose block is open, if any."""

    config: Config
    interface: str | None = None
    queue: int | None = None
    vlan: int | None = None

    @property
    def level(self) -> Level:
        if self.queue is not None:
            return Level.QUEUE
        return Level.CONFIG if self.interface is None else Level.INTERFACE


_INTERFACE_EDITS: dict[str, Callable[[Interface, dict[str, str]], Interface]] = {
    "mtu <mtu>": lambda port, given: replace(port, mtu_bytes=int(given["mtu"])),
    "no mtu": lambda port, _: replace(port, mtu_bytes=DEFAULT_MTU_BYTES),
    "l2 mtu <mtu>": lambda port, given: replace(port, l2_mtu_bytes=int(given["mtu"])),
    "no l2 mtu": lambda port, _: replace(port, l2_mtu_bytes=None),
    "description <line>": lambda port, given: replace(port, description=given["line"]),
    "no description": lambda port, _: replace(port, description=""),
    "shutdown": lambda port, _: replace(port, shutdown=True),
    "no shutdown": lambda port, _: replace(port, shutdown=False),
    "switchport mode access": lambda port, _: replace(port, trunk=False),
    "switchport mode trunk": lambda port, _: replace(port, trunk=True),
    "no switchport mode": lambda port, _: replace(port, trunk=False),
    "switchport access vlan <vlan>": lambda port, given: replace(
        port, access_vlan=int(given["vlan"])
    ),
    "no switchport access vlan": lambda port, _: replace(port, access_vlan=1),
    "qos trust dscp": lambda port, _: replace(port, trust_dscp=True),
    "no qos trust": lambda port, _: replace(port, trust_dscp=False),
    "priority-flow-control on": lambda port, _: replace(port, pfc_on=True),
    "no priority-flow-control": lambda port, _: replace(port, pfc_on=False),
    "priority-flow-control priority <priority> no-drop": lambda port, given: replace(
        port, pfc=port.pfc | {int(given["priority"])}
    ),
    "no priority-flow-control priority <priority> no-drop": lambda port, given: replace(
        port, pfc=port.pfc - {int(given["priority"])}
    ),
}
_GLOBAL_EDITS: dict[str, Callable[[Config, dict[str, str]], Config]] = {
    "hostname <name>": lambda config, given: replace(config, hostname=given["name"]),
    "no hostname": lambda config, _: replace(config, hostname=DEFAULT_HOSTNAME),
    "lldp run": lambda config, _: replace(config, lldp=True),
    "default lldp run": lambda config, _: replace(config, lldp=True),
    "no lldp run": lambda config, _: replace(config, lldp=False),
    "no vlan <vlan>": lambda config, given: replace(
        config, vlans=config.vlans - {int(given["vlan"])}
    ),
    "default interface <interface>": lambda config, given: config.with_interface(
        given["interface"], Interface()
    ),
}


def _marked(port: Interface, queue: int, command: Command) -> Interface:
    marking = {number: bounds for number, bounds in port.ecn.items() if number != queue}
    if not command.form.startswith("no "):
        marking[queue] = (int(command.arguments["low"]), int(command.arguments["high"]))
    return replace(port, ecn=marking)


def edit(draft: Draft, command: Command) -> Draft | None:
    """Return the draft after a configuration command, or None when the command isn't one."""
    config, form = draft.config, command.form
    if form == "interface <interface>":
        return Draft(config, command.arguments["interface"])
    if form == "vlan <vlan>":
        vlan = int(command.arguments["vlan"])
        return Draft(replace(config, vlans=config.vlans | ({vlan} - {1})), vlan=vlan)
    if form in _GLOBAL_EDITS:
        return Draft(_GLOBAL_EDITS[form](config, command.arguments))
    if draft.interface is None:
        return None
    return _edit_interface(draft, draft.interface, command)


def _edit_interface(draft: Draft, name: str, command: Command) -> Draft | None:
    port, form = draft.config.interfaces[name], command.form
    if form == "uc-tx-queue <queue>":
        return replace(draft, queue=int(command.arguments["queue"]))
    if draft.queue is not None and "random-detect" in form:
        changed = _marked(port, draft.queue, command)
        return replace(draft, config=draft.config.with_interface(name, changed))
    change = _INTERFACE_EDITS.get(form) or _INTERFACE_EDITS.get(form.replace("default", "no", 1))
    if change is None:
        return None
    changed = change(port, command.arguments)
    return replace(draft, queue=None, config=draft.config.with_interface(name, changed))


def load(text: str, hostname: str, context: Context) -> Config:
    """Return the configuration that a rendered one describes, over the factory's.

    Raises:
        CliError: the first line that isn't one of a configuration.

    """
    draft = Draft(factory(hostname, list(context.ports)))
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("!"):
            continue
        if stripped == "end":
            break
        try:
            edited = edit(draft, match(line, draft.level, context))
        except CliError as error:
            raise CliError(f"{error} at line {number}") from None
        if edited is None:
            raise CliError(f"% Invalid input at line {number}: '{stripped}'")
        draft = edited
    return draft.config
