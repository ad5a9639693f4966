"""Do the stages of a pipeline wait for each other?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import Limits, board, number, timeline
from monitoring.queries import Models, Pipelines


def build() -> Dashboard:
    return board(
        "pipeline",
        "Pipeline stages",
        "Do the stages of a pipeline wait for each other? With fewer requests in flight than"
        " stages, they do: keep more in flight, or take pipeline parallelism for what it is at low"
        " load, a way to fit the model.",
        [
            (
                "Now",
                [
                    number("Stages", Pipelines.stages, span=6),
                    number("Requests running", Models.running, span=6),
                    # No limits: a cluster that nobody asks is not at fault.
                    number("Requests in flight a stage", Pipelines.requests_a_stage, span=6),
                    number(
                        "Bubbles while requests run",
                        Pipelines.bubbles,
                        span=6,
                        limits=Limits(bad=0.6, doubtful=0.3),
                    ),
                ],
            ),
            (
                "Over time",
                [
                    timeline("Idle share of the stages", Pipelines.idle),
                    timeline("Bubbles while requests run", Pipelines.bubbles),
                    timeline("GPUs at work, by node", Pipelines.gpu_busy, span=24),
                ],
            ),
        ],
    )
