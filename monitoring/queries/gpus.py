"""GPUs, as dcgm-exporter counts them, and the circuits that feed them.

DCGM gives a huge number for what a GPU has no sensor for: comparisons leave it out.
"""

from monitoring.queries.base import Query, Unit

_GPU, _CIRCUIT = "{{node}} GPU {{gpu}}", "circuit {{circuit}}"
_REASONS = "(DCGM_FI_DEV_CLOCKS_EVENT_REASONS < 65536)"


def _gpu(metric: str, below: float = 1e15) -> str:
    return f"max by (node, gpu) (DCGM_FI_DEV_{metric} < {below:g})"


def _counted(metric: str, window: str = "1h") -> str:
    return f"max by (node, gpu) (increase(DCGM_FI_DEV_{metric}[{window}]) < 1e15)"


def _lowered(*bits: int) -> str:
    """Return whether any of these bits is set in the reasons for a lowered clock.

    PromQL has no `&`. The bits are those of NVML's `nvmlClocksEventReason…`.
    """
    tests = " + ".join(f"floor({_REASONS} / {bit}) % 2" for bit in bits)
    return f"max by (node, gpu) (({tests}) > bool 0)"


class Gpus:
    """Each GPU's state and what it has counted."""

    temperature = Query(
        title="Temperature", expr=_gpu("GPU_TEMP", 200), unit=Unit.CELSIUS, legend=_GPU
    )
    memory_temperature = Query(
        title="Memory temperature", expr=_gpu("MEMORY_TEMP", 200), unit=Unit.CELSIUS, legend=_GPU
    )
    power = Query(title="Power", expr=_gpu("POWER_USAGE"), unit=Unit.WATTS, legend=_GPU)
    busy = Query(
        title="At work", expr=f"{_gpu('GPU_UTIL', 101)} / 100", unit=Unit.RATIO, legend=_GPU
    )
    memory = Query(
        title="Memory in use",
        expr="max by (node, gpu)"
        " (DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE))",
        unit=Unit.RATIO,
        legend=_GPU,
    )
    sm_clock = Query(
        title="SM clock", expr=f"{_gpu('SM_CLOCK')} * 1e6", unit=Unit.HERTZ, legend=_GPU
    )
    memory_clock = Query(
        title="Memory clock", expr=f"{_gpu('MEM_CLOCK')} * 1e6", unit=Unit.HERTZ, legend=_GPU
    )
    lowered_by_heat = Query(
        title="Clock lowered by heat", expr=_lowered(0x20, 0x40), unit=Unit.YES_NO, legend=_GPU
    )
    lowered_by_power = Query(
        title="Clock lowered by the power limit",
        expr=_lowered(0x4),
        unit=Unit.YES_NO,
        legend=_GPU,
        note="Normal at full load: the limit that is set is reached.",
    )
    lowered_by_hardware = Query(
        title="Clock lowered by the hardware",
        expr=_lowered(0x8, 0x80),
        unit=Unit.YES_NO,
        legend=_GPU,
        note="Slowdown or power brake: a supply, a cable or the cooling is at fault.",
    )
    ecc_corrected = Query(
        title="ECC errors corrected in an hour",
        expr=_counted("ECC_SBE_VOL_TOTAL"),
        legend=_GPU,
    )
    ecc_uncorrected = Query(
        title="ECC errors not corrected in an hour",
        expr=_counted("ECC_DBE_VOL_TOTAL"),
        legend=_GPU,
    )
    xid = Query(
        title="Last Xid",
        expr=_gpu("XID_ERRORS", 1e6),
        legend=_GPU,
        note="0: none since the exporter began. NVIDIA's list of Xids says what each means.",
    )
    pcie_replays = Query(
        title="PCIe replays in an hour",
        expr=_counted("PCIE_REPLAY_COUNTER"),
        legend=_GPU,
        note="Any steady number points to a riser, a slot or a cable.",
    )


class Power:
    """What each circuit carries against what it may carry for hours."""

    power = Query(
        title="Power of each circuit",
        expr="sum by (circuit) (rackform:circuit_watts)",
        unit=Unit.WATTS,
        legend=_CIRCUIT,
    )
    limit = Query(
        title="Continuous limit",
        expr="max by (circuit) (rackform:circuit_continuous_watts)",
        unit=Unit.WATTS,
        legend=f"{_CIRCUIT} limit",
    )
    share = Query(
        title="Share of the continuous limit",
        expr="sum by (circuit) (rackform:circuit_watts)"
        " / max by (circuit) (rackform:circuit_continuous_watts)",
        unit=Unit.RATIO,
        legend=_CIRCUIT,
    )
    by_node = Query(
        title="Power of each node",
        expr="sum by (node) (rackform:node_watts)",
        unit=Unit.WATTS,
        legend="{{node}}",
        note="The host as the site declares it, its GPUs as measured.",
    )
    tokens_a_joule = Query(
        title="Tokens a joule",
        expr="sum(rate(ray_vllm_generation_tokens_total[5m])) / sum(rackform:node_watts)",
        unit=Unit.TOKENS_PER_JOULE,
        legend="all models",
        note="Generated tokens for all nodes' energy, of all models together.",
    )
