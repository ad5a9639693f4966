"""The machines, the services on them, and the networks between them."""

from monitoring.queries.base import Query, Unit, quantile

_LINK, _INTERFACE = "{{node}} → {{peer}}, {{network}}", "{{node}} {{device}}"
_ENDS = "node, peer, network"
_PORT = 'device!~"lo|docker.*|br-.*|veth.*"'
_DISK = 'fstype!~"tmpfs|ramfs"'
_PINGS = 'smokeping_response_duration_seconds_bucket{size="small"}'
_NO_RDMA = "veth pairs have no RDMA"


class Hosts:
    """The machines, and the services on them."""

    up = Query(
        title="Hosts up", expr='min by (node) (up{job="node"})', unit=Unit.YES_NO, legend="{{node}}"
    )
    ray = Query(
        title="Ray nodes up",
        expr='min by (node) (up{job="ray"})',
        unit=Unit.YES_NO,
        legend="{{node}}",
    )
    cpu = Query(
        title="CPU in use",
        expr='1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[2m]))',
        unit=Unit.RATIO,
        legend="{{node}}",
    )
    memory = Query(
        title="Memory in use",
        expr="max by (node) (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
        unit=Unit.RATIO,
        legend="{{node}}",
    )
    disk = Query(
        title="Fullest disk",
        expr=f"max by (node) (1 - node_filesystem_avail_bytes{{{_DISK}}}"
        f" / node_filesystem_size_bytes{{{_DISK}}})",
        unit=Unit.RATIO,
        legend="{{node}}",
    )
    frontends = Query(
        title="Front-ends that answer",
        expr='min by (endpoint) (probe_success{job="endpoint"})',
        unit=Unit.YES_NO,
        legend="{{endpoint}}",
    )
    certificates = Query(
        title="Certificates expire in",
        expr="min by (endpoint) (probe_ssl_earliest_cert_expiry - time())",
        unit=Unit.SECONDS,
        legend="{{endpoint}}",
    )
    alerts = Query(
        title="Alerts firing",
        expr='count(ALERTS{alertstate="firing"}) or vector(0)',
        legend="alerts",
    )
    targets = Query(
        title="Targets that can't be scraped", expr="count(up == 0) or vector(0)", legend="targets"
    )


class Links:
    """The fabric and the management network, from every node to every other."""

    latency_p50 = Query(
        title="Latency, median",
        expr=quantile(0.5, _PINGS, _ENDS, "2m"),
        unit=Unit.SECONDS,
        legend=_LINK,
    )
    latency_p99 = Query(
        title="Latency, 99th percentile",
        expr=quantile(0.99, _PINGS, _ENDS, "2m"),
        unit=Unit.SECONDS,
        legend=_LINK,
    )
    loss = Query(
        title="Packets lost",
        expr=f'max by ({_ENDS}) (rackform:loss_ratio{{size="small"}})',
        unit=Unit.RATIO,
        legend=_LINK,
    )
    large_loss = Query(
        title="Large packets lost",
        expr=f'max by ({_ENDS}) (rackform:loss_ratio{{size="large"}})',
        unit=Unit.RATIO,
        legend=_LINK,
        note="As large as the MTU allows: where these are lost and small ones are not, an MTU"
        " differs.",
    )
    received = Query(
        title="Received",
        expr=f"sum by (node, device) (rate(node_network_receive_bytes_total{{{_PORT}}}[1m])) * 8",
        unit=Unit.BITS_PER_SECOND,
        legend=_INTERFACE,
    )
    sent = Query(
        title="Sent",
        expr=f"sum by (node, device) (rate(node_network_transmit_bytes_total{{{_PORT}}}[1m])) * 8",
        unit=Unit.BITS_PER_SECOND,
        legend=_INTERFACE,
    )
    speed = Query(
        title="Link speed",
        expr=f"max by (node, device) (node_network_speed_bytes{{{_PORT}}} > 0) * 8",
        unit=Unit.BITS_PER_SECOND,
        legend=_INTERFACE,
    )
    mtu = Query(
        title="MTU",
        expr=f"max by (node, device) (node_network_mtu_bytes{{{_PORT}}})",
        unit=Unit.BYTES,
        legend=_INTERFACE,
        note="All ends of one network must have the same.",
    )
    errors = Query(
        title="Errors and drops",
        expr="sum by (node, device) ("
        + " + ".join(
            f"rate(node_network_{way}_{kind}_total{{{_PORT}}}[5m])"
            for way in ("receive", "transmit")
            for kind in ("errs", "drop")
        )
        + ")",
        unit=Unit.PER_SECOND,
        legend=_INTERFACE,
    )
    rdma_received = Query(
        title="Received by RDMA",
        expr="sum by (node, device) (rate(node_infiniband_port_data_received_bytes_total[1m])) * 8",
        unit=Unit.BITS_PER_SECOND,
        legend=_INTERFACE,
        no_data_in_twin=_NO_RDMA,
    )
    rdma_sent = Query(
        title="Sent by RDMA",
        expr="sum by (node, device)"
        " (rate(node_infiniband_port_data_transmitted_bytes_total[1m])) * 8",
        unit=Unit.BITS_PER_SECOND,
        legend=_INTERFACE,
        no_data_in_twin=_NO_RDMA,
    )
