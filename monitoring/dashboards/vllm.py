"""How fast do the models answer, and what holds them up?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import Limits, board, timeline
from monitoring.queries import Models


def build() -> Dashboard:
    return board(
        "vllm",
        "Models and vLLM",
        "How fast do the models answer, and what holds them up?",
        [
            (
                "Requests",
                [
                    timeline("Requests running and waiting", Models.running, Models.waiting),
                    timeline("Requests finished and preempted", Models.finished, Models.preempted),
                    timeline("Tokens generated", Models.generated),
                    timeline("Prompt tokens", Models.prompted),
                ],
            ),
            (
                "Latency",
                [
                    timeline("Time to first token", Models.first_token_p50, Models.first_token_p95),
                    timeline("Time per output token", Models.per_token_p50, Models.per_token_p95),
                    timeline("Time in the queue", Models.queued_p95),
                    timeline("Whole answer", Models.whole_p95),
                ],
            ),
            (
                "KV cache",
                [
                    timeline(
                        "KV cache in use", Models.kv_cache, limits=Limits(bad=0.95, doubtful=0.8)
                    ),
                    timeline("Prefix-cache hits", Models.prefix_hits),
                ],
            ),
        ],
    )
