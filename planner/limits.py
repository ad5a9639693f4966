"""Which power limit a GPU has, and what it costs.

The clock of the matrix units follows the cube root of the power above idle (dynamic power is
proportional to f V^2, and V to f). The memory keeps its rate as long as the limit leaves the share
of board power that streaming weights draws; below that, its rate falls with the power.
"""

from planner.catalog import Gpu
from stack.schema import Node, Site

STREAMING_SHARE = 0.65
"""Of the board's power, when a GPU does nothing but read its memory (decode of a small batch)."""


def declared_limit_w(site: Site, node: Node) -> int | None:
    """Return the power limit of each GPU of a node: its own, else the one of all NVIDIA GPUs."""
    if node.gpus and node.gpus.power_limit_w:
        return node.gpus.power_limit_w
    return site.nvidia.power_limit_w if site.nvidia else None


def power_limited(gpu: Gpu, limit_w: float) -> Gpu:
    """Return a GPU as it is under a power limit; one at or above its board power changes nothing.

    An estimate: no point of it is measured by us, and cards differ by a few percent.
    """
    if limit_w >= gpu.board_power_w:
        return gpu
    limit = max(limit_w, gpu.idle_power_w * 1.05)
    dynamic = (limit - gpu.idle_power_w) / (gpu.board_power_w - gpu.idle_power_w)
    streaming = STREAMING_SHARE * gpu.board_power_w - gpu.idle_power_w
    memory = min(1.0, (limit - gpu.idle_power_w) / streaming)
    return gpu.model_copy(
        update={
            "board_power_w": limit,
            "dense_tflops": {k: v * dynamic ** (1 / 3) for k, v in gpu.dense_tflops.items()},
            "memory_bandwidth_gb_s": gpu.memory_bandwidth_gb_s * memory,
        }
    )
