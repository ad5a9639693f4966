"""What real machines have to hold before an `up` changes the first of them: all told at once."""

from collections.abc import Iterator, Mapping

from lab.keys import controller_key
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError
from remote.examine import Examined, ask, one_machine, refusals
from remote.together import ask_each
from stack.errors import InputError
from stack.machines import declared, own_key
from stack.paths import stack_dir
from stack.schema import Site


def examine(stack: str, site: Site) -> None:
    """Ask every node of a real site whether it may be changed; a twin's are made for it.

    A node that is off or out of reach is left to the engine, which goes on with the others.

    Raises:
        InputError: with a sentence for each that may not; nothing was touched.

    """
    if site.twin:
        return
    own_key(site)
    key = site.ssh.private_key_file or controller_key(stack_dir(stack)).private_file
    reached = declared(site, key)
    nodes = {name: reached[name] for name in site.nodes}
    answers = dict(zip(nodes, ask_each(ask, list(nodes.values())), strict=True))
    if wrong := list(_wrong(nodes, answers)):
        raise InputError("\n".join(wrong))


def _wrong(
    nodes: Mapping[str, Connection], answers: Mapping[str, Examined | RackformError]
) -> Iterator[str]:
    first: dict[str, Connection] = {}
    for name, found in answers.items():
        if isinstance(found, LoginRefused | OtherHostKey):
            yield str(found)
        elif isinstance(found, Examined):
            yield from refusals(nodes[name], found)
            if found.identity:
                other = first.setdefault(found.identity, nodes[name])
                if other is not nodes[name]:
                    yield one_machine(other, nodes[name])
