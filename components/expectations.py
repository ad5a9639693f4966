"""What the verification will compare: collected from the site, the plan and the resources."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, Output

from components.machines import Machine
from components.resources import plain
from planner.models import Plan
from stack.doors import open_tcp
from stack.schema import Node, Site


@dataclass(frozen=True, kw_only=True)
class ExpectationArgs:
    site: Site
    plan: Plan
    machines: Mapping[str, Machine]
    containers: Sequence[tuple[str, str, Input[str]]]
    """(container, node, image id)"""
    ray_token: Input[str]
    endpoint: Input[str]
    model: str
    ca_certificate: Input[str]
    api_keys: Input[Mapping[str, str]]


def expectations(args: ExpectationArgs) -> Output[str]:
    """Return `stack.expectations.Expectations` as JSON; a secret, since it holds an API key."""
    site = args.site
    images: dict[str, dict[str, Input[str]]] = defaultdict(dict)
    for name, node, image_id in args.containers:
        images[node][name] = image_id
    tree = {
        "mtu_bytes": site.fabric.mtu_bytes,
        "hosts": {
            name: {
                "connection": plain(args.machines[name].connection),
                "fabric_interface": node.interface,
                "fabric_address": str(node.fabric_address),
                "containers": images[name],
                "open_tcp": open_tcp(site, name),
                **({"rails": ends(node)} if node.rails else {}),
            }
            for name, node in site.nodes.items()
        },
        "head": args.plan.head,
        "ray_token": args.ray_token,
        "ray_nodes": args.plan.expected_nodes,
        "ray_gpus": args.plan.expected_gpus,
        "api": {
            "endpoint": args.endpoint,
            "ca_certificate": args.ca_certificate,
            "api_key": Output.from_input(args.api_keys).apply(
                lambda keys: next(iter(keys.values()))
            ),
            "model": args.model,
        },
    }
    return pulumi.Output.secret(
        Output.from_input(tree).apply(lambda found: json.dumps(found, sort_keys=True))
    )


def ends(node: Node) -> dict[str, dict[str, str]]:
    """Return the ends of a node's further links, as what is run there takes them."""
    return {
        network: {"interface": rail.interface, "address": str(rail.address)}
        for network, rail in node.rails.items()
    }
