"""What ranks exchange: alpha-beta times of all-reduces, hops between stages and all-to-alls.

alpha is the time of a small message, beta the time of a byte. Over NVLink engines use all-reduce
kernels of their own, whose alpha is a few microseconds; over anything else NCCL's rings and trees
pay the link's latency for every step.
"""

import math

from planner.catalog import Link, LinkKind
from planner.constants import Constants

_MICRO = 1e-6
_LOW_LATENCY_BYTES = 64 * 1024
_LOW_LATENCY_GROWTH = 1.5


def allreduce_s(size_bytes: float, ranks: int, link: Link, constants: Constants) -> float:
    """Return the seconds of an all-reduce of `size_bytes` on each of `ranks` ranks.

    Every algorithm moves at least 2 (n-1)/n of the bytes over each link (Patarasuk and Yuan,
    2009). A ring has 2 (n-1) steps, a tree 2 log2 n with each byte sent twice: NCCL takes the
    faster.
    """
    if ranks == 1:
        return 0.0
    moved = 2 * (ranks - 1) / ranks * size_bytes / (link.bandwidth_gb_s * 1e9 * constants.link)
    if link.kind is LinkKind.NVLINK:
        alpha = constants.allreduce_us + constants.allreduce_rank_us * (ranks - 1)
        return alpha * _MICRO + moved
    latency = _latency_s(size_bytes, link)
    ring = 2 * (ranks - 1) * latency + moved
    tree = 2 * math.log2(ranks) * latency + moved * ranks / (ranks - 1)
    return min(ring, tree)


def exchange_s(size_bytes: float, ranks: int, link: Link, constants: Constants) -> float:
    """Return the seconds of an all-gather (or all-to-all) that brings each rank `size_bytes`."""
    return allreduce_s(size_bytes, ranks, link, constants) / 2


def hop_s(size_bytes: float, link: Link, constants: Constants) -> float:
    """Return the seconds of sending `size_bytes` from one stage to the next."""
    latency = _latency_s(size_bytes, link)
    return latency + size_bytes / (link.bandwidth_gb_s * 1e9 * constants.link)


def _latency_s(size_bytes: float, link: Link) -> float:
    """Return the seconds of a step before its bytes flow at the link's rate.

    Small messages go by NCCL's low-latency protocols, whose time grows two and a half times from a
    few bytes to 64 KiB: all-reduces of two GB10 over RoCE of 8, 16, 32 and 64 KiB take 28, 32, 40
    and 67 us.
    """
    share = min(1.0, size_bytes / _LOW_LATENCY_BYTES)
    return link.latency_us * _MICRO * (1 + _LOW_LATENCY_GROWTH * share)
