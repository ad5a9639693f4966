"""Measures a stack's links and NCCL, judges them, and keeps the result as its baseline."""

import datetime as dt
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from rich.markup import escape

from cli.console import err
from cli.machines import machine
from commission import links, nccl, soak
from commission.judge import verdict
from commission.links import End
from commission.metrics import nccl_metrics
from commission.model import Baseline, LinkResult, NcclResult, Tool, Verdict
from commission.report import html
from planner.power import continuous_w, wall_w
from remote import ssh
from remote.errors import RackformError
from remote.host_folders import METRICS
from remote.private_file import write_private
from serving import ray_node
from stack.load import load_site, read_stack
from stack.paths import stack_dir
from stack.schema import FABRIC, Rdma, Site

T = TypeVar("T")
BASELINE, REPORT = "baseline.json", "commission.html"


@dataclass(frozen=True)
class Outcome:
    measured: Baseline
    verdict: Verdict
    report: Path


@dataclass(frozen=True)
class Asked:
    """What is measured, and for how long."""

    seconds: int
    """Of each link and direction."""
    nccl: bool = True
    soak_s: int = 60
    """Of each GPU alone, then of all together; 0: GPUs are not loaded."""


def commission(stack: str, asked: Asked, *, keep: bool) -> Outcome:
    """Measure every pair of nodes and every GPU; `keep` makes it the stack's new baseline.

    So does the first that is fit for service.

    Raises:
        RackformError: a machine can't be reached; what can't be measured is told, not raised.

    """
    site = load_site(read_stack(stack))
    folder = stack_dir(stack)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    skipped: list[str] = []
    ends = {name: _end(stack, site, name) for name in site.nodes}
    found_links = tuple(_links(site, ends, asked.seconds, skipped))
    found_nccl = tuple(_nccl(site, ends, skipped)) if asked.nccl else ()
    loaded = _soak(site, ends, asked.soak_s, skipped) if asked.soak_s else soak.Outcome()
    measured = Baseline(
        site=site.name,
        measured_at=dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        gbit_s=site.fabric.link.gbit_s,
        rdma=site.fabric.link.rdma is not Rdma.NONE,
        links=found_links,
        nccl=found_nccl,
        soak=tuple(loaded.results),
        circuits=tuple(loaded.circuits.values()),
        gpu_temperature_c=site.monitoring.alerts.gpu_temperature_c if site.monitoring else 85,
        skipped=tuple(skipped),
    )
    former = baseline(folder / BASELINE)
    found = verdict(measured, former)
    report = folder / REPORT
    write_private(report, html(measured, found))
    kept = measured if keep or former is None else former
    if keep or (former is None and found.fit):
        write_private(folder / BASELINE, measured.model_dump_json(indent=1) + "\n")
    skipped += _publish(stack, site, nccl_metrics(measured, kept))
    for each in (*skipped, *found.reasons):
        err.print(escape(each))
    told = "fit for service" if found.fit else "not fit for service"
    err.print(f"{site.name} is {told}; {report}")
    return Outcome(measured, found, report)


def _publish(stack: str, site: Site, metrics: str) -> Iterator[str]:
    """Leave what was measured where the monitoring node's exporter finds it."""
    if not (site.monitoring and metrics):
        return
    node, folder = machine(stack, site.monitoring.node), shlex.quote(METRICS)
    file = f"{folder}/commission.prom"
    try:
        ssh.run(
            node,
            f"umask 022; mkdir -p {folder} && cat > {file}.new && mv {file}.new {file}",
            input=metrics,
        )
    except RackformError as error:
        yield f"the alert on NCCL's bandwidth goes by what was measured before: {error}"


def baseline(path: Path) -> Baseline | None:
    """Return what was measured before; None where nothing was, or it can't be read."""
    try:
        return Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def _end(stack: str, site: Site, name: str) -> End:
    node = site.nodes[name]
    connection = machine(stack, name)
    named = [] if site.twin else list(node.rdma_devices)
    if named == ["nearest"]:  # which these are was decided on the host
        named = links.told_to_nccl(connection)
    device = named[0].partition(":")[0] if named else None
    rails = {
        network: End(
            connection,
            str(rail.address),
            links.device_of(connection, rail.interface) if named else None,
            network,
        )
        for network, rail in node.rails.items()
    }
    return End(connection, str(node.fabric_address), device, rails=rails)


def _links(
    site: Site, ends: dict[str, End], seconds: int, skipped: list[str]
) -> Iterator[LinkResult]:
    tools = [Tool.IPERF3]
    if site.fabric.link.rdma is not Rdma.NONE and not site.twin:
        tools.append(Tool.IB_WRITE_BW)
    for tool in tools:
        lacking = [name for name, end in ends.items() if links.missing(end, tool)]
        if lacking:
            package = "perftest" if tool is Tool.IB_WRITE_BW else "iperf3"
            skipped.append(
                f"links by {tool}, which {', '.join(lacking)} lacks: install {package} there"
            )
        able = [end for name, end in ends.items() if name not in lacking]
        for network in site.fabric.subnets:
            there = [link for end in able if (link := end.on(network))]
            if tool is Tool.IB_WRITE_BW:
                there = [link for link in there if link.rdma_device]
            over = "" if network == FABRIC else f" over {network}"
            for sender, receiver in permutations(there, 2):
                err.print(f"{tool}: {sender.name} to {receiver.name}{over}")
                pair = f"{tool} from {sender.name} to {receiver.name}{over}"
                yield from _tried(pair, skipped, _one(sender, receiver, tool, seconds))


def _one(sender: End, receiver: End, tool: Tool, seconds: int) -> Callable[[], LinkResult]:
    return lambda: links.measure(sender, receiver, tool, seconds)


def _nccl(site: Site, ends: dict[str, End], skipped: list[str]) -> Iterator[NcclResult]:
    if site.twin:
        skipped.append("NCCL, since the nodes of a twin have no GPU")
        return
    ranks = _ranks(site, ends)
    runs = [[rank] for rank in ranks if rank.gpus > 1]
    runs += [ranks] if len(ranks) > 1 else []
    for nodes in runs:
        told = ", ".join(rank.end.name for rank in nodes)
        err.print(f"NCCL: {told}")
        yield from _tried(f"NCCL on {told}", skipped, _run(nodes))


def _ranks(site: Site, ends: dict[str, End]) -> list[nccl.Rank]:
    return [
        nccl.Rank(ends[name], site.nodes[name].gpu_count, ray_node.WORKER) for name in site.workers
    ]


def _soak(site: Site, ends: dict[str, End], seconds: int, skipped: list[str]) -> soak.Outcome:
    """Load the GPUs; a circuit of which no limit is declared is not watched."""
    if site.twin:
        skipped.append("GPUs at full load, since the nodes of a twin have no GPU")
        return soak.Outcome()
    ranks = _ranks(site, ends)
    if not any(rank.gpus for rank in ranks):
        return soak.Outcome()
    err.print(f"GPUs at full load: {', '.join(rank.end.name for rank in ranks)}")
    outcome = soak.Outcome()
    for found in _tried(
        "GPUs at full load", skipped, lambda: soak.run(ranks, _circuits(site), seconds)
    ):
        outcome = found
    skipped += outcome.failed
    return outcome


def _circuits(site: Site) -> list[soak.Circuit]:
    """Return each declared circuit; what of its nodes has no GPU draws as the plan has it."""
    return [
        soak.Circuit(
            name=name,
            limit_w=continuous_w(site, circuit),
            wall_w={
                node: partial(wall_w, declared)
                for node, declared in site.nodes.items()
                if declared.circuit == name
            },
        )
        for name, circuit in site.power.circuits.items()
    ]


def _run(nodes: list[nccl.Rank]) -> Callable[[], NcclResult]:
    return lambda: nccl.run(nodes)


def _tried(what: str, skipped: list[str], measure: Callable[[], T]) -> Iterator[T]:
    """Yield what was measured, or note why it wasn't: one failure leaves the rest."""
    try:
        yield measure()
    except RackformError as error:
        skipped.append(f"{what}: {error}")
