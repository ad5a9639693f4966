"""A node whose driver needs a reboot is drained, rebooted and looked at, one node at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions
from pulumi_command import local, remote

from components.hardware import runs_fabric_manager
from components.machines import Machine
from components.resources import HostState, plain
from planner.models import Plan
from remote import keys
from remote.connection import Connection
from remote.end_boot import END_BOOT
from serving.ray_node import HEAD, WORKER
from stack.errors import InputError
from stack.paths import ROOT
from stack.schema import Node, Site

_AS_IT_WAS = 'printf "%s" "$PULUMI_COMMAND_STDOUT"'
"""What a changed order alone runs: the boot that it was about has ended."""


@dataclass(frozen=True, kw_only=True)
class RebootsArgs:
    site: Site
    plan: Plan
    machines: Mapping[str, Machine]
    hosts: Mapping[str, HostState]
    private_key_file: Path
    """The controller's, used where the site names none."""
    ray_token: Input[str]


class Reboots(ComponentResource):
    """Declared for nodes whose driver the site declares; each waits for the one before it.

    The head comes last: Ray's memory and the edge are on it.
    """

    settled: Mapping[str, Resource]
    """Node → what its containers wait for: its host, or its return where it may be rebooted."""
    returned: dict[str, Output[str]]
    """Node that may be rebooted → what it told when it was back; new after each reboot."""

    def __init__(self, name: str, args: RebootsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:Reboots", name, None, opts)
        self._args = args
        self.returned = {}
        self.settled = settled = dict[str, Resource](args.hosts)
        before: Resource | None = None
        for node in rebooted(args.site):
            back = self._reboot(node, before)
            settled[node] = before = back
            self.returned[node] = back.stdout.apply(lambda told: told or "")
        self.register_outputs({"returned": self.returned})

    def _reboot(self, node: str, before: Resource | None) -> local.Command:
        """Declare drain, reboot and return; each is run anew when another boot has to end."""
        args, host = self._args, self._args.hosts[node]
        connection = plain(args.machines[node].connection)
        boot = host.reboot.apply(lambda told: told or "")
        after = [host, *([before] if before else [])]
        drain = local.Command(
            f"{node}-drain",
            create="./rackform step drain",
            update=_AS_IT_WAS,
            dir=str(ROOT),
            stdin=self._drain_order(node, boot),
            logging=local.Logging.STDERR,
            triggers=[boot],
            opts=self._options("15m", *after),
        )
        reboot = remote.Command(
            f"{node}-reboot",
            connection=_ssh(node, connection, self._private_key()),
            create=END_BOOT,
            stdin=boot,
            add_previous_output_in_env=False,
            triggers=[boot],
            opts=self._options("5m", drain),
        )
        return local.Command(
            f"{node}-return",
            create="./rackform step return",
            update=_AS_IT_WAS,
            dir=str(ROOT),
            stdin=self._return_order(node, boot, reboot.stdout),
            logging=local.Logging.STDERR,
            triggers=[boot],
            opts=self._options("40m", reboot),
        )

    def _private_key(self) -> Path:
        site = self._args.site
        own = None if site.twin else site.ssh.private_key_file
        return own or self._args.private_key_file

    def _options(self, limit: str, *after: Resource) -> ResourceOptions:
        return ResourceOptions(
            parent=self,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit),
        )

    def _drain_order(self, node: str, boot: Output[str]) -> Output[str]:
        """Return the `stack.steps.Drain` as JSON; a secret, since it holds Ray's token."""
        args, plan = self._args, self._args.plan
        tree = {
            "node": plain(args.machines[node].connection),
            "ends_boot": boot,
            "container": HEAD if node == plan.head else WORKER,
            "fabric_address": str(args.site.nodes[node].fabric_address),
            "head": plain(args.machines[plan.head].connection),
            "dashboard_port": args.site.ray.dashboard_port,
            "ray_token": args.ray_token,
            "spare": has_spare(plan, node),
            "requests_end_s": args.site.ray.drain_s,
        }
        return Output.secret(_json(tree))

    def _return_order(self, node: str, boot: Output[str], ran: Output[str]) -> Output[str]:
        """Return the `stack.steps.Return` as JSON."""
        site, machine = self._args.site, self._args.site.nodes[node]
        if not (site.nvidia and machine.gpus):
            raise ValueError(f"{node} has no declared driver, so it is never rebooted")
        tree = {
            "node": plain(self._args.machines[node].connection),
            "ends_boot": boot,
            "driver_version": site.nvidia.driver_version,
            "gpus": machine.gpu_count,
            "fabric_manager": runs_fabric_manager(site.nvidia, machine.gpus),
            "interface": machine.interface,
            "fabric_address": str(machine.fabric_address),
            **({"rails": _rails(machine)} if machine.rails else {}),
            "mtu_bytes": site.fabric.mtu_bytes,
            "containers": ran.apply(lambda told: (told or "").split()),
        }
        return _json(tree)


def _rails(node: Node) -> dict[str, str]:
    return {rail.interface: str(rail.address) for rail in node.rails.values()}


def rebooted(site: Site) -> list[str]:
    """Return the nodes that a change may reboot, in the order in which they are."""
    if site.nvidia is None:
        return []
    nodes = [name for name, node in site.nodes.items() if node.gpus]
    return sorted(nodes, key=lambda name: name == site.head)


def has_spare(plan: Plan, node: str) -> bool:
    """Tell whether all models keep their least replicas without a node.

    They do where each replica is inside one node and the others have room. The head has no spare:
    what is in front of the models goes with it.
    """
    others = [worker.gpus for worker in plan.workers if worker.node != node]
    needed = sum(model.ranks * model.min_replicas for model in plan.models)
    return (
        node != plan.head
        and needed <= sum(others)
        and all(
            model.pipeline == 1
            and sum(gpus // model.tensor for gpus in others) >= model.min_replicas
            for model in plan.models
        )
    )


def at_reboot(site: Site, plan: Plan, node: str) -> str:
    """Return what a reboot of this node means, for a preview; empty: no change asks for one."""
    order = rebooted(site)
    if node not in order:
        return ""
    turn = f"one node at a time, in the order {', '.join(order)}" if len(order) > 1 else ""
    if has_spare(plan, node):
        meanwhile = "other nodes serve meanwhile"
    else:
        meanwhile = "no other nodes can serve without it, so nothing is served until all are back"
    return "; ".join(filter(None, (turn, meanwhile)))


def _ssh(node: str, connection: object, private_key_file: Path) -> remote.ConnectionArgs:
    """Return the same endpoint, with the same pinned key, as the command package wants it.

    A key with a passphrase is left to the SSH agent, which is asked where no key is given.

    Raises:
        InputError: the private key can't be read.

    """
    try:
        key = private_key_file.expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the private key {private_key_file} can't be read ({error}): "
            f"{node} could not be rebooted by it; set ssh.private_key_file to one that can"
        ) from error
    parsed = keys.parse(key)
    found = Output.from_input(connection).apply(Connection.model_validate)
    return remote.ConnectionArgs(
        host=found.apply(lambda told: told.address),
        port=found.apply(lambda told: told.port),
        user=found.apply(lambda told: told.user),
        private_key=None if parsed and parsed.locked else Output.secret(key),
        host_key=found.apply(lambda told: told.host_key),
    )


def _json(tree: Mapping[str, object]) -> Output[str]:
    return Output.from_input(tree).apply(lambda found: json.dumps(found, sort_keys=True))
