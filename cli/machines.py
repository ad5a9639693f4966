"""How a stack's machines are reached, whether or not it was ever brought up to the end."""

from collections.abc import Mapping

from lab import nodes, switch
from lab.keys import controller_key
from lab.layout import Twin
from remote.connection import Connection
from stack.errors import InputError
from stack.load import load_site, read_stack
from stack.machines import declared
from stack.paths import stack_dir, state_dir, store_dir


def machines(stack: str) -> Mapping[str, Connection]:
    """Return node or switch → its connection: of a twin's, those that have been made.

    Raises:
        InputError: the site is wrong.

    """
    site = load_site(read_stack(stack))
    if not site.twin:
        return declared(site, controller_key(stack_dir(stack)).private_file)
    twin = Twin(state_dir(), store_dir())
    found = {name: nodes.read(twin, name) for name in site.nodes}
    switches = {name: switch.read(twin, name) for name in site.switches}
    return {name: state.connection for name, state in {**found, **switches}.items() if state}


def machine(stack: str, name: str) -> Connection:
    """Return one machine's connection.

    Raises:
        InputError: the stack has no such machine, or the twin has not made it yet.

    """
    reached = machines(stack)
    if name not in reached:
        known = ", ".join(reached) or f"none yet, so run ./rackform up --stack {stack}"
        raise InputError(f"{name} is no machine of stack {stack}: there are {known}")
    return reached[name]
