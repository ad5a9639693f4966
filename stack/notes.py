"""What a site sets although this version does nothing with it: told, never passed over."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stack.doors import runs, shows_ray

if TYPE_CHECKING:
    from stack.schema import Site

_EXAMPLE_KEY: Final = b"example key of "  # in the stack files that are templates
_EXAMPLE_REVISION: Final = "0" * 32  # no commit begins so


def notes(site: "Site") -> tuple[str, ...]:
    """Return a sentence for every setting without effect, to be shown in the preview."""
    kinds = (_doors, _recorded, _in_a_twin, _on_real_machines, _examples, _unmanaged, _rails)
    return tuple(note for kind in kinds for note in kind(site))


def _doors(site: "Site") -> Iterator[str]:
    if site.frontends.anythingllm and not runs("anythingllm"):
        yield (
            "frontends.anythingllm: left out, as its image has no lock: run './rackform lock"
            " anythingllm' where docker.io is reached; the rest goes on"
        )
    documents = site.frontends.anythingllm
    if (
        documents
        and runs("anythingllm")
        and not (documents.embeddings or site.frontends.embeddings)
    ):
        yield (
            "frontends.anythingllm: without embeddings it fetches a model of its own from the"
            " internet at its first document: set frontends.embeddings.node, and nothing is fetched"
        )
    if not shows_ray(site):
        yield (
            f"edge.node: {site.edge_node} does not reach Ray's dashboard, which is on the head's"
            f" loopback: ask it by 'ssh -L 8265:127.0.0.1:8265 {site.head}'"
        )


def _recorded(site: "Site") -> Iterator[str]:
    for name, node in site.nodes.items():
        if node.gpus and node.gpus.power_limit_w and not site.twin and not site.nvidia:
            yield (
                f"nodes.{name}.gpus.power_limit_w: the plan counts with it, but without nvidia"
                f" nothing sets it: run 'nvidia-smi -pl {node.gpus.power_limit_w}' on {name}"
            )


def _in_a_twin(site: "Site") -> Iterator[str]:
    if not site.twin:
        return
    if site.management.controller not in (None, site.controller):
        yield f"management.controller: without effect in a twin, where it is {site.controller}"
    for path, key in _host_keys(site):
        if key:
            yield f"{path}: without effect in a twin, which makes its own"
    if site.fabric.link.rdma != "none":
        yield "fabric.link.rdma: without effect on a twin's hosts, whose links have no RDMA"
    if site.nvidia:
        yield (
            "nvidia: a twin's nodes have no GPU, so stand-ins without a driver are installed under"
            " the packages' names; their versions and the reboots are real"
        )
    for name, node in site.nodes.items():
        if any(link.pci or link.mac for link in node.links.values()):
            yield f"nodes.{name}.pci, mac: without effect in a twin, whose links have no card"


def _on_real_machines(site: "Site") -> Iterator[str]:
    if site.twin:
        return
    for path, key in _host_keys(site):
        if key and _EXAMPLE_KEY in base64.b64decode(key.partition(" ")[2]):
            yield f"{path}: the template's example, so the machine will be refused"
    for name, node in site.nodes.items():
        for setting in sorted({"memory_gib", "system"} & node.model_fields_set):
            yield f"nodes.{name}.{setting}: without effect on a real machine"


def _host_keys(site: "Site") -> Iterator[tuple[str, str | None]]:
    for name, node in site.nodes.items():
        yield f"nodes.{name}.host_key", node.host_key
    for name, switch in site.switches.items():
        yield f"switches.{name}.host_key", switch.host_key


def _examples(site: "Site") -> Iterator[str]:
    for name, model in site.models.items():
        if (model.revision or "").startswith(_EXAMPLE_REVISION):
            yield f"models.{name}.revision: the template's example, so nothing will be found there"


def _unmanaged(site: "Site") -> Iterator[str]:
    if not site.switches:
        yield (
            f"switches: none is declared, so nothing sets or checks that the switch passes"
            f" {site.fabric.mtu_bytes} bytes"
        )


def _rails(site: "Site") -> Iterator[str]:
    on = {
        rail: [n for n, node in site.nodes.items() if rail in node.rails]
        for rail in site.fabric.rails
    }
    for rail, nodes in on.items():
        if len(nodes) < 2:  # noqa: PLR2004 - a link has two ends
            who = f"{nodes[0]} alone is" if nodes else "no node is"
            yield f"fabric.rails.{rail}: without effect, as {who} on it"
    if site.fabric.link.rdma == "none" and any(on.values()):
        yield (
            "fabric.rails: without effect on NCCL, which without RDMA goes by each node's first"
            " link alone: its bootstrap and its data take one interface"
        )
        return
    for name, node in site.nodes.items():
        told = node.rdma_devices
        if node.rails and told and told != ("nearest",) and len(told) < len(node.links):
            yield (
                f"nodes.{name}.rails: NCCL is told of {len(told)} of {len(node.links)} cards, and"
                f" the others carry nothing: add theirs to nodes.{name}.rdma_devices"
            )
