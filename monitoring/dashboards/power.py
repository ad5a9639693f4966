"""How near is each circuit to what it may carry for hours?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import Limits, bars, board, timeline
from monitoring.queries import Power


def build() -> Dashboard:
    return board(
        "power",
        "Power",
        "How near is each circuit to what it may carry for hours?",
        [
            (
                "Circuits",
                [
                    bars("Share of the continuous limit", Power.share, Limits(bad=1, doubtful=0.9)),
                    timeline("Power of each circuit and its limit", Power.power, Power.limit),
                ],
            ),
            (
                "What it goes to",
                [
                    timeline("Power of each node", Power.by_node),
                    timeline("Tokens a joule", Power.tokens_a_joule),
                ],
            ),
        ],
    )
