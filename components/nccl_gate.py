"""The gate before serving: each link between nodes with ranks has carried NCCL."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions
from pulumi_command import local

from commission.judge import nccl_floor_gb_s
from components.expectations import ends
from components.images import ContainerImage
from components.machines import Machine
from components.resources import plain
from planner.models import Plan
from stack.paths import ROOT
from stack.schema import Rdma, Site, Variant

BENCH = Path("commission", "nccl_bench.py")
LIMIT_S = 60


@dataclass(frozen=True, kw_only=True)
class NcclGateArgs:
    site: Site
    plan: Plan
    machines: Mapping[str, Machine]
    hosts: Mapping[str, Resource]
    image: ContainerImage
    """The serving image, which every worker has."""
    revisions: Mapping[str, Input[str]]
    """Hosts and switches: a change of one may have changed a link."""


class NcclGate(ComponentResource):
    """NCCL between each pair of workers, in the serving image, tried when something changed.

    With one worker there is no link, and nothing is tried.
    """

    passed: Sequence[Resource]
    """What a model waits for."""
    report: Output[str]
    """What each link carried."""

    def __init__(self, name: str, args: NcclGateArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("rackform:cluster:NcclGate", name, None, opts)
        workers = [worker.node for worker in args.plan.workers]
        self.passed, self.report = (), Output.from_input("there is no link between ranks")
        if len(workers) > 1:
            order = _order(args, workers)
            run = local.Command(
                f"{name}-run",
                create="./rackform step gate",
                dir=str(ROOT),
                stdin=order,
                logging=local.Logging.STDERR,
                triggers=[
                    order,
                    hashlib.sha256(Path(ROOT, BENCH).read_bytes()).hexdigest(),
                    args.image.image_id,
                    *(args.revisions[key] for key in sorted(args.revisions)),
                ],
                opts=ResourceOptions(
                    parent=self,
                    depends_on=[*(args.hosts[node] for node in workers), args.image.pulled],
                    custom_timeouts=pulumi.CustomTimeouts(create="30m"),
                ),
            )
            self.passed, self.report = (run,), run.stdout.apply(lambda text: text or "")
        self.register_outputs({"report": self.report})


def _order(args: NcclGateArgs, workers: Sequence[str]) -> Output[str]:
    """Return the `stack.steps.Gate` as JSON."""
    site, link = args.site, args.site.fabric.link
    rdma = link.rdma is not Rdma.NONE and not site.twin
    cuda = site.vllm_variant is Variant.CUDA
    usual = nccl_floor_gb_s(link.gbit_s, rdma=rdma)
    tree = {
        "nodes": {
            node: {
                "connection": plain(args.machines[node].connection),
                "interface": site.nodes[node].interface,
                "fabric_address": str(site.nodes[node].fabric_address),
                "rdma": rdma and bool(site.nodes[node].rdma_devices),
                **({"rails": ends(site.nodes[node])} if site.nodes[node].rails else {}),
            }
            for node in workers
        },
        "image": args.image.image_id,
        "backend": "nccl" if cuda else "gloo",
        "mtu_bytes": site.fabric.mtu_bytes,
        "gbit_s": link.gbit_s,
        # gloo on processors tells nothing of a link's rate
        "floor_gb_s": round(usual * link.floor_share, 2) if cuda else 0.0,
        "limit_s": LIMIT_S,
    }
    return Output.from_input(tree).apply(lambda found: json.dumps(found, sort_keys=True))
