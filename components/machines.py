"""The machines of a site: made here where it is a twin, reached over SSH where they are real."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from components.hardware import stand_in_driver
from components.resources import ConnectionInput, LabNode, LabSwitch
from stack.machines import declared
from stack.schema import Site, TwinSystem


@dataclass(frozen=True, kw_only=True)
class TwinArgs:
    site: Site
    base_digests: Mapping[TwinSystem, Input[str]]
    """System → digest of its node image."""
    authorized_key: str


class Twin(ComponentResource):
    """Every switch and node of the site, as systemd hosts and a switch CLI on this machine."""

    machines: "Machines"
    nodes: dict[str, pulumi.Output[Mapping[str, object]]]
    """Node → its connection, once it can be reached."""
    installations: dict[str, pulumi.Output[str]]
    """Node → which installation it is: one made anew has to be converged from nothing."""
    switches: dict[str, pulumi.Output[Mapping[str, object]]]
    """Switch → its connection."""

    def __init__(self, name: str, args: TwinArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Twin", name, None, opts)
        site, prefix = args.site, args.site.management.subnet.prefixlen
        child = ResourceOptions(parent=self)
        switches = {
            switch_name: LabSwitch(
                f"{switch_name}-machine",
                site=site.name,
                switch_name=switch_name,
                os=switch.os,
                address=f"{switch.address}/{prefix}",
                ports=list(switch.ports),
                max_mtu_bytes=switch.mtu_limit_bytes,
                authorized_key=args.authorized_key,
                opts=child,
            )
            for switch_name, switch in site.switches.items()
        }
        plugged = ResourceOptions(parent=self, depends_on=list(switches.values()))
        nodes = {
            node_name: LabNode(
                f"{node_name}-machine",
                site=site.name,
                node_name=node_name,
                base_digest=args.base_digests[node.system],
                address=f"{node.address}/{prefix}",
                cables=site.cables(node_name),
                memory_gib=node.memory_gib,
                gpus=node.gpu_count,
                driver=stand_in_driver(site, node_name),
                authorized_key=args.authorized_key,
                opts=plugged,
            )
            for node_name, node in site.nodes.items()
        }
        self.machines = Machines(
            nodes={
                key: Machine(connection=node.connection, installation=node.machine, resource=node)
                for key, node in nodes.items()
            },
            switches={key: switch.connection for key, switch in switches.items()},
        )
        self.nodes = {key: node.connection for key, node in nodes.items()}
        self.switches = {key: switch.connection for key, switch in switches.items()}
        self.installations = {key: node.machine for key, node in nodes.items()}
        self.register_outputs(
            {
                "nodes": self.nodes,
                "installations": self.installations,
                "switches": self.switches,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One host, twin or real."""

    connection: ConnectionInput
    installation: Input[str] | None = None
    """Which installation of the host this is, where that is known."""
    resource: Resource | None = None
    """What makes the host, in a twin: what is on it goes with it."""


def on_machine(parent: Resource, machine: Machine, *depends_on: Resource) -> ResourceOptions:
    """Return the options of a child that lives on a machine and goes when that goes."""
    return ResourceOptions(
        parent=parent, depends_on=list(depends_on), deleted_with=machine.resource
    )


def installations(machines: Mapping[str, Machine]) -> dict[str, Input[str]]:
    """Return node → installation, for the nodes of which it is known."""
    return {
        name: machine.installation
        for name, machine in machines.items()
        if machine.installation is not None
    }


@dataclass(frozen=True, kw_only=True)
class Machines:
    """How every machine is reached, twin or real."""

    nodes: Mapping[str, Machine]
    switches: Mapping[str, ConnectionInput]


def real_machines(site: Site, private_key_file: Path) -> Machines:
    """Return the machines that the site itself declares."""
    reached = declared(site, private_key_file)
    return Machines(
        nodes={name: Machine(connection=reached[name]) for name in site.nodes},
        switches={name: reached[name] for name in site.switches},
    )
