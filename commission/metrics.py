"""What was measured, as the node exporter passes it on to Prometheus. Pure."""

from commission.model import Baseline


def nccl_metrics(measured: Baseline, baseline: Baseline) -> str:
    """Return NCCL's bandwidth of each run, now and as it was taken for good; '' without a run."""
    lines = []
    for name, help_text, found in (
        ("rackform_nccl_busbw_gb_s", "Best all-reduce of the last commissioning.", measured),
        ("rackform_nccl_baseline_busbw_gb_s", "The same, of the baseline.", baseline),
    ):
        if found.nccl:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{nodes="{", ".join(r.nodes)}"}} {r.best_gb_s}' for r in found.nccl]
    return "".join(f"{line}\n" for line in lines) if measured.nccl else ""
