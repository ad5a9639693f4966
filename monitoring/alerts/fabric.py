"""What goes wrong between nodes: pings small and large, the link's speed, NCCL's bandwidth."""

from collections import defaultdict
from collections.abc import Iterator

from monitoring.rule import Alert, Group, Record, Severity
from stack.schema import FABRIC, Site

LOSS = "rackform:loss_ratio"
"""Share of pings that were not answered, by node, peer, network, size."""
LATENCY = "rackform:latency_seconds"
_LOSS_WINDOW = "40s"  # four scrapes: shorter ones see too few pings, longer ones see a cut too late
_SLOW_S = {False: 0.005, True: 0.25}
"""A ping's time that is too long. On a twin the nodes share cores that the model keeps busy."""
_VETH_GBIT_S = 10
"""What the kernel says of a twin's links, whatever they carry."""
_BETWEEN = "{{ $labels.node }} and {{ $labels.peer }} over the {{ $labels.network }} network"


def group(site: Site) -> Group:
    return Group(
        name="fabric",
        rules=(
            _loss(),
            Record(
                record=LATENCY,
                expr="rate(smokeping_response_duration_seconds_sum[1m])"
                " / (rate(smokeping_response_duration_seconds_count[1m]) > 0)",
            ),
            *_links(site),
            *_speeds(site),
            *_rails(site),
            _nccl(),
        ),
    )


def _loss() -> Record:
    """A node whose interface is down sends no pings at all: that is a loss of all."""
    sent = f"rate(smokeping_requests_total[{_LOSS_WINDOW}])"
    answered = f"rate(smokeping_response_duration_seconds_count[{_LOSS_WINDOW}])"
    return Record(
        record=LOSS, expr=f"1 - clamp_max({answered} / ({sent} > 0), 1) or ({sent} == bool 0)"
    )


def _links(site: Site) -> Iterator[Alert]:
    small, large = f'{LOSS}{{size="small"}}', f'{LOSS}{{size="large"}}'
    yield Alert(
        name="LinkLost",
        expr=f"{small} > 0.5",
        for_s=10,
        severity=Severity.CRITICAL,
        summary=f"Most pings between {_BETWEEN} are lost.",
        advice="Check the cable, the switch port and the node; a preview tells what differs.",
        runbook="link-lost",
    )
    yield Alert(
        name="LinkLossy",
        expr=f"avg_over_time({small}[3m]) > 0.02 unless {small} > 0.5",
        for_s=60,
        severity=Severity.WARNING,
        summary=f"{{{{ $value | humanizePercentage }}}} of the pings between {_BETWEEN} are lost.",
        advice="Look for errors of the interface and the switch port; clean or replace the cable.",
        runbook="link-lost",
    )
    yield Alert(
        name="MtuMismatch",
        expr=f"{large} > 0.5 and on (node, peer, network) ({small} < 0.3)",
        for_s=10,
        severity=Severity.CRITICAL,
        summary=f"Small packets pass between {_BETWEEN}, large ones do not: an MTU differs.",
        advice="Run a preview: it names the host or switch port that differs. 'up' sets it back.",
        runbook="mtu-mismatch",
    )
    limit = _SLOW_S[site.twin]
    yield Alert(
        name="LinkSlow",
        expr=f'{LATENCY}{{{_fabric(site)},size="small"}} > {limit:g}',
        for_s=60,
        severity=Severity.WARNING,
        summary=f"A ping between {_BETWEEN} takes {{{{ $value | humanizeDuration }}}}.",
        advice="See whether the link is full (iftop), the host is busy, or packets are paused.",
        runbook="link-slow",
    )


def _fabric(site: Site) -> str:
    """Return the matcher of all networks of the fabric."""
    networks = list(site.fabric.subnets)
    return f'network=~"{"|".join(networks)}"' if len(networks) > 1 else f'network="{FABRIC}"'


def _speeds(site: Site) -> Iterator[Alert]:
    """One rule for all nodes whose interface has the same name."""
    gbit_s = _VETH_GBIT_S if site.twin else float(site.fabric.link.gbit_s)
    nodes = defaultdict(list)
    for name, node in site.nodes.items():
        for link in node.links.values():
            nodes[link.interface].append(name)
    for interface, names in nodes.items():
        chosen = f'node_network_speed_bytes{{device="{interface}",node=~"{"|".join(names)}"}}'
        yield Alert(
            name="LinkBelowSpeed",
            expr=f"{chosen} * 8 / 1e9 < {gbit_s:g} > 0",
            for_s=30,
            severity=Severity.WARNING,
            summary=f"The link {interface} of {{{{ $labels.node }}}} runs at {{{{ $value }}}}"
            f" Gbit/s, not at {gbit_s:g}.",
            advice="Check the cable's kind, the transceiver and the speed that the port is set to.",
            runbook="link-slow",
        )


def _rails(site: Site) -> Iterator[Alert]:
    """One rule for the nodes that reach the fabric by more devices than their interface's own."""
    gbit_s, nodes = float(site.fabric.link.gbit_s), defaultdict(list)
    for name, node in site.nodes.items():
        if len(node.rdma_devices) > 1 and not site.twin:
            for device in node.rdma_devices:
                nodes[device].append(name)
    slow = [
        f"node_infiniband_rate_bytes_per_second{{{_device(device)},"
        f'node=~"{"|".join(names)}"}} * 8 / 1e9 < {gbit_s:g}'
        for device, names in nodes.items()
    ]
    if slow:
        yield Alert(
            name="RailBelowSpeed",
            expr=" or ".join(slow),
            for_s=30,
            severity=Severity.WARNING,
            summary="The RDMA device {{ $labels.device }} of {{ $labels.node }} runs at"
            f" {{{{ $value }}}} Gbit/s, not at {gbit_s:g}.",
            advice="See 'rdma link' there, then the cable, the transceiver and the port's speed.",
            runbook="link-slow",
        )


def _device(named: str) -> str:
    """Return the matchers of a device as NCCL_IB_HCA names it, with or without its port."""
    device, _, port = named.partition(":")
    return f'device="{device}"' + (f',port="{port}"' if port else "")


def _nccl() -> Alert:
    return Alert(
        name="NcclWorseThanCommissioned",
        expr="rackform_nccl_busbw_gb_s < 0.9 * rackform_nccl_baseline_busbw_gb_s",
        for_s=0,
        severity=Severity.WARNING,
        summary="NCCL across {{ $labels.nodes }} reaches {{ $value }} GB/s, over a tenth less than"
        " at commissioning.",
        advice="See what changed since: driver, kernel, cables, NCCL_IB_HCA, GPUDirect, ACS.",
        runbook="nccl-worse",
    )
