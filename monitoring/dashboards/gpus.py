"""Is a GPU hot, slowed down or failing?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import YES_IS_BAD, Limits, board, number, states, timeline
from monitoring.queries import Gpus

_HEAT = Limits(bad=85, doubtful=80)
_ANY = Limits(bad=1)


def build() -> Dashboard:
    return board(
        "gpus",
        "GPUs",
        "Is a GPU hot, slowed down or failing?",
        [
            (
                "Load",
                [
                    timeline("At work", Gpus.busy),
                    timeline("Memory in use", Gpus.memory),
                ],
            ),
            (
                "Heat, power and clocks",
                [
                    timeline("Temperature", Gpus.temperature, limits=_HEAT),
                    timeline(
                        "Memory temperature",
                        Gpus.memory_temperature,
                        limits=Limits(bad=105, doubtful=95),
                    ),
                    timeline("Power", Gpus.power, span=8),
                    timeline("SM clock", Gpus.sm_clock, span=8),
                    timeline("Memory clock", Gpus.memory_clock, span=8),
                    states("Clock lowered by heat", Gpus.lowered_by_heat, YES_IS_BAD, span=8),
                    states(
                        "Clock lowered by the power limit",
                        Gpus.lowered_by_power,
                        Limits(bad=2, doubtful=1),
                        span=8,
                    ),
                    states(
                        "Clock lowered by the hardware",
                        Gpus.lowered_by_hardware,
                        YES_IS_BAD,
                        span=8,
                    ),
                ],
            ),
            (
                "Errors",
                [
                    number("ECC errors not corrected, 1 h", Gpus.ecc_uncorrected, 6, _ANY),
                    number(
                        "ECC errors corrected, 1 h",
                        Gpus.ecc_corrected,
                        6,
                        Limits(bad=100, doubtful=1),
                    ),
                    number("Last Xid", Gpus.xid, 6, _ANY),
                    number("PCIe replays, 1 h", Gpus.pcie_replays, 6, Limits(bad=100, doubtful=1)),
                ],
            ),
        ],
    )
