"""What Prometheus answers where the site `lab` works, with labels as its scrapes have them."""

from collections.abc import Mapping, Sequence
from itertools import permutations

from monitoring.queries import Gpus, Hosts, Links, Models, Pipelines, Power

NODES = ("head", "w1", "w2")
MODEL = "smollm2-135m"

Series = Sequence[tuple[Mapping[str, str], float]]


def _nodes(value: float, nodes: Sequence[str] = NODES) -> Series:
    return [({"node": node}, value) for node in nodes]


def _links(value: float) -> Series:
    return [
        ({"node": a, "peer": b, "network": network}, value * factor)
        for network, factor in (("fabric", 1), ("management", 2))
        for a, b in permutations(NODES, 2)
    ]


def _gpus(value: float) -> Series:
    return [
        ({"node": node, "gpu": str(gpu)}, value * (1 + gpu / 100))
        for node in ("w1", "w2")
        for gpu in range(2)
    ]


def _model(value: float) -> Series:
    return [({"model_name": MODEL}, value)]


def healthy() -> dict[str, Series]:
    """Return expression → series, for all that top and the status page ask."""
    probed = [({"model": MODEL}, 1.0)]
    return {
        Models.probe_success.expr: probed,
        Models.probe_first_token.expr: [({"model": MODEL}, 0.412)],
        Models.probe_per_token.expr: [({"model": MODEL}, 0.061)],
        Models.running.expr: _model(3),
        Models.waiting.expr: _model(0),
        Models.generated.expr: _model(47.3),
        Models.first_token_p50.expr: _model(0.38),
        Models.first_token_p95.expr: _model(1.21),
        Models.per_token_p50.expr: _model(0.058),
        Models.per_token_p95.expr: _model(0.094),
        Models.kv_cache.expr: _model(0.12),
        Pipelines.stages.expr: _model(2),
        Hosts.up.expr: _nodes(1),
        f"sum({Hosts.up.expr})": [({}, 3)],
        Hosts.ray.expr: _nodes(1),
        f"sum({Hosts.ray.expr})": [({}, 3)],
        Hosts.cpu.expr: _nodes(0.37),
        Hosts.memory.expr: _nodes(0.44),
        Hosts.disk.expr: _nodes(0.61),
        f"max({Hosts.disk.expr})": [({}, 0.61)],
        Hosts.frontends.expr: [({"endpoint": "edge"}, 1), ({"endpoint": "open-webui"}, 1)],
        f"{Hosts.frontends.expr} == 1": [
            ({"endpoint": "edge"}, 1),
            ({"endpoint": "open-webui"}, 1),
        ],
        Hosts.certificates.expr: [({"endpoint": "edge"}, 300 * 86400)],
        f"min({Hosts.certificates.expr})": [({}, 300 * 86400)],
        Links.loss.expr: _links(0),
        Links.large_loss.expr: _links(0),
        Links.latency_p50.expr: _links(0.00013),
        f"max({Links.latency_p50.expr})": [({}, 0.00026)],
        Links.latency_p99.expr: _links(0.0009),
        Links.received.expr: [({"node": node, "device": "fab0"}, 3.1e8) for node in NODES],
        Links.sent.expr: [({"node": node, "device": "fab0"}, 41_000) for node in NODES],
        Gpus.temperature.expr: _gpus(61),
        f"max({Gpus.temperature.expr})": [({}, 62)],
        Gpus.power.expr: _gpus(285),
        f"sum({Gpus.power.expr})": [({}, 1142)],
        Gpus.busy.expr: _gpus(0.2),
        Gpus.memory.expr: _gpus(0.1),
        Gpus.sm_clock.expr: _gpus(1.98e9),
        Gpus.lowered_by_heat.expr: _gpus(0)[::2],
        Power.power.expr: [({"circuit": "a"}, 2310)],
        Power.limit.expr: [({"circuit": "a"}, 3840)],
        Power.share.expr: [({"circuit": "a"}, 0.6)],
    }
