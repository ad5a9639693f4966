"""`./rackform purge`: removes the data that a service left when it was taken out of the site.

An `up` removes the service's container and its route, and never its data: that is kept on its node
until somebody names it here.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import typer
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from cli.access import access
from cli.closure import readable
from cli.console import err
from remote.connection import Connection
from remote.errors import Unreachable
from remote.host_folders import DATA
from remote.ssh import run
from stack.errors import InputError
from stack.hints import suggestion
from stack.load import load_site, read_stack
from stack.schema import Site

_NAME = r"[a-z0-9][a-z0-9-]{0,39}"
_OF_MONITORING = frozenset({"prometheus", "alertmanager", "grafana", "gpu-simulator"})
_ALWAYS = frozenset({"registry", "redis", "edge", "before", "metrics", "watchdog"})
"""Of every node, or of no service: the record of what a host was like before is one of them."""
_TIMEOUT_S = 600

_LIST = f"""
set -e
[ -d {DATA} ] || exit 0
cd {DATA}
ids=$(docker ps -aq)
used=$([ -z "$ids" ] || docker inspect --format '{{{{range .Mounts}}}}{{{{println .Source}}}}{{{{end}}}}' $ids)
for name in *; do
  [ -d "$name" ] && [ ! -L "$name" ] || continue
  mounted=no
  printf '%s\\n' "$used" | grep -qE "^{DATA}/$name(/|\\$)" && mounted=yes
  printf '%s %s %s\\n' "$(du -sb -- "$name" | cut -f1)" "$mounted" "$name"
done
"""  # noqa: E501 - one line of shell


class Kept(BaseModel):
    """A service's data on a node."""

    model_config = ConfigDict(frozen=True)

    name: str
    node: str
    size_bytes: int
    in_use: bool
    """A container mounts it, or the site declares what it belongs to."""


def kept(stack: str) -> list[Kept]:
    """Return the data of all services on all nodes, in use or not."""
    outputs = access(stack).outputs
    nodes = {name: host.connection for name, host in outputs.expectations.hosts.items()}
    site = load_site(read_stack(stack))
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        found = pool.map(lambda item: _on_node(site, *item), nodes.items())
        return [each for some in found for each in some]


def purge(stack: str, name: str, *, yes: bool) -> list[Kept]:
    """Remove a service's data from every node that has some.

    Returns:
        What was removed; nothing where the answer to the question was no.

    Raises:
        InputError: there is no such data, or its service is declared or runs.

    """
    found = _to_remove(name, kept(stack))
    nodes = access(stack).outputs.expectations.hosts
    where = ", ".join(f"{each.node} ({readable(each.size_bytes)})" for each in found)
    if not yes and not _agreed(name, where):
        err.print("nothing was removed")
        return []
    for each in found:
        _remove(nodes[each.node].connection, name)
        err.print(f"removed {name} on {each.node}: {readable(each.size_bytes)}")
    return found


def _to_remove(name: str, everything: list[Kept]) -> list[Kept]:
    found = [each for each in everything if each.name == name]
    if not re.fullmatch(_NAME, name) or not found:
        free = sorted({each.name for each in everything if not each.in_use})
        known = suggestion(name, free) if free else "nothing is kept that the site has no use for"
        raise InputError(f"no node keeps data of {name}: {known}")
    if used := [each.node for each in found if each.in_use]:
        raise InputError(
            f"{name} is still declared or runs on {', '.join(used)}, and its data is never removed"
            " under it: take it out of the stack's file and run ./rackform up first"
        )
    return found


def _on_node(site: Site, node: str, connection: Connection) -> list[Kept]:
    try:
        lines = run(connection, _LIST, timeout_s=_TIMEOUT_S).stdout.splitlines()
    except Unreachable as error:
        raise Unreachable(f"{error}; what {node} keeps is not known until then") from error
    return [_line(site, node, line) for line in lines]


def _line(site: Site, node: str, line: str) -> Kept:
    size, mounted, name = line.split(" ", 2)
    used = mounted == "yes" or _declared(site, node, name)
    return Kept(name=name, node=node, size_bytes=int(size), in_use=used)


def _declared(site: Site, node: str, name: str) -> bool:
    """Return whether the site wants what such data belongs to, on that node."""
    if name in _ALWAYS:
        return True
    if name in _OF_MONITORING:
        return site.monitoring is not None
    front = dict(site.frontends).get(name.replace("-", "_"))
    return front is not None and front.node == node


def _agreed(name: str, where: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError(
            f"removing the data of {name} asks first, and nobody is there to answer: add --yes"
        )
    return typer.confirm(f"Remove all data of {name} on {where}? It can't be had back.", err=True)


def _remove(connection: Connection, name: str) -> None:
    run(connection, ["rm", "-rf", "--", f"{DATA}/{name}"], timeout_s=_TIMEOUT_S)


def table(found: list[Kept]) -> Table:
    """Return the list as people read it."""
    rows = Table("data of", "node", "size", "")
    for each in sorted(found, key=lambda one: (one.in_use, one.name, one.node)):
        state = "in use" if each.in_use else f"[yellow]kept[/]: ./rackform purge {each.name}"
        rows.add_row(each.name, each.node, readable(each.size_bytes), state)
    return rows
