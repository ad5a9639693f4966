"""For every alert a case that raises it and one that does not, as `promtool test rules` takes them.

A series is a sample every ten seconds, in promtool's own notation: `41x30` is 41 and then 30 times
41 more; `0+10x30` goes up by ten; `_` is a scrape that brought nothing, `stale` the first without
the series.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.models import Plan
from planner.plan import plan
from stack.load import load_site, read_stack
from stack.schema import Site

GPU = '{node="n1",gpu="0"}'
WHERE = {"node": "n1", "gpu": "0"}
PING = 'node="n1",peer="n2",network="fabric"'
PAIR = {"node": "n1", "peer": "n2", "network": "fabric"}
MODEL = "llama-3.3-70b"
UNKNOWN = "9223372036854775794"
"""What DCGM reports for what a card does not know."""


@dataclass(frozen=True)
class Case:
    """What was measured, and whether that raises the alert."""

    alert: str
    series: Mapping[str, str]
    says: str = ""
    """The summary, word by word; empty: it must not be raised."""
    labels: Mapping[str, str] = field(default_factory=dict)
    at_s: int = 90


def monitored_site() -> tuple[Site, Plan]:
    """Return four nodes on two circuits that serve one model in four stages, with monitoring.

    The fourth reaches the fabric by two cards.
    """
    raw = read_stack("homelab-4x2")
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": "n1"}
    raw["nodes"]["n4"]["rdma_devices"] = ["mlx5_0", "mlx5_1:1"]
    site = load_site(raw)
    return site, plan(site)


def _cards(first: str, second: str, *, exporter: str = "1x30") -> dict[str, str]:
    return {
        'DCGM_FI_DEV_GPU_TEMP{node="n1",gpu="0",job="gpu"}': first,
        'DCGM_FI_DEV_GPU_TEMP{node="n1",gpu="1",job="gpu"}': second,
        'up{node="n1",job="gpu"}': exporter,
    }


def _pings(small: str, large: str, *, sent: str = "0+10x60") -> dict[str, str]:
    answered = {"small": small, "large": large}
    return {
        **{f'smokeping_requests_total{{{PING},size="{size}"}}': sent for size in answered},
        **{
            f'smokeping_response_duration_seconds_count{{{PING},size="{size}"}}': values
            for size, values in answered.items()
        },
    }


def _rail(node: str, gbit_s: int) -> dict[str, str]:
    rate = f"{gbit_s * 125_000_000}x30"
    labels = f'node="{node}",device="mlx5_1",port="1"'
    return {f"node_infiniband_rate_bytes_per_second{{{labels}}}": rate}


def _latency(seconds: str) -> dict[str, str]:
    name = "smokeping_response_duration_seconds"
    labels = f'{PING},size="small"'
    return {f"{name}_sum{{{labels}}}": seconds, f"{name}_count{{{labels}}}": "0+10x60"}


def _tokens(failures: str, health: str, generated: str = "100x60") -> dict[str, str]:
    return {
        f'token_probe_failures_in_a_row{{model="{MODEL}",node="n1",job="tokens"}}': failures,
        f'token_probe_health{{model="{MODEL}",node="n1",job="tokens"}}': health,
        f'ray_vllm_generation_tokens_total{{model_name="{MODEL}",node="n1"}}': generated,
    }


def _running(values: str) -> dict[str, str]:
    return {f'ray_vllm_num_requests_running{{model_name="{MODEL}",node="n1"}}': values}


def _power(each: int, *nodes: str) -> dict[str, str]:
    """Both cards of the nodes on circuit a, of both if none is named."""
    return {
        f'DCGM_FI_DEV_POWER_USAGE{{node="{node}",gpu="{gpu}"}}': f"{each}x60"
        for node in nodes or ("n1", "n2")
        for gpu in (0, 1)
    }


def _disk(left: str) -> dict[str, str]:
    labels = '{node="n1",mountpoint="/",fstype="ext4",device="/dev/vda1"}'
    return {
        f"node_filesystem_avail_bytes{labels}": left,
        f"node_filesystem_size_bytes{labels}": "1000x400",
    }


_LACKS = "n1 lacks {} of its GPUs."
_DISK = {"node": "n1", "mountpoint": "/", "fstype": "ext4", "device": "/dev/vda1"}
_LOST = _pings("0+10x6 60x60", "0+10x6 60x60")
_MISMATCH = _pings("0+10x60", "0+10x6 60x60")
_SPEED = 'node_network_speed_bytes{node="n1",device="ens1f0"}'
_CERTIFICATE = 'probe_ssl_earliest_cert_expiry{endpoint="edge",node="n1",job="endpoint"}'
_PROBED = 'probe_success{endpoint="edge",node="n1",job="endpoint"}'
_FAILED = 'alertmanager_notifications_failed_total{node="n1",integration="webhook"}'
_KV = f'ray_vllm_kv_cache_usage_perc{{model_name="{MODEL}",node="n1"}}'
_RUNG = 'rackform_watchdog_rung{node="n1",job="node"}'
_ASKED = 'node_textfile_mtime_seconds{node="n1",job="node",file="/host/metrics/watchdog.prom"}'
_SCRAPED = 'up{node="n1",job="node"}'
_NOT_ASKED = (
    "The watchdog on n1 has not asked for tokens for over three minutes: nobody restarts what"
    " hangs."
)
_AT_N1 = {"node": "n1", "job": "node"}
_NCCL = '{nodes="n1, n2",node="n1"}'

CASES = (
    Case(
        "GpuTooHot", {f"DCGM_FI_DEV_GPU_TEMP{GPU}": "41x2 91x30"},
        "GPU 0 of n1 is at 91 °C, above 85 °C.", WHERE,
    ),
    Case("GpuTooHot", {f"DCGM_FI_DEV_GPU_TEMP{GPU}": "85x30"}),
    Case("GpuTooHot", {f"DCGM_FI_DEV_GPU_TEMP{GPU}": f"{UNKNOWN}x30"}),
    Case(
        "GpuThrottledByHeat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "0x2 32x30"},
        "GPU 0 of n1 lowers its clocks because it is too hot: every rank waits for it.", WHERE,
    ),
    # 64 + 8: by hardware, as most cards report it
    Case(
        "GpuThrottledByHeat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "72x30"},
        "GPU 0 of n1 lowers its clocks because it is too hot: every rank waits for it.", WHERE,
    ),
    # 1, 4 and 128: idle, at its power limit, braked
    Case("GpuThrottledByHeat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "133x30"}),
    Case("GpuThrottledByHeat", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": f"{UNKNOWN}x30"}),
    Case(
        "GpuPowerBrake", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "136x30"},
        "GPU 0 of n1 is braked by its power supply: it gets less power than it needs.", WHERE,
    ),
    Case("GpuPowerBrake", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "100x30"}),
    Case(
        "GpuPowerCapped", {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "4x120"},
        "GPU 0 of n1 has been at its power limit for 15 minutes.", WHERE, at_s=1080,
    ),
    Case(
        "GpuPowerCapped",
        {f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{GPU}": "4x40 0x80"}, at_s=1080,
    ),
    Case(
        "GpuMemoryErrors", {f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{GPU}": "0x5 1x30"},
        "GPU 0 of n1 has memory errors that it could not correct: answers may be wrong.", WHERE,
    ),
    Case(
        "GpuMemoryErrors", {f"DCGM_FI_DEV_ROW_REMAP_FAILURE{GPU}": "1x30"},
        "GPU 0 of n1 has memory errors that it could not correct: answers may be wrong.", WHERE,
    ),
    Case(
        "GpuMemoryErrors",
        {
            f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{GPU}": f"{UNKNOWN}x30",
            f"DCGM_FI_DEV_ROW_REMAP_FAILURE{GPU}": "0x30",
        },
    ),
    Case(
        "GpuMemoryErrorsCorrected", {f"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL{GPU}": "0x10 0+2x60"},
        "GPU 0 of n1 corrected more than ten memory errors within an hour.", WHERE, at_s=600,
    ),
    Case(
        "GpuMemoryErrorsCorrected", {f"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL{GPU}": "500x10 501x60"},
        at_s=600,
    ),
    Case(
        "GpuMemoryErrorsCorrected",
        {f"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL{GPU}": f"0x20 {UNKNOWN}x60"}, at_s=600,
    ),
    Case(
        "GpuXid", {f"DCGM_FI_DEV_XID_ERRORS{GPU}": "0x5 79x30"},
        "GPU 0 of n1 reported Xid 79, an error of the card or its driver.", WHERE,
    ),
    Case("GpuXid", {f"DCGM_FI_DEV_XID_ERRORS{GPU}": "0x30"}),
    Case("GpuMissing", _cards("41x30", "41x3 stale"), _LACKS.format(1), {"node": "n1"}),
    Case("GpuMissing", _cards("_x30", "_x30"), _LACKS.format(2), {"node": "n1"}),
    Case("GpuMissing", _cards("41x30", "41x30")),
    # its exporter is away: TargetDown tells
    Case("GpuMissing", _cards("41x3 stale", "41x3 stale", exporter="1x3 0x30")),
    Case(
        "LinkLost", _LOST, "Most pings between n1 and n2 over the fabric network are lost.",
        {**PAIR, "size": "small"}, at_s=110,
    ),
    # an interface that is down sends nothing
    Case(
        "LinkLost", _pings("50x60", "50x60", sent="50x60"),
        "Most pings between n1 and n2 over the fabric network are lost.",
        {**PAIR, "size": "small"},
    ),
    Case("LinkLost", _MISMATCH, at_s=110),
    Case("LinkLost", _pings("0+10x60", "0+10x60")),
    Case(
        "LinkLossy", _pings("0+9x60", "0+9x60"),
        "10% of the pings between n1 and n2 over the fabric network are lost.",
        {**PAIR, "size": "small"}, at_s=300,
    ),
    Case("LinkLossy", _pings("0+10x60", "0+9x60"), at_s=300),
    Case(
        "MtuMismatch", _MISMATCH,
        "Small packets pass between n1 and n2 over the fabric network, large ones do not: an MTU"
        " differs.",
        {**PAIR, "size": "large"}, at_s=110,
    ),
    Case("MtuMismatch", _LOST, at_s=110),
    Case("MtuMismatch", _pings("0+10x60", "0+10x60")),
    Case(
        "LinkSlow", _latency("0+0.1x60"),
        "A ping between n1 and n2 over the fabric network takes 10ms.",
        {**PAIR, "size": "small"}, at_s=180,
    ),
    Case("LinkSlow", _latency("0+0.001x60"), at_s=180),
    Case(
        "LinkBelowSpeed", {_SPEED: "1250000000x30"},
        "The link ens1f0 of n1 runs at 10 Gbit/s, not at 100.", {"node": "n1", "device": "ens1f0"},
    ),
    Case("LinkBelowSpeed", {_SPEED: "12500000000x30"}),
    # no carrier: the kernel tells no speed
    Case("LinkBelowSpeed", {_SPEED: "-125000x30"}),
    # the second card of n4 came up at half its speed, and n1 has none
    Case(
        "RailBelowSpeed", _rail("n4", 50), "The RDMA device mlx5_1 of n4 runs at 50 Gbit/s, not"
        " at 100.", {"node": "n4", "device": "mlx5_1", "port": "1"},
    ),
    Case("RailBelowSpeed", _rail("n4", 100)),
    Case("RailBelowSpeed", _rail("n1", 50)),
    Case(
        "NcclWorseThanCommissioned",
        {
            f"rackform_nccl_busbw_gb_s{_NCCL}": "8x30",
            f"rackform_nccl_baseline_busbw_gb_s{_NCCL}": "12x30",
        },
        "NCCL across n1, n2 reaches 8 GB/s, over a tenth less than at commissioning.",
        {"nodes": "n1, n2", "node": "n1"},
    ),
    Case(
        "NcclWorseThanCommissioned",
        {
            f"rackform_nccl_busbw_gb_s{_NCCL}": "11.5x30",
            f"rackform_nccl_baseline_busbw_gb_s{_NCCL}": "12x30",
        },
    ),
    Case(
        "EngineWithoutTokens", _tokens("0x3 1x2 2x30", "1x60"),
        f"{MODEL} gives no tokens although its health check says that all is well.",
        {"model": MODEL, "node": "n1", "job": "tokens"},
    ),
    Case("EngineWithoutTokens", _tokens("0x60", "1x60", "0+50x60")),
    # the probe waits behind others, who get theirs
    Case("EngineWithoutTokens", _tokens("5x60", "1x60", "0+50x60")),
    Case("EngineWithoutTokens", _tokens("5x60", "0x60")),
    Case(
        "ModelDown", _tokens("0x3 1x2 2x30", "0x60"),
        f"{MODEL} gives no tokens, and its health check fails.",
        {"model": MODEL, "node": "n1", "job": "tokens"},
    ),
    Case("ModelDown", _tokens("5x60", "1x60")),
    Case("ModelDown", _tokens("1x60", "0x60")),
    Case(
        "RayNodeMissing", {'up{job="ray",node="n2"}': "1x3 0x30"},
        "Ray on n2 does not answer: the GPUs there take no part.", {"job": "ray", "node": "n2"},
    ),
    Case("RayNodeMissing", {'up{job="ray",node="n2"}': "1x30", 'up{job="node",node="n2"}': "0x30"}),
    Case(
        "PipelineBubbles", _running("2x120"),
        f"{MODEL} works on 2 requests at a time, fewer than its 4 pipeline stages: stages stand"
        " idle.",
        {"model": MODEL}, at_s=900,
    ),
    Case("PipelineBubbles", _running("6x120"), at_s=900),
    # nobody asks for anything: idle stages are no bubbles
    Case("PipelineBubbles", _running("0x50 1x10 0x60"), at_s=900),
    Case(
        "KvCacheNearlyFull", {_KV: "0.2x3 0.97x30"},
        f"The KV cache of {MODEL} is 97% full: requests wait or are computed again.",
        {"model_name": MODEL, "node": "n1"}, at_s=180,
    ),
    Case("KvCacheNearlyFull", {_KV: "0.9x30"}, at_s=180),
    Case(
        "CircuitOverLimit", _power(900),
        "Circuit a carries 4.378kW, more than it may without a break: its breaker will trip.",
        {"circuit": "a"},
    ),
    # what the other node draws is not known, and this one alone is too much
    Case(
        "CircuitOverLimit", _power(2000, "n1"),
        "Circuit a carries 4.633kW, more than it may without a break: its breaker will trip.",
        {"circuit": "a"},
    ),
    Case("CircuitOverLimit", _power(450)),
    Case(
        "DiskFull", _disk("100x2 40x30"), "/ of n1 has 4% left.", _DISK,
    ),
    Case("DiskFull", _disk("60x30")),
    Case(
        "DiskFilling", _disk("240-0.1x400"), "/ of n1 will be full within a day.", _DISK, at_s=3600,
    ),
    Case("DiskFilling", _disk("240x400"), at_s=3600),
    Case(
        "EndpointDown", {_PROBED: "1x3 0x30"}, "edge does not answer as it should.",
        {"endpoint": "edge", "node": "n1", "job": "endpoint"},
    ),
    Case("EndpointDown", {_PROBED: "1x30"}),
    # promtool's clock begins at 1970: the value is the time left
    Case(
        "CertificateExpiring", {_CERTIFICATE: "864000x30"},
        "The certificate of edge expires in 9d 23h 58m 30s.",
        {"endpoint": "edge", "node": "n1", "job": "endpoint"},
    ),
    Case("CertificateExpiring", {_CERTIFICATE: "2592000x30"}),
    Case(
        "WatchdogActing", {_RUNG: "0x3 1x30"},
        "No tokens came, so the watchdog on n1 restarted the workers.", _AT_N1,
    ),
    Case(
        "WatchdogActing", {_RUNG: "0x3 2x30"},
        "No tokens came, so the watchdog on n1 restarted the head after the workers.", _AT_N1,
    ),
    Case("WatchdogActing", {_RUNG: "1x3 0x30"}),
    Case("WatchdogActing", {_RUNG: "3x30"}),
    Case(
        "WatchdogGaveUp", {_RUNG: "2x3 3x30"},
        "Tokens did not come after restarts of the workers and of the head: the watchdog on n1"
        " does no more.", _AT_N1,
    ),
    Case("WatchdogGaveUp", {_RUNG: "2x30"}),
    Case(
        "WatchdogMissing", {_ASKED: "10x60", _SCRAPED: "1x60"}, _NOT_ASKED,
        {**_AT_N1, "file": "/host/metrics/watchdog.prom"}, at_s=300,
    ),
    # it was never there
    Case("WatchdogMissing", {_SCRAPED: "1x60"}, _NOT_ASKED, _AT_N1, at_s=300),
    Case("WatchdogMissing", {_SCRAPED: "1x60"}, at_s=180),
    Case("WatchdogMissing", {_SCRAPED: "1x24 0x60"}, at_s=300),
    Case("WatchdogMissing", {_ASKED: "10+10x60", _SCRAPED: "1x60"}, at_s=300),
    # n2 was the head once
    Case(
        "WatchdogMissing",
        {_ASKED: "10+10x60", _SCRAPED: "1x60", _ASKED.replace("n1", "n2"): "10x60"}, at_s=300,
    ),
    Case(
        "TargetDown", {'up{job="node",node="n3"}': "1x3 0x30"}, "node on n3 gives no metrics.",
        {"job": "node", "node": "n3"},
    ),
    Case("TargetDown", {'up{job="ray",node="n3"}': "0x30", 'up{job="node",node="n3"}': "1x30"}),
    Case(
        "RulesFail", {'prometheus_rule_evaluation_failures_total{rule_group="gpu"}': "0+1x30"},
        "Prometheus could not evaluate rules: some alerts cannot fire.", {"rule_group": "gpu"},
    ),
    Case("RulesFail", {'prometheus_rule_evaluation_failures_total{rule_group="gpu"}': "3x30"}),
    Case(
        "AlertsNotSent", {_FAILED: "0x3 1x30"},
        "Alertmanager could not deliver alerts by webhook.",
        {"node": "n1", "integration": "webhook"},
    ),
    Case("AlertsNotSent", {_FAILED: "7x30"}),
    Case(
        "AlertmanagerMissing",
        {'prometheus_notifications_alertmanagers_discovered{node="n1"}': "0x30"},
        "Prometheus does not reach its Alertmanager: nobody is told of alerts.", {"node": "n1"},
    ),
    Case(
        "AlertmanagerMissing",
        {'prometheus_notifications_alertmanagers_discovered{node="n1"}': "1x30"},
    ),
)  # fmt: skip
