"""Does the appliance work, and which part of it does not?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import (
    YES_IS_BAD,
    YES_IS_GOOD,
    Limits,
    bars,
    board,
    number,
    states,
    timeline,
)
from monitoring.queries import Hosts, Models

_FULL = Limits(bad=0.9, doubtful=0.8)
_A_DAY = 24 * 3600


def build() -> Dashboard:
    return board(
        "overview",
        "Cluster overview",
        "Does the appliance work, and which part of it does not?",
        [
            (
                "Now",
                [
                    number("Real tokens", Models.probe_success, limits=YES_IS_GOOD),
                    number("Alerts firing", Hosts.alerts, limits=YES_IS_BAD),
                    number("Targets not scraped", Hosts.targets, limits=YES_IS_BAD),
                    number("Requests running", Models.running),
                    number("Requests waiting", Models.waiting, limits=Limits(bad=16, doubtful=1)),
                    number("Tokens generated", Models.generated),
                ],
            ),
            (
                "Machines and services",
                [
                    states("Hosts up", Hosts.up, YES_IS_GOOD, span=8),
                    states("Ray nodes up", Hosts.ray, YES_IS_GOOD, span=8),
                    states("Front-ends that answer", Hosts.frontends, YES_IS_GOOD, span=8),
                    timeline("CPU in use", Hosts.cpu, span=8),
                    timeline("Memory in use", Hosts.memory, span=8),
                    bars("Fullest disk", Hosts.disk, _FULL, span=8),
                ],
            ),
            (
                "What clients see",
                [
                    timeline("First token of the probe", Models.probe_first_token),
                    timeline("Time per token of the probe", Models.probe_per_token),
                    number(
                        "Certificates expire in",
                        Hosts.certificates,
                        span=24,
                        limits=Limits(bad=7 * _A_DAY, doubtful=30 * _A_DAY, falling=True),
                    ),
                ],
            ),
        ],
    )
