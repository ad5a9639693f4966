"""What is asked of the DCGM exporter: NVIDIA's own names and types, one list for real and twin."""

from typing import NamedTuple


class Field(NamedTuple):
    name: str
    kind: str
    help: str
    idle: float
    """What a simulated card shows."""


FIELDS = (
    Field("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).", 1410),
    Field("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).", 1593),
    Field("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C).", 44),
    Field("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", 41),
    Field("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", 70),
    Field(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter",
        "Total energy consumption since boot (in mJ).", 0,
    ),
    Field("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "Total number of PCIe retries.", 0),
    Field("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", 0),
    Field("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", 0),
    Field("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered.", 0),
    Field("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "gauge", "Current clock event reasons.", 0),
    Field(
        "DCGM_FI_DEV_POWER_VIOLATION", "counter",
        "Throttling duration due to power constraints (in ns).", 0,
    ),
    Field(
        "DCGM_FI_DEV_THERMAL_VIOLATION", "counter",
        "Throttling duration due to thermal constraints (in ns).", 0,
    ),
    Field("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", 23028),
    Field("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", 1024),
    Field(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "counter",
        "Total number of single-bit volatile ECC errors.", 0,
    ),
    Field(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "counter",
        "Total number of double-bit volatile ECC errors.", 0,
    ),
    Field(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter",
        "Number of remapped rows for uncorrectable errors", 0,
    ),
    Field(
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter",
        "Number of remapped rows for correctable errors", 0,
    ),
    Field("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed", 0),
)  # fmt: skip


def counters_csv() -> str:
    """Return the exporter's own configuration file."""
    return "".join(f"{each.name}, {each.kind}, {each.help}\n" for each in FIELDS)


def simulated() -> list[list[str | float]]:
    """Return what the simulator is told: name, type, help, value of an idle card."""
    return [list(each) for each in FIELDS]
