"""The exporters' containers: what each node measures of itself and of the others. Pure."""

from pathlib import Path

from monitoring.gpu_fields import counters_csv, simulated
from monitoring.prometheus import API, USER, names_of_edge
from monitoring.rule import to_yaml
from planner.models import Plan
from remote import host_folders
from remote.container_spec import ContainerParts, HostFile, Mount, Readiness
from remote.program_parts import program_parts
from stack import doors
from stack.schema import Node, Site

SIMULATOR_DATA = f"{host_folders.DATA}/gpu-simulator"
"""On a node of the twin: gpu<index>.json holds values that its simulator shows in place of idle."""
_FILES = Path(__file__).parent / "files"
_NO_MOUNTS = ("dev", "proc", "run", "sys", "etc/rackform/.+", "var/lib/docker/.+")
_NO_DISKS = (
    "autofs", "binfmt_misc", "bpf", "cgroup2?", "configfs", "debugfs", "devpts", "devtmpfs",
    "erofs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "proc", "procfs", "pstore",
    "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "udf",
)  # fmt: skip
"""What is no disk that fills, such as a BMC's medium; the exporter's own list, less the overlay."""
_SMALL_BYTES = 64
_MANAGEMENT_BYTES = 1472
"""What fills an MTU of 1500, without the headers of IPv4 and ICMP."""
_SMOKEPING_CONFIG = "/tmp/smokeping.yml"  # noqa: S108 - in a container of its own
_PINGS_A_SECOND = 16
_PROBE_INTERVAL_S, _PROBE_TIMEOUT_S = 20, 15


def node_exporter(node: Node) -> ContainerParts:
    """Node exporter of the host, not of its container; the twin's root is an overlay."""
    interfaces = [link.interface for link in node.links.values()]
    devices = interfaces[0] if len(interfaces) == 1 else f"({'|'.join(interfaces)})"
    return ContainerParts(
        command=[
            "prometheus-node-exporter",
            "--path.procfs=/host/proc",
            "--path.sysfs=/host/sys",
            "--path.rootfs=/host/root",
            "--path.udev.data=/host/root/run/udev/data",
            "--collector.ethtool",
            f"--collector.ethtool.device-include=^{devices}$",
            "--collector.textfile.directory=/host/metrics",
            f"--collector.filesystem.mount-points-exclude=^/({'|'.join(_NO_MOUNTS)})($|/)",
            f"--collector.filesystem.fs-types-exclude=^({'|'.join(_NO_DISKS)})$",
            "--no-collector.arp",
            "--no-collector.btrfs",
            "--no-collector.nfs",
            "--no-collector.nfsd",
            "--no-collector.systemd",  # on by default in Debian's build alone; it needs D-Bus
            "--no-collector.xfs",
            "--no-collector.zfs",
            f"--web.listen-address={node.fabric_address}:{doors.NODE_EXPORTER}",
            "--log.level=warn",
        ],
        user=USER,
        mounts=[
            Mount(source="/proc", target="/host/proc"),
            Mount(source="/sys", target="/host/sys"),
            Mount(source="/", target="/host/root"),
            Mount(source=host_folders.METRICS, target="/host/metrics"),
        ],
        ready=_listens(node, doors.NODE_EXPORTER),
    )


def smokeping(site: Site, name: str) -> ContainerParts:
    """Pings from one node to all others on every rail, small and the largest that the MTU allows.

    Raw sockets are root's. One process tells its targets apart by the host as it is written, and
    knows no other label: the large pings have the same address in its IPv6 form. Linux sets DF on
    a ping that fits the interface, so one that is too large for a hop is lost, not cut up.
    """
    node = site.nodes[name]
    others = [other for key, other in site.nodes.items() if key != name]
    fabric = [
        str(other.links[network].address)
        for network in node.links
        for other in others
        if network in other.links
    ]
    interval_s = -(-len(fabric) // _PINGS_A_SECOND)
    management = [str(other.address) for other in others]
    settings: dict[str, object] = {
        "command": [
            "prometheus-smokeping-prober",
            f"--config.file={_SMOKEPING_CONFIG}",
            f"--web.listen-address={node.fabric_address}:{doors.SMOKEPING}",
            "--log.level=warn",
        ],
        "config": _SMOKEPING_CONFIG,
        "metrics": "/host/metrics/fabric.prom",
        "groups": [
            _pings(fabric, interval_s, size=_SMALL_BYTES),
            _pings(_as_ipv6(fabric), interval_s),
            _pings(management, interval_s, size=_SMALL_BYTES),
            _pings(_as_ipv6(management), interval_s, size=_MANAGEMENT_BYTES),
        ],
    }
    return _program(
        "smokeping.py",
        settings,
        [Mount(source=host_folders.METRICS, target="/host/metrics")],
        _listens(node, doors.SMOKEPING),
    ).model_copy(update={"user": "0:0", "capabilities": ["NET_RAW"]})


def _as_ipv6(addresses: list[str]) -> list[str]:
    return [f"::ffff:{address}" for address in addresses]


def _pings(hosts: list[str], interval_s: int, **sized: int) -> dict[str, object]:
    """Return a group of targets; without `size`, files/smokeping.py fills the fabric's MTU."""
    return {
        "hosts": hosts, "interval": f"{interval_s}s", "network": "ip4", "protocol": "icmp", **sized,
    }  # fmt: skip


def dcgm(node: Node) -> ContainerParts:
    """NVIDIA's exporter, with the fields that our rules and dashboards read."""
    path = "/etc/dcgm-exporter/rackform.csv"
    return ContainerParts(
        command=[
            "dcgm-exporter",
            "--collectors", path,
            "--address", f"{node.fabric_address}:{doors.GPU_EXPORTER}",
        ],
        files={path: HostFile(content=counters_csv(), mode=0o444)},
        ready=_listens(node, doors.GPU_EXPORTER),
    )  # fmt: skip


def gpu_simulator(node: Node) -> ContainerParts:
    """What stands in for it in a twin; it says so in every line."""
    settings = {
        "address": str(node.fabric_address), "port": doors.GPU_EXPORTER,
        "gpus": node.gpu_count, "folder": "/data", "fields": simulated(),
    }  # fmt: skip
    return _program(
        "gpu_simulator.py",
        settings,
        [Mount(source=SIMULATOR_DATA, target="/data")],
        _listens(node, doors.GPU_EXPORTER),
    )


def token_probe(site: Site, plan: Plan) -> ContainerParts:
    """A tiny completion of each model, asked of Serve as the edge asks it."""
    assert site.monitoring  # noqa: S101 - declared only where the site asks for it
    home, head = site.nodes[site.monitoring.node], site.nodes[plan.head]
    settings = {
        "address": str(home.fabric_address), "port": doors.TOKEN_PROBE,
        "api": f"http://{head.fabric_address}:{site.ray.serve_port}",
        "models": [model.served_name for model in plan.models],
        "interval_s": _PROBE_INTERVAL_S, "timeout_s": _PROBE_TIMEOUT_S,
    }  # fmt: skip
    return _program("token_probe.py", settings, [], _listens(home, doors.TOKEN_PROBE))


def blackbox(site: Site, ca_certificate: str) -> ContainerParts:
    """The edge is well when it asks who one is; a front-end, when its own health page is."""
    assert site.monitoring  # noqa: S101 - as above
    home, ca = site.nodes[site.monitoring.node], "/etc/blackbox/ca.crt"
    http = {"preferred_ip_protocol": "ip4", "follow_redirects": False}
    modules = {
        "edge": {
            "prober": "http", "timeout": "8s",
            "http": http | {"valid_status_codes": [401], "tls_config": {"ca_file": ca}},
        },
        "front_end": {"prober": "http", "timeout": "8s", "http": http},
        **{name: _by_name(name, path, http) for name, path in names_of_edge(site).items()},
    }  # fmt: skip
    return ContainerParts(
        command=[
            "prometheus-blackbox-exporter",
            "--config.file=/etc/blackbox/blackbox.yml",
            f"--web.listen-address={home.fabric_address}:{doors.BLACKBOX}",
            "--log.level=warn",
        ],
        user=USER,
        files={
            "/etc/blackbox/blackbox.yml": HostFile(content=to_yaml({"modules": modules})),
            ca: HostFile(content=ca_certificate, mode=0o444),
        },
        ready=_listens(home, doors.BLACKBOX),
    )


def _by_name(name: str, path: str, http: dict[str, object]) -> dict[str, object]:
    """Ask the edge by a name, whoever signed its certificate: what matters is when it expires."""
    asked = name.replace("*", "any")
    return {
        "prober": "http",
        "timeout": "8s",
        "http": http
        | {
            "valid_status_codes": [401] if path == API else [200],
            "headers": {"Host": asked},
            "tls_config": {"server_name": asked, "insecure_skip_verify": True},
        },
    }


def _program(
    name: str, settings: dict[str, object], mounts: list[Mount], ready: Readiness
) -> ContainerParts:
    return program_parts(_FILES / name, settings, user=USER, ready=ready, mounts=mounts)


def _listens(node: Node, port: int) -> Readiness:
    return Readiness(kind="tcp", target=[str(node.fabric_address), str(port)], timeout_s=60)
