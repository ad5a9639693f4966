"""What goes wrong with a GPU, by the DCGM exporter's metrics.

DCGM reports what a card does not know as a number near 2^63: every comparison has an upper bound.
"""

from collections import defaultdict
from collections.abc import Iterator

from monitoring.rule import Alert, Group, Severity
from stack.schema import Site

_UNKNOWN = "< 1e15"
_REASONS = "(DCGM_FI_DEV_CLOCKS_EVENT_REASONS < 65536)"
_WHICH = "GPU {{ $labels.gpu }} of {{ $labels.node }}"


def group(site: Site) -> Group:
    limit = site.monitoring.alerts.gpu_temperature_c if site.monitoring else 85
    rules = (_too_hot(limit), *_throttled(), *_ecc(), _xid(), *_missing(site))
    return Group(name="gpu", rules=rules)


def _bits(lowest: int, width: int = 1) -> str:
    """Return the value of some bits of the reasons: PromQL has no bitwise operators."""
    return f"floor({_REASONS} / {2**lowest}) % {2**width}"


def _too_hot(limit: int) -> Alert:
    return Alert(
        name="GpuTooHot",
        expr=f"DCGM_FI_DEV_GPU_TEMP > {limit} < 200",
        for_s=20,
        severity=Severity.CRITICAL,
        summary=f"{_WHICH} is at {{{{ $value }}}} °C, above {limit} °C.",
        advice="See to the air that it gets: fans, filters, the room. Lower its power limit until"
        " then (nvidia.power_limit_w).",
        runbook="gpu-too-hot",
    )


def _throttled() -> tuple[Alert, ...]:
    return (
        Alert(
            name="GpuThrottledByHeat",
            expr=f"{_bits(5, 2)} > 0",  # bits 5 and 6: thermal slowdown by software, by hardware
            for_s=30,
            severity=Severity.WARNING,
            summary=f"{_WHICH} lowers its clocks because it is too hot: every rank waits for it.",
            advice="Cool it; a lower power limit costs less speed than throttling does.",
            runbook="gpu-too-hot",
        ),
        Alert(
            name="GpuPowerBrake",
            expr=f"{_bits(7)} > 0",  # bit 7: the power supply asks for it
            for_s=30,
            severity=Severity.CRITICAL,
            summary=f"{_WHICH} is braked by its power supply: it gets less power than it needs.",
            advice="Check the card's power cables, the power supply and what else it feeds.",
            runbook="gpu-power",
        ),
        Alert(
            name="GpuPowerCapped",
            expr=f"avg_over_time(({_bits(2)})[15m:1m]) > 0.9",  # bit 2: its power limit
            for_s=60,
            severity=Severity.INFO,
            summary=f"{_WHICH} has been at its power limit for 15 minutes.",
            advice="Nothing is wrong where the limit is meant; else raise power_limit_w.",
            runbook="gpu-power",
        ),
    )


def _ecc() -> tuple[Alert, ...]:
    return (
        Alert(
            name="GpuMemoryErrors",
            expr=f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL > 0 {_UNKNOWN}"
            " or DCGM_FI_DEV_ROW_REMAP_FAILURE > 0 < 2",
            for_s=0,
            severity=Severity.CRITICAL,
            summary=f"{_WHICH} has memory errors that it could not correct: answers may be wrong.",
            advice="Take the node out of service and reset the GPU; replace it if they come again.",
            runbook="gpu-errors",
        ),
        Alert(
            name="GpuMemoryErrorsCorrected",
            expr=f"increase(DCGM_FI_DEV_ECC_SBE_VOL_TOTAL[1h]) > 10 {_UNKNOWN}",
            for_s=60,
            severity=Severity.WARNING,
            summary=f"{_WHICH} corrected more than ten memory errors within an hour.",
            advice="Nothing is lost yet: plan a reset of the GPU, and watch whether it goes on.",
            runbook="gpu-errors",
        ),
    )


def _xid() -> Alert:
    return Alert(
        name="GpuXid",
        expr="DCGM_FI_DEV_XID_ERRORS > 0 < 1e6",
        for_s=0,
        severity=Severity.CRITICAL,
        summary=f"{_WHICH} reported Xid {{{{ $value }}}}, an error of the card or its driver.",
        advice="Look the number up: some are a program's fault, some the card's end.",
        runbook="gpu-errors",
    )


def _missing(site: Site) -> Iterator[Alert]:
    """Where the exporter is away, that is told instead."""
    nodes = defaultdict(list)
    for name, node in site.nodes.items():
        nodes[node.gpu_count].append(name)
    lacking = []
    for count, names in nodes.items():
        of = f'node=~"{"|".join(names)}"'
        shown = f"count by (node) (count by (node, gpu) (DCGM_FI_DEV_GPU_TEMP{{{of}}}))"
        none = f'0 * max by (node) (up{{job="gpu",{of}}} == 1)'
        lacking += [f"{count} - ({shown} or {none}) > 0"] if count else []
    if lacking:
        yield Alert(
            name="GpuMissing",
            expr=" or ".join(lacking),
            for_s=30,
            severity=Severity.CRITICAL,
            summary="{{ $labels.node }} lacks {{ $value }} of its GPUs.",
            advice="See 'nvidia-smi' and 'dmesg | grep -i xid' there: a card that fell off the bus"
            " comes back by a power cycle.",
            runbook="gpu-errors",
        )
