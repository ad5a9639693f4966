"""Is the network between the nodes fast, whole and set up alike?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import Limits, board, number, timeline
from monitoring.queries import Links

_LOSS = Limits(bad=0.05, doubtful=0.01)


def build() -> Dashboard:
    return board(
        "interconnect",
        "Interconnect",
        "Is the network between the nodes fast, whole and set up alike?",
        [
            (
                "From node to node",
                [
                    timeline("Latency, median", Links.latency_p50),
                    timeline("Latency, 99th percentile", Links.latency_p99),
                    timeline("Packets lost", Links.loss, limits=_LOSS),
                    timeline("Large packets lost", Links.large_loss, limits=_LOSS),
                ],
            ),
            (
                "Throughput",
                [
                    timeline("Received", Links.received),
                    timeline("Sent", Links.sent),
                    timeline("Received by RDMA", Links.rdma_received),
                    timeline("Sent by RDMA", Links.rdma_sent),
                ],
            ),
            (
                "Links",
                [
                    number("MTU", Links.mtu, span=12),
                    number("Link speed", Links.speed, span=12),
                    timeline("Errors and drops", Links.errors, span=24),
                ],
            ),
        ],
    )
