"""What vLLM tells of each model, and what its pipeline makes of it.

vLLM's metrics come through Ray, which turns `vllm:x` into `ray_vllm_x`. A counter of vLLM's exists
there only once it was counted up: where that may not have happened yet, an expression adds a zero.
"""

from monitoring.queries.base import Query, Unit, quantile


def _vllm(metric: str, window: str = "") -> str:
    counted = f"rate(ray_vllm_{metric}[{window}])" if window else f"ray_vllm_{metric}"
    return f"sum by (model_name) ({counted})"


def _or_zero(counted: str) -> str:
    """Add a zero for each model that has not counted anything yet."""
    return f"({counted} or 0 * {_RUNNING})"


def _vllm_quantile(share: float, histogram: str) -> str:
    return quantile(share, f"ray_vllm_{histogram}_bucket", "model_name", "5m")


_MODEL = "{{model_name}}"
_RUNNING = _vllm("num_requests_running")
_STAGES = (
    "sum by (model_name)"
    ' (label_replace(rackform:pipeline_stages, "model_name", "$1", "model", "(.*)"))'
)


class Models:
    """What vLLM, and who asks it, tell of each model."""

    running = Query(title="Requests running", expr=_RUNNING, legend=_MODEL)
    waiting = Query(title="Requests waiting", expr=_vllm("num_requests_waiting"), legend=_MODEL)
    finished = Query(
        title="Requests finished",
        expr=_or_zero(_vllm("request_success_total", "1m")),
        unit=Unit.REQUESTS_PER_SECOND,
        legend=_MODEL,
    )
    preempted = Query(
        title="Requests preempted",
        expr=_or_zero(_vllm("num_preemptions_total", "5m")),
        unit=Unit.REQUESTS_PER_SECOND,
        legend=_MODEL,
        note="Begun, then put back for want of KV cache: each one is computed twice.",
    )
    generated = Query(
        title="Tokens generated",
        expr=_or_zero(_vllm("generation_tokens_total", "1m")),
        unit=Unit.TOKENS_PER_SECOND,
        legend=_MODEL,
    )
    prompted = Query(
        title="Prompt tokens",
        expr=_or_zero(_vllm("prompt_tokens_total", "1m")),
        unit=Unit.TOKENS_PER_SECOND,
        legend=_MODEL,
    )
    first_token_p50 = Query(
        title="Time to first token, median",
        expr=_vllm_quantile(0.5, "time_to_first_token_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p50",
    )
    first_token_p95 = Query(
        title="Time to first token, 95th percentile",
        expr=_vllm_quantile(0.95, "time_to_first_token_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p95",
    )
    per_token_p50 = Query(
        title="Time per output token, median",
        expr=_vllm_quantile(0.5, "request_time_per_output_token_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p50",
    )
    per_token_p95 = Query(
        title="Time per output token, 95th percentile",
        expr=_vllm_quantile(0.95, "request_time_per_output_token_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p95",
    )
    whole_p95 = Query(
        title="Whole answer, 95th percentile",
        expr=_vllm_quantile(0.95, "e2e_request_latency_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p95",
    )
    queued_p95 = Query(
        title="Time in the queue, 95th percentile",
        expr=_vllm_quantile(0.95, "request_queue_time_seconds"),
        unit=Unit.SECONDS,
        legend=f"{_MODEL} p95",
    )
    kv_cache = Query(
        title="KV cache in use",
        expr="max by (model_name) (ray_vllm_kv_cache_usage_perc)",
        unit=Unit.RATIO,
        legend=_MODEL,
    )
    prefix_hits = Query(
        title="Prefix-cache hits",
        expr=f"{_or_zero(_vllm('prefix_cache_hits_total', '5m'))}"
        f" / ({_vllm('prefix_cache_queries_total', '5m')} > 0)"
        f" or 0 * {_vllm('prefix_cache_queries_total')}",
        unit=Unit.RATIO,
        legend=_MODEL,
        note="Share of prompt tokens whose KV was still there from an earlier request.",
    )
    probe_success = Query(
        title="Real tokens",
        expr="min by (model) (token_probe_success)",
        unit=Unit.YES_NO,
        legend="{{model}}",
        note="A small prompt is sent all the time: whether words came back, not only HTTP 200.",
    )
    probe_first_token = Query(
        title="First token of the probe",
        expr="max by (model) (token_probe_seconds_to_first_token)",
        unit=Unit.SECONDS,
        legend="{{model}}",
    )
    probe_per_token = Query(
        title="Time per token of the probe",
        expr="max by (model) (token_probe_seconds_per_token)",
        unit=Unit.SECONDS,
        legend="{{model}}",
    )


class Pipelines:
    """How well the stages of a pipeline are kept at work."""

    stages = Query(title="Pipeline stages", expr=_STAGES, legend=_MODEL)
    requests_a_stage = Query(
        title="Requests in flight a stage",
        expr=f"avg_over_time({_RUNNING}[1m:15s]) / {_STAGES}",
        legend=_MODEL,
        note="Below 1, some stage waits at any moment: keep more requests in flight.",
    )
    idle = Query(
        title="Idle share of the stages",
        expr=f"clamp_min(1 - avg_over_time({_RUNNING}[1m:15s]) / {_STAGES}, 0)",
        unit=Unit.RATIO,
        legend=_MODEL,
        note="At least this share of the stages' time has no request to work on.",
    )
    bubbles = Query(
        title="Bubbles while requests run",
        expr=f"clamp_min(1 - avg_over_time(({_RUNNING} > 0)[5m:15s]) / {_STAGES}, 0)",
        unit=Unit.RATIO,
        legend=_MODEL,
        note="The idle share of those moments of the last 5 minutes in which anything ran.",
    )
    gpu_busy = Query(
        title="GPUs at work, by node",
        expr="avg by (node) (DCGM_FI_DEV_GPU_UTIL < 101) / 100",
        unit=Unit.RATIO,
        legend="{{node}}",
        note="Stages lie on different nodes: nodes that take turns are a pipeline with bubbles.",
    )
