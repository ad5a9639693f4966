"""What goes wrong with the models: no tokens, missing ranks, idle pipeline stages, full caches.

vLLM's metrics come out of Ray as `ray_vllm_…`, out of a vLLM that runs by itself as `vllm:…`.
"""

from collections.abc import Iterator

from monitoring.rule import Alert, Group, Record, Severity
from planner.models import ModelPlan, Plan
from stack.schema import Site

STAGES = "rackform:pipeline_stages"
BUSY = "rackform:requests_while_busy"


def vllm(name: str, *matchers: str) -> str:
    """Return the selector of one of vLLM's metrics, by either of its names."""
    return "{" + ",".join([f'__name__=~"(ray_)?vllm[:_]{name}"', *matchers]) + "}"


def group(site: Site, plan: Plan) -> Group:
    return Group(
        name="serving",
        rules=(
            *(rule for model in plan.models for rule in _tokens(model)),
            _ray_node(),
            *(rule for model in plan.models for rule in _pipeline(model)),
            _cache(),
            *(_watchdog(plan.head) if site.watchdog else ()),
        ),
    )


def _of(model: ModelPlan) -> str:
    return f'model_name="{model.served_name}"'


def _tokens(model: ModelPlan) -> Iterator[Alert]:
    """A probe that waits behind others is no outage: while tokens flow, the engine works."""
    name = model.served_name
    flowing = f"sum(rate({vllm('generation_tokens_total', _of(model))}[30s])) > 0"
    silent = f'token_probe_failures_in_a_row{{model="{name}"}} >= 2 unless on () ({flowing})'
    healthy = f'token_probe_health{{model="{name}"}}'
    yield Alert(
        name="EngineWithoutTokens",
        expr=f"{silent} and on (model) {healthy} == 1",
        for_s=0,
        severity=Severity.CRITICAL,
        summary=f"{name} gives no tokens although its health check says that all is well.",
        advice="Restart what hangs: './rackform up' asks for real tokens and starts ranks anew.",
        runbook="no-tokens",
    )
    yield Alert(
        name="ModelDown",
        expr=f"{silent} and on (model) {healthy} == 0",
        for_s=0,
        severity=Severity.CRITICAL,
        summary=f"{name} gives no tokens, and its health check fails.",
        advice="Run './rackform status' for the application's own message, then './rackform up'.",
        runbook="no-tokens",
    )


def _ray_node() -> Alert:
    return Alert(
        name="RayNodeMissing",
        expr='up{job="ray"} == 0',
        for_s=20,
        severity=Severity.CRITICAL,
        summary="Ray on {{ $labels.node }} does not answer: the GPUs there take no part.",
        advice="Run './rackform status'; bring the machine back, then './rackform up'.",
        runbook="node-lost",
    )


def _pipeline(model: ModelPlan) -> Iterator[Record | Alert]:
    """Requests in flight, averaged over when there were any; told if that was most of the time."""
    if model.pipeline < 2:  # noqa: PLR2004 - one stage never waits for another
        return
    name, stages = model.served_name, model.pipeline
    running = f"sum({vllm('num_requests_running', _of(model))}) > 0"
    labels = {"model": name}
    yield Record(record=STAGES, expr=f"vector({stages})", labels=labels)
    yield Record(record=BUSY, expr=f"avg_over_time(({running})[10m:10s])", labels=labels)
    yield Alert(
        name="PipelineBubbles",
        expr=f'{BUSY}{{model="{name}"}} < {stages}'
        f" and on () count_over_time(({running})[10m:10s]) >= 48",
        for_s=60,
        severity=Severity.INFO,
        summary=f"{name} works on {{{{ $value | humanize }}}} requests at a time, fewer than its"
        f" {stages} pipeline stages: stages stand idle.",
        advice=f"Keep {stages} or more requests in flight, or take pipeline parallelism for what it"
        " is at low load: a way to fit the model, not to make it faster.",
        runbook="pipeline-bubbles",
    )


def _watchdog(head: str) -> Iterator[Alert]:
    """Only the head's counts: what a former head's left behind stays on that node."""
    rung = f'rackform_watchdog_rung{{node="{head}"}}'
    told = f'node_textfile_mtime_seconds{{node="{head}",file=~".*/watchdog.prom"}}'
    scraped = f'up{{job="node",node="{head}"}}'
    yield Alert(
        name="WatchdogActing",
        expr=f"{rung} > 0 < 3",
        for_s=0,
        severity=Severity.WARNING,
        summary="No tokens came, so the watchdog on {{ $labels.node }} restarted"
        " {{ if eq $value 1.0 }}the workers{{ else }}the head after the workers{{ end }}.",
        advice="Wait until the model is loaded again; if it comes back often, look for the cause.",
        runbook="watchdog",
    )
    yield Alert(
        name="WatchdogGaveUp",
        expr=f"{rung} == 3",
        for_s=0,
        severity=Severity.CRITICAL,
        summary="Tokens did not come after restarts of the workers and of the head: the watchdog on"
        " {{ $labels.node }} does no more.",
        advice="Run './rackform doctor', mend what it names, then './rackform up'.",
        runbook="watchdog",
    )
    yield Alert(
        name="WatchdogMissing",
        expr=f"time() - {told} > 180"
        f" or {scraped} offset 3m == 1 and {scraped} == 1 unless on (node) {told}",
        for_s=30,
        severity=Severity.WARNING,
        summary="The watchdog on {{ $labels.node }} has not asked for tokens for over three"
        " minutes: nobody restarts what hangs.",
        advice="See 'systemctl status rackform-watchdog' there; './rackform up' starts it.",
        runbook="watchdog",
    )


def _cache() -> Alert:
    return Alert(
        name="KvCacheNearlyFull",
        expr=f"max by (model_name, node) ({vllm('kv_cache_usage_perc')}) > 0.95",
        for_s=60,
        severity=Severity.WARNING,
        summary="The KV cache of {{ $labels.model_name }} is {{ $value | humanizePercentage }}"
        " full: requests wait or are computed again.",
        advice="Allow fewer or shorter requests (max_num_seqs, max_model_len), or give it more"
        " memory.",
        runbook="kv-cache-full",
    )
