"""Floors and comparisons: is it fit for service, and what is to be mended first. Pure."""

from collections.abc import Iterator

from commission.model import Baseline, NcclResult, Tool, Verdict

TCP_SHARE = 0.7
"""Of a link's rate, what four TCP streams reach on hosts that are set up well."""
RDMA_SHARE = 0.9
"""ib_write_bw reaches 92.4 of 100 Gbit/s over an untuned SN2700 (DeepOps, roce-perf-k8s)."""
NCCL_GB_S_PER_GBIT_S = {True: 0.11, False: 0.06}
"""Floors of the bus bandwidth by RDMA: 12, 24, 46 GB/s a 100, 200, 400 Gbit/s NIC (nccl-tests #119,
#290), with a tenth to spare; TCP reaches about half."""
WORSE_BY = 0.1


def floor_gbit_s(tool: Tool, gbit_s: float) -> float:
    return gbit_s * (RDMA_SHARE if tool is Tool.IB_WRITE_BW else TCP_SHARE)


def nccl_floor_gb_s(gbit_s: float, *, rdma: bool) -> float:
    return gbit_s * NCCL_GB_S_PER_GBIT_S[rdma]


def verdict(measured: Baseline, former: Baseline | None = None) -> Verdict:
    """Return whether a site is fit for service.

    The reasons are in the order in which they are to be mended: a slow link makes NCCL slow, and
    what has become worse comes after what is too slow.
    """
    reasons = [*_links(measured), *_nccl(measured)]
    worse = list(_worse(measured, former)) if former else []
    nothing = (
        [] if measured.links or measured.nccl else ["nothing was measured: see what was skipped"]
    )
    return Verdict(fit=not reasons and not nothing, reasons=(*nothing, *reasons, *worse))


def _links(measured: Baseline) -> Iterator[str]:
    for link in sorted(measured.links, key=lambda each: each.gbit_s):
        floor = floor_gbit_s(link.tool, measured.gbit_s)
        if link.gbit_s < floor:
            yield (
                f"{link.sender} to {link.receiver}: {link.gbit_s:.1f} Gbit/s by {link.tool}, below "
                f"the floor of {floor:.1f} for {measured.gbit_s:g} Gbit/s: see to the slot and "
                "width of both cards ('rackform discover'), the cable, and the MTU on every hop"
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


def _worse(measured: Baseline, former: Baseline) -> Iterator[str]:
    before = {(link.sender, link.receiver, link.tool): link.gbit_s for link in former.links}
    for link in measured.links:
        was = before.get((link.sender, link.receiver, link.tool))
        if was and link.gbit_s < was * (1 - WORSE_BY):
            yield (
                f"{link.sender} to {link.receiver}: {link.gbit_s:.1f} Gbit/s by {link.tool}, was "
                f"{was:.1f} at {former.measured_at}: see what changed since"
            )
    runs: dict[tuple[str, ...], NcclResult] = {run.nodes: run for run in former.nccl}
    for run in measured.nccl:
        old = runs.get(run.nodes)
        if old and run.best_gb_s < old.best_gb_s * (1 - WORSE_BY):
            yield (
                f"NCCL on {', '.join(run.nodes)}: {run.best_gb_s:.1f} GB/s, was "
                f"{old.best_gb_s:.1f} at {former.measured_at}: see what changed since"
            )
