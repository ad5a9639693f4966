"""What a site sets although this version does nothing with it: told, never passed over."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stack.schema import Site

_EXAMPLE_KEY: Final = b"example key of "  # in the stack files that are templates


def notes(site: "Site") -> tuple[str, ...]:
    """Return a sentence for every setting without effect, to be shown in the preview."""
    return (*_not_built(site), *_recorded(site), *_other_kind(site), *_unmanaged(site))


def _not_built(site: "Site") -> Iterator[str]:
    for name, frontend in site.frontends:
        if frontend:
            yield f"frontends.{name}: not built by this version"
    if site.monitoring:
        yield "monitoring: not built by this version"


def _recorded(site: "Site") -> Iterator[str]:
    for name, node in site.nodes.items():
        if node.gpus and node.gpus.power_limit_w and not site.twin:
            yield (
                f"nodes.{name}.gpus.power_limit_w: the plan counts with it, but this version sets"
                f" no limit: run 'nvidia-smi -pl {node.gpus.power_limit_w}' on {name}"
            )
    if site.fabric.link.kind != "ethernet":
        yield "fabric.link.kind: not yet used, the hosts are set up as on Ethernet"
    if site.fabric.link.rdma != "none":
        yield "fabric.link.rdma: not yet used, the hosts are set up as without RDMA"


def _other_kind(site: "Site") -> Iterator[str]:
    machines = [("nodes", name, node.host_key) for name, node in site.nodes.items()]
    machines += [("switches", name, switch.host_key) for name, switch in site.switches.items()]
    if site.twin:
        if site.management.controller not in (None, site.controller):
            yield f"management.controller: without effect in a twin, where it is {site.controller}"
        for kind, name, key in machines:
            if key:
                yield f"{kind}.{name}.host_key: without effect in a twin, which makes its own"
        return
    for kind, name, key in machines:
        if key and _EXAMPLE_KEY in base64.b64decode(key.partition(" ")[2]):
            yield f"{kind}.{name}.host_key: the template's example, so the machine will be refused"
    for name, node in site.nodes.items():
        if "memory_gib" in node.model_fields_set:
            yield f"nodes.{name}.memory_gib: without effect on a real machine"


def _unmanaged(site: "Site") -> Iterator[str]:
    if not site.switches:
        yield (
            f"switches: none is declared, so nothing sets or checks that the switch passes"
            f" {site.fabric.mtu_bytes} bytes"
        )
