"""What the status page looks at on one site, and the container that shows it. Pure.

The program is `files/status_page.py`: it runs where no package of ours is, so that all it asks
comes in its configuration.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from monitoring.place import home, prometheus_url
from monitoring.queries import Gpus, Hosts, Links, Models, Power, Query, Unit
from planner.models import Plan
from remote.container_spec import ContainerParts, HostFile, Readiness
from stack import doors
from stack.schema import Site

PATH = "/status"
"""Where the edge offers it."""

_USER = "996:996"
"""The user of images/monitoring."""
_FILES = Path(__file__).parent / "files"
_FOLDER = "/opt/rackform"
_LOST, _LARGE_LOST = 0.05, 0.5
_FULL = 0.95
_EXPIRES_S = 14 * 86400
_TO_MEASURE = "measured: run './rackform lock dcgm-exporter', then 'up'"


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Told(_Asked):
    """An expression, and the sentence in which each of its series is told."""

    expr: str
    words: str
    """`{value}` and `{label}` are filled in."""
    unit: Unit = Unit.COUNT


class Present(_Asked):
    """An expression that has a series for each part that is watched, and the label it names."""

    expr: str
    label: str


class Subsystem(_Asked):
    """Works when each expected part is there and no fault has a series."""

    name: str
    present: Present
    expected: tuple[str, ...]
    """Values of the label; empty: at least one, whichever."""
    silent: str = "nothing is known of it"
    faults: tuple[Told, ...] = ()
    facts: tuple[Told, ...] = ()


def container(site: Site, plan: Plan) -> ContainerParts:
    """Return the status page's container, on the node of Prometheus."""
    address = home(site)
    config = {
        "site": site.name,
        "prometheus": prometheus_url(site),
        "listen": [address, doors.STATUS_PAGE],
        "subsystems": [each.model_dump(mode="json") for each in subsystems(site, plan)],
        "alerts": "Alerts",
    }
    program, style, settings = (
        f"{_FOLDER}/{name}" for name in ("status_page.py", "status_page.css", "status_page.json")
    )
    return ContainerParts(
        command=["python3", "-Iu", program, settings, style],
        user=_USER,
        files={
            settings: HostFile(content=json.dumps(config, indent=1, ensure_ascii=False) + "\n"),
            **{
                path: HostFile(content=(_FILES / Path(path).name).read_text(encoding="utf-8"))
                for path in (program, style)
            },
        },
        ready=Readiness(kind="tcp", target=[address, str(doors.STATUS_PAGE)]),
    )


def subsystems(site: Site, plan: Plan) -> Sequence[Subsystem]:
    """Return what there is on this site to be looked at, clients' concerns first."""
    return [
        *_models(plan),
        _frontends(site),
        *_hosts(site, plan),
        *_fabric(site),
        *_gpus(site),
        *_circuits(site),
        _certificates(),
    ]


def _models(plan: Plan) -> Iterator[Subsystem]:
    yield Subsystem(
        name="Models",
        present=Present(expr=Models.probe_success.expr, label="model"),
        expected=tuple(model.served_name for model in plan.models),
        silent="nothing is known of its answers",
        faults=(
            Told(expr=f"{Models.probe_success.expr} == 0", words="{model} gives no real tokens"),
        ),
        facts=(
            _fact(Models.probe_first_token, "{model}: first token after {value}"),
            _fact(Models.generated, "{model_name}: {value} tokens a second"),
        ),
    )


def _frontends(site: Site) -> Subsystem:
    running = [key.replace("_", "-") for key, _ in doors.fronts(site) if doors.runs(key)]
    running += ["embeddings"] if site.frontends.embeddings else []
    return Subsystem(
        name="Front-ends",
        present=Present(expr=Hosts.frontends.expr, label="endpoint"),
        expected=("edge", *running),
        faults=(Told(expr=f"{Hosts.frontends.expr} == 0", words="{endpoint} does not answer"),),
        facts=(Told(expr=f"{Hosts.frontends.expr} == 1", words="{endpoint} answers"),),
    )


def _hosts(site: Site, plan: Plan) -> Iterator[Subsystem]:
    yield Subsystem(
        name="Hosts",
        present=Present(expr=Hosts.up.expr, label="node"),
        expected=tuple(site.nodes),
        faults=(
            Told(expr=f"{Hosts.up.expr} == 0", words="{node} does not answer"),
            _above(Hosts.disk, _FULL, "a disk of {node} is {value} full"),
        ),
        facts=(
            Told(expr=f"sum({Hosts.up.expr})", words=f"{{value}} of {len(site.nodes)} answer"),
            _fact(Hosts.disk, "fullest disk: {value}", "max"),
        ),
    )
    ranks = plan.ray_nodes
    yield Subsystem(
        name="Ray",
        present=Present(expr=Hosts.ray.expr, label="node"),
        expected=ranks,
        faults=(Told(expr=f"{Hosts.ray.expr} == 0", words="Ray on {node} does not answer"),),
        facts=(Told(expr=f"sum({Hosts.ray.expr})", words=f"{{value}} of {len(ranks)} answer"),),
    )


def _fabric(site: Site) -> Iterator[Subsystem]:
    if len(site.nodes) == 1:
        return
    yield Subsystem(
        name="Network",
        present=Present(expr=Links.loss.expr, label="node"),
        expected=tuple(site.nodes),
        silent="its links are not measured",
        faults=(
            _above(Links.loss, _LOST, "{node} to {peer}, {network}: {value} of the packets lost"),
            Told(
                expr=f"({Links.large_loss.expr} > {_LARGE_LOST}) and ({Links.loss.expr} < 0.3)",
                words="{node} to {peer}, {network}: large packets are lost, an MTU differs",
            ),
            Told(
                expr="node_network_mtu_bytes != on (node, device) rackform_fabric_mtu_bytes",
                words="{device} of {node} has an MTU of {value}, not the declared one",
            ),
        ),
        facts=(_fact(Links.latency_p50, "slowest link: {value} there and back", "max"),),
    )


def _gpus(site: Site) -> Iterator[Subsystem]:
    nodes = tuple(name for name, node in site.nodes.items() if node.gpu_count)
    if not nodes:
        return
    limit = site.monitoring.alerts.gpu_temperature_c if site.monitoring else 85
    which = "GPU {gpu} of {node}"
    yield Subsystem(
        name="GPUs",
        present=Present(expr=Gpus.temperature.expr, label="node"),
        expected=nodes,
        silent="its GPUs tell nothing" if _measured(site) else f"its GPUs are not {_TO_MEASURE}",
        faults=(
            _above(Gpus.temperature, limit, f"{which} is at {{value}}, above {limit} °C"),
            _above(Gpus.lowered_by_heat, 0, f"{which} is slowed down by heat"),
            _above(Gpus.lowered_by_hardware, 0, f"{which} is slowed down by its hardware"),
            _above(Gpus.ecc_uncorrected, 0, f"{which} has memory errors that it can't correct"),
            _above(Gpus.xid, 0, f"{which} reported Xid {{value}}"),
        ),
        facts=(
            _fact(Gpus.temperature, "hottest: {value}", "max"),
            _fact(Gpus.power, "{value} in all", "sum"),
        ),
    )


def _measured(site: Site) -> bool:
    """Return whether the GPUs have an exporter: on real machines its image needs a lock."""
    return site.twin or doors.runs("dcgm-exporter")


def _circuits(site: Site) -> Iterator[Subsystem]:
    if site.power.circuits:
        yield Subsystem(
            name="Circuits",
            present=Present(expr=Power.share.expr, label="circuit"),
            expected=tuple(site.power.circuits),
            silent="its load is not known"
            if _measured(site)
            else f"its load is not known, as GPUs are not {_TO_MEASURE}",
            faults=(_above(Power.share, 1, "circuit {circuit} carries {value} of what it may"),),
            facts=(_fact(Power.share, "circuit {circuit}: {value} of its continuous limit"),),
        )


def _certificates() -> Subsystem:
    return Subsystem(
        name="Certificates",
        present=Present(expr=Hosts.certificates.expr, label="endpoint"),
        expected=(),
        silent="nothing is known of them",
        faults=(
            Told(
                expr=f"{Hosts.certificates.expr} < {_EXPIRES_S}",
                words="the certificate of {endpoint} expires in {value}",
                unit=Unit.SECONDS,
            ),
        ),
        facts=(_fact(Hosts.certificates, "the first expires in {value}", "min"),),
    )


def _fact(query: Query, words: str, over: str = "") -> Told:
    return Told(expr=f"{over}({query.expr})" if over else query.expr, words=words, unit=query.unit)


def _above(query: Query, limit: float, words: str) -> Told:
    return Told(expr=f"({query.expr}) > {limit:g}", words=words, unit=query.unit)
