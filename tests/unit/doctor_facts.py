"""Facts of a healthy cluster for a site, made from recorded answers, and ways to break them."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from discover.machine import machine
from discover.model import Machine
from doctor.model import (
    Answer,
    Certificate,
    Clock,
    ContainerFacts,
    Facts,
    Interface,
    NodeFacts,
    Ping,
    RayMember,
    Room,
    Service,
    SwitchFacts,
)
from fabric.protocol import Neighbour, PortState, SwitchState
from stack.schema import Site

DISCOVERED = Path(__file__).resolve().parent / "fixtures" / "discover"
IMAGE = "sha256:" + "a" * 64
_CONTAINERS = {"head": ("registry", "redis", "ray-head", "edge")}


@cache
def gpu_machine(name: str, driver: str = "580.159.04") -> Machine:
    """Return the recorded host with two H200 under another name; its GPUs are cool and idle."""
    told = {
        "hostname": name,
        "sudo": "yes",
        "smi": (DISCOVERED / "h200-x2-smi.xml").read_text(encoding="utf-8"),
        "topology": (DISCOVERED / "h200-x2-topology.txt").read_text(encoding="utf-8"),
    }
    return machine(name, told).model_copy(update={"driver": driver})


def node(site: Site, name: str, **changes: object) -> NodeFacts:
    """Return what a healthy node of the site tells, with some of it changed."""
    declared = site.nodes[name]
    gpus = declared.gpu_count if not site.twin else 0
    files = [f"/dev/nvidia{number}" for number in range(gpus)]
    files += ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/infiniband/rdma_cm"] if gpus else []
    files += ["/dev/infiniband/rdma_cm"] if declared.rdma_devices else []
    healthy = NodeFacts(
        machine=gpu_machine(name) if gpus else Machine(address=name, hostname=name),
        interfaces={
            link.interface: Interface(
                mtu_bytes=site.fabric.mtu_bytes,
                up=True,
                addresses=(str(link.address),),
                speed_mbit_s=100_000,
            )
            for link in declared.links.values()
        },
        nccl={"NCCL_SOCKET_IFNAME": f"={declared.interface}"},
        rdma_devices=("mlx5_0",) if declared.rdma_devices else (),
        device_files=tuple(files),
        rooms=(Room(path="/", size_bytes=10**12, free_bytes=5 * 10**11),),
        clock=Clock(off_s=0.01, uncertain_s=0.02),
        containers=tuple(
            ContainerFacts(name=each, state="running", image_id=IMAGE) for each in _declared(name)
        ),
        reaches_head=True,
    )
    return healthy.model_copy(update=changes)


def _declared(name: str) -> Sequence[str]:
    return _CONTAINERS.get(name, ("ray-worker",))


def switched(
    mtus: Mapping[str, int] | None = None,
    neighbours: Mapping[str, list[Neighbour]] | None = None,
) -> SwitchFacts:
    """Return the example's switch, cabled and set as declared, but for what is given."""
    ports = {"Ethernet1": "head", "Ethernet2": "w1", "Ethernet3": "w2"}
    heard = {p: [Neighbour(system_name=n, port_id="fab0")] for p, n in ports.items()}
    return SwitchFacts(
        state=SwitchState(
            ports={
                port: PortState(
                    mtu_bytes=(mtus or {}).get(port, 9214),
                    description=f"{name}.fab0",
                    enabled=True,
                    connected=True,
                )
                for port, name in ports.items()
            },
            lldp=True,
            neighbours=dict(heard if neighbours is None else neighbours),
        )
    )


def served(site: Site) -> Service:
    return Service(
        containers={name: dict.fromkeys(_declared(name), IMAGE) for name in site.nodes},
        head=site.head,
        ray_gpus=sum(each.gpu_count for each in site.nodes.values()),
        ray=tuple(
            RayMember(address=str(each.fabric_address), alive=True, gpus=each.gpu_count)
            for each in site.nodes.values()
        ),
        redis="-NOAUTH Authentication required.",
        certificates=(Certificate(name="edge", address="10.77.0.11:443", days=800),),
        answer=Answer(pieces=8, seconds=1.4),
    )


def facts(site: Site, **changed: NodeFacts) -> Facts:
    """Return a healthy cluster's facts, with some nodes telling something else."""
    names = list(site.nodes)
    return Facts(
        nodes={name: changed.get(name) or node(site, name) for name in names},
        switches={"tor1": switched()},
        pings=tuple(
            Ping(source=a, target=b, network=network, small=True, large=True)
            for a in names
            for b in names
            for network in site.nodes[a].links
            if a != b and network in site.nodes[b].links
        ),
        service=served(site),
    )
