"""One physical node: everything that pyinfra holds on it, as one resource and one plan."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, Input, ResourceOptions

from components.hardware import (
    brings_toolkit,
    cards,
    nccl_settings,
    nvidia_driver,
    rails,
    real_link,
    rehearsed_driver,
)
from components.machines import Machine, on_machine
from components.resources import HostState
from components.watchdog import watchdog
from planner.models import Plan
from pyinfra_deploys.base.settings import PACKAGES, RDMA_PACKAGES
from pyinfra_deploys.registry import sources
from stack.doors import open_tcp
from stack.schema import Rdma, Site


@dataclass(frozen=True, kw_only=True)
class ClusterNodeArgs:
    site: Site
    plan: Plan
    node: str
    machine: Machine
    registry_address: str
    ca_certificate: Input[str]
    at_reboot: str = ""
    """What a reboot of this node means for the site, where a change may ask for one."""


class ClusterNode(ComponentResource):
    """A node with its fabric links, NCCL environment and Docker Engine as the site declares."""

    host: HostState
    """What containers on this node depend on."""
    revision: pulumi.Output[str]
    """Changes whenever an operation was run on the host."""

    def __init__(
        self, name: str, args: ClusterNodeArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("rackform:cluster:ClusterNode", name, None, opts)
        deploys = _deploys(args)
        self.host = HostState(
            f"{name}-host",
            connection=args.machine.connection,
            machine=args.machine.installation,
            deploys=deploys,
            sources={deploy: sources(deploy) for deploy in deploys},
            at_reboot=args.at_reboot or None,
            opts=on_machine(self, args.machine),
        )
        self.revision = self.host.revision
        self.register_outputs({"revision": self.revision})


def _deploys(args: ClusterNodeArgs) -> dict[str, Mapping[str, Input[object]]]:
    """Return each deploy's settings in the order in which pyinfra runs them."""
    site, node = args.site, args.site.nodes[args.node]
    deploys: dict[str, Mapping[str, Input[object]]] = {
        "base": {
            "hosts": _host_names(site),
            "time_sync": not site.twin,
            "packages": _packages(site),
        },
        "fabric_link": {
            "interface": node.interface,
            "address": f"{node.fabric_address}/{site.fabric.subnet.prefixlen}",
            "mtu_bytes": site.fabric.mtu_bytes,
            "management_address": str(node.address),
            **({} if site.twin else real_link(site, args.node)),
            **({"rails": rails(site, args.node)} if node.rails else {}),
        },
        "firewall": {
            "fabric_interface": node.interface,
            "open_tcp": open_tcp(site, args.node),
            "ssh_port": _ssh_port(site),
            **({"rails": [rail.interface for rail in node.rails.values()]} if node.rails else {}),
        },
        "nccl_env": {
            "socket_interface": node.interface,
            "ib_hca": [] if site.twin else list(node.rdma_devices),
            "extra": nccl_settings(site),
            **({"cards": cards(site, args.node)} if node.rails else {}),
        },
        "docker_engine": {
            "registry": args.registry_address,
            "ca_certificate": args.ca_certificate,
            "nvidia_runtime": node.gpu_count > 0 and not site.twin,
            "expects_toolkit": node.gpu_count > 0 and not site.twin and not brings_toolkit(site),
        },
        "watchdog": watchdog(site, args.plan, args.node),
    }
    if site.nvidia and node.gpus:
        deploys["nvidia_driver"] = (
            rehearsed_driver(site, site.nvidia, args.node)
            if site.twin
            else nvidia_driver(site, site.nvidia, node.gpus)
        )
    return deploys


def _packages(site: Site) -> list[str]:
    """Return the packages of every host; a twin's link has no RDMA to be measured."""
    rdma = site.fabric.link.rdma is not Rdma.NONE and not site.twin
    return [*PACKAGES, *(RDMA_PACKAGES if rdma else [])]


def _ssh_port(site: Site) -> int:
    return 22 if site.twin else site.ssh.port


def _host_names(site: Site) -> dict[str, list[str]]:
    """Return /etc/hosts: each node by its own name, and as NAME-fabric on the fabric."""
    names = {str(node.address): [name] for name, node in site.nodes.items()}
    fabric = {str(node.fabric_address): [f"{name}-fabric"] for name, node in site.nodes.items()}
    return names | fabric
