"""Floors and comparisons: is it fit for service, and what is to be mended first. Pure."""

import statistics
from collections.abc import Iterator

from commission.model import Baseline, LinkResult, NcclResult, SoakResult, Tool, Verdict

TCP_SHARE = 0.7
"""Of a link's rate, what four TCP streams reach on hosts that are set up well."""
RDMA_SHARE = 0.9
"""ib_write_bw reaches 92.4 of 100 Gbit/s over an untuned SN2700 (DeepOps, roce-perf-k8s)."""
NCCL_GB_S_PER_GBIT_S = {True: 0.11, False: 0.06}
"""Floors of the bus bandwidth by RDMA: 12, 24, 46 GB/s a 100, 200, 400 Gbit/s NIC (nccl-tests #119,
#290), with a tenth to spare; TCP reaches about half."""
WORSE_BY = 0.1
FAULTS = frozenset(
    {"hardware slowdown", "too hot (driver)", "too hot (hardware)", "power brake (hardware)"}
)
"""What must not hold a GPU down. Its own power limit may: an H100 at full load is always there."""


def floor_gbit_s(tool: Tool, gbit_s: float) -> float:
    return gbit_s * (RDMA_SHARE if tool is Tool.IB_WRITE_BW else TCP_SHARE)


def nccl_floor_gb_s(gbit_s: float, *, rdma: bool) -> float:
    return gbit_s * NCCL_GB_S_PER_GBIT_S[rdma]


def verdict(measured: Baseline, former: Baseline | None = None) -> Verdict:
    """Return whether a site is fit for service.

    The reasons are in the order in which they are to be mended: power and heat slow down all else,
    a slow link makes NCCL slow, and what has become worse comes after what is too slow.
    """
    reasons = [*_circuits(measured), *_soak(measured), *_links(measured), *_nccl(measured)]
    worse = [*_worse(measured, former), *_slowed(measured, former)] if former else []
    anything = measured.links or measured.nccl or measured.soak
    nothing = [] if anything else ["nothing was measured: see what was skipped"]
    return Verdict(fit=not reasons and not nothing, reasons=(*nothing, *reasons, *worse))


def _links(measured: Baseline) -> Iterator[str]:
    for link in sorted(measured.links, key=lambda each: each.gbit_s):
        floor = floor_gbit_s(link.tool, measured.gbit_s)
        if link.gbit_s < floor:
            yield (
                f"{link.sender} to {link.receiver}{link.over}: {link.gbit_s:.1f} Gbit/s by "
                f"{link.tool}, below the floor of {floor:.1f} for {measured.gbit_s:g} Gbit/s: see "
                "to the slot and width of both cards ('rackform discover'), the cable, and the MTU "
                "on every hop"
            )


def _nccl(measured: Baseline) -> Iterator[str]:
    floor = nccl_floor_gb_s(measured.gbit_s, rdma=measured.rdma)
    for run in measured.nccl:
        if len(run.nodes) > 1 and run.best_gb_s < floor:
            yield (
                f"NCCL across {', '.join(run.nodes)}: {run.best_gb_s:.1f} GB/s, below the floor of "
                f"{floor:.1f} for {measured.gbit_s:g} Gbit/s: see NCCL_IB_HCA, GPUDirect "
                "(nvidia-peermem) and ACS"
            )


def _circuits(measured: Baseline) -> Iterator[str]:
    for each in measured.circuits:
        if each.most_w > each.limit_w:
            ended = ", and the soak was ended there" if each.stopped else ""
            yield (
                f"circuit {each.circuit} carried {each.most_w:.0f} W ({', '.join(each.nodes)}), "
                f"over the {each.limit_w:.0f} W that it may carry without a break{ended}: limit "
                "the GPUs' power, or feed a node by another circuit ('rackform plan' says which)"
            )


def _soak(measured: Baseline) -> Iterator[str]:
    alone = {(each.node, each.gpu): each for each in measured.soak if not each.together}
    for each in measured.soak:
        where = f"{each.node} GPU {each.gpu} {'with all others' if each.together else 'alone'}"
        if each.work and each.work.errors:
            yield (
                f"{where}: {each.work.errors} rounds gave another result than the first: it "
                "computes wrong; take it out of service and have it replaced"
            )
        if faults := [reason for reason in each.reasons if reason in FAULTS]:
            yield (
                f"{where}: held down by {', '.join(faults)} at {each.hottest_c} °C: see to its "
                "cooling, its power cables and its power supply"
            )
        elif each.hottest_c is not None and each.hottest_c >= measured.gpu_temperature_c:
            yield (
                f"{where}: {each.hottest_c} °C, not below the {measured.gpu_temperature_c} °C of "
                "the alert: see to its cooling, or lower its power limit"
            )
        yield from _slower(where, each, alone.get((each.node, each.gpu)))
    yield from _odd(list(alone.values()))


def _slower(where: str, result: SoakResult, alone: SoakResult | None) -> Iterator[str]:
    """Yield what a GPU loses when the others work too."""
    if not (result.together and result.work and alone and alone.work):
        return
    if result.work.tflop_s < alone.work.tflop_s * (1 - WORSE_BY):
        yield (
            f"{where}: {result.work.tflop_s:.0f} TFLOP/s, alone {alone.work.tflop_s:.0f}: the "
            "GPUs take each other's air or power; see the fans and the power supply"
        )


def _odd(alone: list[SoakResult]) -> Iterator[str]:
    """Yield the GPUs that are slower than the site's others of their speed."""
    rates = {f"{each.node} GPU {each.gpu}": each.work.tflop_s for each in alone if each.work}
    if len(rates) < 2:  # noqa: PLR2004 - one has nothing to be compared with
        return
    usual = statistics.median_high(rates.values())
    for where, rate in rates.items():
        if rate < usual * (1 - WORSE_BY):
            yield (
                f"{where} alone: {rate:.0f} TFLOP/s, the others {usual:.0f}: see its power limit, "
                "clocks and cooling ('nvidia-smi -q -d PERFORMANCE,POWER,CLOCK')"
            )


def _slowed(measured: Baseline, former: Baseline) -> Iterator[str]:
    """Yield GPUs that have become slower than they were in the same soak."""
    before = {(each.node, each.gpu, each.together): each.work for each in former.soak}
    for each in measured.soak:
        was = before.get((each.node, each.gpu, each.together))
        if was and each.work and each.work.tflop_s < was.tflop_s * (1 - WORSE_BY):
            yield (
                f"{each.node} GPU {each.gpu}: {each.work.tflop_s:.0f} TFLOP/s, was "
                f"{was.tflop_s:.0f} at {former.measured_at}: see its cooling and power limit"
            )


def _key(link: LinkResult) -> tuple[str, str, str, Tool]:
    return link.sender, link.receiver, link.network, link.tool


def _worse(measured: Baseline, former: Baseline) -> Iterator[str]:
    before = {_key(link): link.gbit_s for link in former.links}
    for link in measured.links:
        was = before.get(_key(link))
        if was and link.gbit_s < was * (1 - WORSE_BY):
            yield (
                f"{link.sender} to {link.receiver}{link.over}: {link.gbit_s:.1f} Gbit/s by "
                f"{link.tool}, was {was:.1f} at {former.measured_at}: see what changed since"
            )
    runs: dict[tuple[str, ...], NcclResult] = {run.nodes: run for run in former.nccl}
    for run in measured.nccl:
        old = runs.get(run.nodes)
        if old and run.best_gb_s < old.best_gb_s * (1 - WORSE_BY):
            yield (
                f"NCCL on {', '.join(run.nodes)}: {run.best_gb_s:.1f} GB/s, was "
                f"{old.best_gb_s:.1f} at {former.measured_at}: see what changed since"
            )
