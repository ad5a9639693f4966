"""`./rackform top`: what the cluster does right now, by the same numbers as the dashboards."""

import contextlib
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.live import Live

from cli.console import out
from cli.prometheus import Prometheus, reached
from cli.top_screen import screen
from cli.top_seen import AlertLine, CircuitLine, GpuLine, LinkLine, ModelLine, NodeLine, Top
from monitoring.queries import Gpus, Hosts, Links, Models, Pipelines, Power, Query
from remote.errors import RackformError
from stack.load import load_site, read_stack
from stack.schema import Site

_EVERY_S = 2


class _Answers:
    """A query's values by labels; each query is asked once."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._known: dict[str, Mapping[tuple[str, ...], float | None]] = {}

    def by(self, query: Query, *labels: str) -> Mapping[tuple[str, ...], float | None]:
        key = f"{query.expr} by {labels}"
        if key not in self._known:
            self._known[key] = {
                tuple(sample.labels.get(label, "") for label in labels): sample.value
                for sample in self._prometheus.ask(query)
            }
        return self._known[key]

    def number(self, query: Query, **labels: str) -> float | None:
        return self.by(query, *labels).get(tuple(labels.values()))

    def yes(self, query: Query, **labels: str) -> bool | None:
        number = self.number(query, **labels)
        return None if number is None else number > 0


def look(prometheus: Prometheus, site: Site) -> Top:
    """Ask for everything once.

    Raises:
        RackformError: Prometheus does not answer.

    """
    answers = _Answers(prometheus)
    gpus = sorted(
        {**answers.by(Gpus.temperature, "node", "gpu"), **answers.by(Gpus.busy, "node", "gpu")}
    )
    links = sorted(answers.by(Links.loss, "network", "node", "peer"))
    names = {site.served_name(model) for model in site.models}
    return Top(
        site=site.name,
        at=datetime.now(UTC).replace(microsecond=0),
        models=[_model(answers, name) for name in sorted(names)],
        nodes=[_node(answers, name, site.nodes[name].interface) for name in site.nodes],
        gpus=[_gpu(answers, node, gpu) for node, gpu in gpus],
        links=[_link(answers, *ends) for ends in links],
        circuits=[_circuit(answers, name) for name in site.power.circuits],
        alerts=sorted(
            (
                AlertLine(
                    alert=each.labels.get("alertname", ""),
                    severity=each.labels.get("severity", ""),
                    summary=each.annotations.get("summary", ""),
                    since=each.since,
                )
                for each in prometheus.alerts()
            ),
            key=lambda line: (line.severity, line.since, line.summary),
        ),
    )


def _model(answers: _Answers, name: str) -> ModelLine:
    numbers = {
        "running": Models.running,
        "waiting": Models.waiting,
        "tokens_per_s": Models.generated,
        "first_token_p50_s": Models.first_token_p50,
        "first_token_p95_s": Models.first_token_p95,
        "per_token_p50_s": Models.per_token_p50,
        "per_token_p95_s": Models.per_token_p95,
        "kv_cache": Models.kv_cache,
        "stages": Pipelines.stages,
    }
    return ModelLine(
        model=name,
        real_tokens=answers.yes(Models.probe_success, model=name),
        **{key: answers.number(query, model_name=name) for key, query in numbers.items()},
    )


def _gpu(answers: _Answers, node: str, gpu: str) -> GpuLine:
    numbers = {
        "busy": Gpus.busy,
        "memory": Gpus.memory,
        "temperature_c": Gpus.temperature,
        "power_w": Gpus.power,
        "sm_clock_hz": Gpus.sm_clock,
        "xid": Gpus.xid,
    }
    return GpuLine(
        node=node,
        gpu=gpu,
        lowered_by_heat=answers.yes(Gpus.lowered_by_heat, node=node, gpu=gpu),
        lowered_by_hardware=answers.yes(Gpus.lowered_by_hardware, node=node, gpu=gpu),
        **{key: answers.number(query, node=node, gpu=gpu) for key, query in numbers.items()},
    )


def _node(answers: _Answers, name: str, interface: str) -> NodeLine:
    return NodeLine(
        node=name,
        up=answers.yes(Hosts.up, node=name),
        ray=answers.yes(Hosts.ray, node=name),
        cpu=answers.number(Hosts.cpu, node=name),
        memory=answers.number(Hosts.memory, node=name),
        disk=answers.number(Hosts.disk, node=name),
        received_bit_s=answers.number(Links.received, node=name, device=interface),
        sent_bit_s=answers.number(Links.sent, node=name, device=interface),
    )


def _link(answers: _Answers, network: str, node: str, peer: str) -> LinkLine:
    ends = {"network": network, "node": node, "peer": peer}
    return LinkLine(
        **ends,
        latency_p50_s=answers.number(Links.latency_p50, **ends),
        latency_p99_s=answers.number(Links.latency_p99, **ends),
        loss=answers.number(Links.loss, **ends),
        large_loss=answers.number(Links.large_loss, **ends),
    )


def _circuit(answers: _Answers, name: str) -> CircuitLine:
    return CircuitLine(
        circuit=name,
        power_w=answers.number(Power.power, circuit=name),
        limit_w=answers.number(Power.limit, circuit=name),
        share=answers.number(Power.share, circuit=name),
    )


def show(stack: str, *, once: bool, as_json: bool) -> None:
    """Print one look, or keep looking until interrupted.

    Raises:
        InputError: the stack has no monitoring.
        RackformError: Prometheus can't be reached.

    """
    site = load_site(read_stack(stack))
    with reached(stack, site) as prometheus:
        seen = look(prometheus, site)
        if as_json:
            sys.stdout.write(seen.model_dump_json() + "\n")
        elif once or not out.is_terminal:
            out.print(screen(seen, out.width))
        else:
            _keep_looking(prometheus, site, seen)


def _keep_looking(prometheus: Prometheus, site: Site, seen: Top) -> None:
    trouble = ""
    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, console=out) as live:
        while True:
            live.update(screen(seen, out.width, trouble), refresh=True)
            time.sleep(_EVERY_S)
            try:
                seen, trouble = look(prometheus, site), ""
            except RackformError as error:
                trouble = str(error)
