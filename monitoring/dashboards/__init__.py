"""Grafana's dashboards as typed code; `python -m monitoring.dashboards` writes them as JSON.

The JSON is committed, so that a stack is declared without Grafana's SDK.
"""

import json
from collections.abc import Mapping

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards import gpus, interconnect, overview, pipeline, power, vllm

_BOARDS = {
    "overview": overview.build,
    "vllm": vllm.build,
    "interconnect": interconnect.build,
    "gpus": gpus.build,
    "power": power.build,
    "pipeline": pipeline.build,
}


def dashboards() -> Mapping[str, Dashboard]:
    """Return each dashboard by the name of its module."""
    return {name: build() for name, build in _BOARDS.items()}


def render() -> Mapping[str, str]:
    """Return each dashboard as JSON, the same text every time."""
    return {
        name: json.dumps(board, cls=JSONEncoder, sort_keys=True, indent=1, ensure_ascii=False)
        + "\n"
        for name, board in dashboards().items()
    }
