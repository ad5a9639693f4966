"""What the containers of a Ray cluster run: Redis, the head, the workers. Pure.

Ray keeps its cluster state (GCS) in Redis, so that a restarted head finds its nodes and its Serve
application again. Every port is fixed and below 32768, where the ephemeral range starts.
"""

from pathlib import Path

from pydantic import Field

from remote import host_folders
from remote.container_spec import ContainerParts, Frozen, HostFile, Mount, Readiness

HEAD, WORKER = "ray-head", "ray-worker"
"""The containers' names on their nodes."""
GCS_PORT = 6379
NODE_MANAGER_PORT = 6380
REDIS_PORT = 6390
DASHBOARD_PORT = 8265
METRICS_PORT = 8080

LAUNCHER = "/etc/rackform/ray_start.py"
TOKEN = "/run/secrets/ray_token"  # noqa: S105 - the file's path
REDIS_FLAGS = "/run/secrets/redis.flags"
REDIS_CONFIG = "/etc/redis/rackform.conf"
REDIS_USER = "999:999"
"""The user of images/redis: owner of its configuration, which holds the password."""
CONFIG_ROOT = "/etc/rackform/vllm"
RDMA_DEVICES = "/dev/infiniband"
"""Without it NCCL finds no card and takes TCP, without a word."""

PORTS = {
    "--node-manager-port": NODE_MANAGER_PORT,
    "--object-manager-port": 6381,
    "--runtime-env-agent-port": 6382,
    "--dashboard-agent-grpc-port": 6383,
    "--dashboard-agent-listen-port": 6384,
    "--metrics-export-port": METRICS_PORT,
    "--min-worker-port": 10002,
    "--max-worker-port": 10100,
}

TWIN_ENVIRONMENT = {
    # That Ray's logical GPUs stand for vLLM's CPU workers is in the image's own environment
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "RAY_memory_monitor_refresh_ms": "0",  # it sees the whole machine's memory
}


class RayNode(Frozen):
    """One machine's share of the Ray cluster."""

    address: str = Field(description="fabric address: Ray's node IP and vLLM's host IP")
    interface: str = Field(default="fab0", description="the fabric's interface, for Gloo")
    token: str = Field(description="Ray's authentication token (secret)")
    cpus: int = 4
    gpus: int = 0
    gpu_kind: str = Field(default="cpu", description="'cpu' in the twin")
    rdma: str = Field(
        default="",
        description="what NCCL is told of the host's RDMA cards; empty: it goes through the kernel",
    )
    models_dir: str = host_folders.MODELS
    nccl_files: bool = Field(
        default=True, description="mount what the nccl_env deploy wrote on the host"
    )
    object_store_bytes: int | None = 200_000_000
    memory_bytes: int | None = None
    nofile: int = 20000
    environment: dict[str, str] = Field(default={})


def redis(
    address: str,
    password: str,
    port: int = REDIS_PORT,
    data_dir: str = f"{host_folders.DATA}/redis",
) -> ContainerParts:
    """Redis for the head's GCS. Only the head talks to it: 127.0.0.1 serves as well."""
    config = f"""\
bind {address}
port {port}
requirepass {password}
protected-mode yes
dir /data
appendonly yes
appendfsync everysec
save ""
"""
    return ContainerParts(
        command=["redis-server", REDIS_CONFIG],
        user=REDIS_USER,
        files={REDIS_CONFIG: HostFile(content=config)},
        mounts=[Mount(source=data_dir, target="/data", read_only=False)],
        ready=Readiness(kind="tcp", target=[address, str(port)], timeout_s=60),
    )


def ray_head(node: RayNode, *, redis_address: str, redis_password: str) -> ContainerParts:
    """The head: GCS on the fabric, the dashboard on its own loopback only.

    Workers do not need the dashboard: a raylet and its agent talk gRPC to the GCS. Only the agent's
    event reporter posts to it (`/report_events`), and a failure there is logged, not fatal.
    """
    arguments = [
        "--head",
        f"--port={GCS_PORT}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={DASHBOARD_PORT}",
    ]
    launch = ["--wait-for", redis_address, "--redis-password-file", REDIS_FLAGS]
    return _ray(
        node,
        [*launch, "--", *arguments],
        environment={"RAY_REDIS_ADDRESS": redis_address},
        files={REDIS_FLAGS: HostFile(content=f"--redis_password={redis_password}\n")},
        ready=Readiness(kind="tcp", target=[node.address, str(GCS_PORT)], timeout_s=120),
    )


def ray_worker(node: RayNode, *, head_address: str) -> ContainerParts:
    """A worker: waits for the head's GCS by itself, so that both may start in any order."""
    gcs = f"{head_address}:{GCS_PORT}"
    return _ray(
        node,
        ["--wait-for", gcs, "--", f"--address={gcs}"],
        environment={},
        files={},
        ready=Readiness(kind="tcp", target=[node.address, str(NODE_MANAGER_PORT)], timeout_s=360),
    )


def _ray(
    node: RayNode,
    arguments: list[str],
    *,
    environment: dict[str, str],
    files: dict[str, HostFile],
    ready: Readiness,
) -> ContainerParts:
    launcher = (Path(__file__).parent / "files" / "ray_start.py").read_text()
    return ContainerParts(
        command=["python3", LAUNCHER, *arguments, *_common(node)],
        environment=_environment(node) | environment | node.environment,
        files={
            LAUNCHER: HostFile(content=launcher, mode=0o444),
            TOKEN: HostFile(content=node.token),
            **files,
        },
        mounts=_mounts(node),
        devices=[RDMA_DEVICES] if node.rdma else [],
        capabilities=["SYS_NICE"],
        # A card reads and writes memory that is locked, such as NCCL's buffers.
        ulimits={"nofile": node.nofile, **({"memlock": -1} if node.rdma else {})},
        ipc_host=True,
        ready=ready,
    )


def _common(node: RayNode) -> list[str]:
    arguments = [
        "--block",
        "--disable-usage-stats",
        f"--node-ip-address={node.address}",
        f"--num-cpus={node.cpus}",
        f"--num-gpus={node.gpus}",
        *(f"{option}={port}" for option, port in PORTS.items()),
    ]
    if node.object_store_bytes is not None:
        arguments.append(f"--object-store-memory={node.object_store_bytes}")
    if node.memory_bytes is not None:
        arguments.append(f"--memory={node.memory_bytes}")
    return arguments


def _environment(node: RayNode) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": TOKEN,
        "RAY_DEDUP_LOGS": "0",
        "AUTOSCALER_METRIC_PORT": "8081",
        "DASHBOARD_METRIC_PORT": "8082",
        "VLLM_HOST_IP": node.address,
        "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CONFIG_ROOT": CONFIG_ROOT,
        "HF_HUB_OFFLINE": "1",
        "GLOO_SOCKET_IFNAME": node.interface,
        # NCCL reads a mounted file, and a container keeps the one that it was started with: another
        # card or traffic class has to be another container.
        **({"RACKFORM_NCCL": node.rdma} if node.rdma else {}),
        **(TWIN_ENVIRONMENT if node.gpu_kind == "cpu" else {}),
    }


def _mounts(node: RayNode) -> list[Mount]:
    mounts = [Mount(source=node.models_dir, target="/models")]
    if node.nccl_files:
        kept = "ray_non_carry_over_env_vars.json"
        mounts += [
            Mount(source="/etc/nccl.conf", target="/etc/nccl.conf"),
            Mount(source=f"/etc/rackform/{kept}", target=f"{CONFIG_ROOT}/{kept}"),
        ]
    return mounts
