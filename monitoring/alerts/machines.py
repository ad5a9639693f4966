"""What goes wrong around the models: circuits, disks, certificates, and monitoring itself."""

from collections.abc import Iterator

from monitoring.rule import Alert, Group, Record, Severity
from planner.power import continuous_w, wall
from stack.schema import Site

NODE_WATTS = "rackform:node_watts"
CIRCUIT_WATTS = "rackform:circuit_watts"
CIRCUIT_LIMIT = "rackform:circuit_continuous_watts"


def power(site: Site) -> Group:
    """What nodes draw from the wall: the host as declared, its GPUs as measured."""
    return Group(name="power", rules=(*_nodes(site), *_circuits(site)))


def _nodes(site: Site) -> Iterator[Record]:
    for name, node in site.nodes.items():
        base_w, per_w = wall(node)
        labels = {"node": name, **({"circuit": node.circuit} if node.circuit else {})}
        measured = f'sum(DCGM_FI_DEV_POWER_USAGE{{node="{name}"}} < 1e5)'
        expr = f"{base_w:.0f} + {per_w:.3f} * {measured}" if node.gpu_count else None
        yield Record(record=NODE_WATTS, expr=expr or f"vector({base_w:.0f})", labels=labels)


def _circuits(site: Site) -> Iterator[Record | Alert]:
    """A circuit's load is told where every node of it is known; the alert counts those that are."""
    for name, circuit in site.power.circuits.items():
        yield Record(
            record=CIRCUIT_LIMIT,
            expr=f"vector({continuous_w(site, circuit):.0f})",
            labels={"circuit": name},
        )
        nodes = [node for node in site.nodes.values() if node.circuit == name]
        drawn = f'{NODE_WATTS}{{circuit="{name}"}}'
        yield Record(
            record=CIRCUIT_WATTS,
            expr=f"sum({drawn}) and on () (count({drawn}) == {len(nodes)})",
            labels={"circuit": name},
        )
    if site.power.circuits:
        yield Alert(
            name="CircuitOverLimit",
            expr=f'sum by (circuit) ({NODE_WATTS}{{circuit!=""}}) > on (circuit) {CIRCUIT_LIMIT}',
            for_s=30,
            severity=Severity.CRITICAL,
            summary="Circuit {{ $labels.circuit }} carries {{ $value | humanize }}W, more than it"
            " may without a break: its breaker will trip.",
            advice="Lower the power limit of its GPUs, or move a node to another circuit:"
            " './rackform plan' says by how much.",
            runbook="circuit-over-limit",
        )


def storage() -> Group:
    size = "node_filesystem_size_bytes"
    left = f'node_filesystem_avail_bytes{{fstype!~"tmpfs|ramfs"}} / {size}'
    return Group(
        name="storage",
        rules=(
            Alert(
                name="DiskFull",
                expr=f"{left} < 0.05",
                for_s=30,
                severity=Severity.CRITICAL,
                summary="{{ $labels.mountpoint }} of {{ $labels.node }} has"
                " {{ $value | humanizePercentage }} left.",
                advice="Free room: 'docker system df' and old logs on the node.",
                runbook="disk-filling",
            ),
            Alert(
                name="DiskFilling",
                expr=f"{left} < 0.25 and predict_linear("
                'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}[1h], 86400) < 0',
                for_s=300,
                severity=Severity.WARNING,
                summary="{{ $labels.mountpoint }} of {{ $labels.node }} will be full within a day.",
                advice="Find what grows (du -xh --max-depth 2) before it stops the node.",
                runbook="disk-filling",
            ),
        ),
    )


def endpoints() -> Group:
    return Group(
        name="endpoints",
        rules=(
            Alert(
                name="EndpointDown",
                expr='probe_success{job="endpoint"} == 0',
                for_s=30,
                severity=Severity.CRITICAL,
                summary="{{ $labels.endpoint }} does not answer as it should.",
                advice="See './rackform status' and its container's log; './rackform up' mends it.",
                runbook="endpoint-down",
            ),
            Alert(
                name="CertificateExpiring",
                expr="probe_ssl_earliest_cert_expiry - time() < 14 * 86400",
                for_s=60,
                severity=Severity.WARNING,
                summary="The certificate of {{ $labels.endpoint }} expires in"
                " {{ $value | humanizeDuration }}.",
                advice="Renew it before: clients refuse an expired one.",
                runbook="certificate-expiring",
            ),
        ),
    )


def itself() -> Group:
    return Group(
        name="monitoring",
        rules=(
            Alert(
                name="TargetDown",
                expr='up{job!="ray"} == 0',
                for_s=30,
                severity=Severity.WARNING,
                summary="{{ $labels.job }} on {{ $labels.node }} gives no metrics.",
                advice="See whether the node is reached over the fabric, then its container there.",
                runbook="monitoring-itself",
            ),
            Alert(
                name="RulesFail",
                expr="increase(prometheus_rule_evaluation_failures_total[5m]) > 0",
                for_s=0,
                severity=Severity.WARNING,
                summary="Prometheus could not evaluate rules: some alerts cannot fire.",
                advice="Read Prometheus' log for the rule and the reason.",
                runbook="monitoring-itself",
            ),
            Alert(
                name="AlertsNotSent",
                expr="increase(alertmanager_notifications_failed_total[5m]) > 0",
                for_s=0,
                severity=Severity.WARNING,
                summary="Alertmanager could not deliver alerts by {{ $labels.integration }}.",
                advice="Check monitoring.routes and what is at their other end.",
                runbook="monitoring-itself",
            ),
            Alert(
                name="AlertmanagerMissing",
                expr="prometheus_notifications_alertmanagers_discovered < 1"
                " or increase(prometheus_notifications_errors_total[2m]) > 0",
                for_s=30,
                severity=Severity.WARNING,
                summary="Prometheus does not reach its Alertmanager: nobody is told of alerts.",
                advice="See to the container alertmanager on the monitoring node.",
                runbook="monitoring-itself",
            ),
        ),
    )
