"""NCCL in the very image that serves, inside a node and across nodes."""

import json
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from commission.links import End
from commission.model import NcclResult, Point
from remote import ssh
from remote.errors import RackformError

BENCH = Path(__file__).resolve().parent / "nccl_bench.py"
ON_HOST = "/run/rackform/nccl_bench.py"
TIMEOUT_S = 300
_PORT = 29555


@dataclass(frozen=True)
class Rank:
    """One node of a run, with the container whose image is used."""

    end: End
    gpus: int
    container: str


def command(rank: Rank, number: int, nodes: Sequence[Rank], image: str) -> list[str]:
    """Return what runs one node's ranks: the serving image, the host's network and NCCL's file."""
    first = nodes[0].end.fabric_address
    torchrun = [
        *("--nnodes", str(len(nodes)), "--node-rank", str(number)),
        *("--nproc-per-node", str(rank.gpus), "--master-addr", first),
        *("--master-port", str(_PORT)),
    ]
    return [
        *("docker", "run", "--rm", "--name", "rackform-nccl", "--network", "host"),
        *("--ipc", "host", "--gpus", "all", "--ulimit", "memlock=-1:-1"),
        *(("--device", "/dev/infiniband") if rank.end.rdma_device else ()),
        *("-v", "/etc/nccl.conf:/etc/nccl.conf:ro", "-v", f"{ON_HOST}:/nccl_bench.py:ro"),
        *("--entrypoint", "python3", image),
        *("-m", "torch.distributed.run", *torchrun, "/nccl_bench.py"),
    ]


def parse(text: str, nodes: tuple[str, ...]) -> NcclResult:
    """Read what the benchmark prints; lines of others are passed over.

    Raises:
        RackformError: it printed no point; its last line.

    """
    head: dict[str, object] = {}
    points: list[Point] = []
    for line in text.splitlines():
        try:
            told = json.loads(line)
            if isinstance(told, dict) and "ranks" in told:
                head = told
            elif isinstance(told, dict):
                points.append(Point.model_validate(told))
        except (ValueError, ValidationError):
            continue
    if not points:
        last = text.strip().splitlines()[-1:] or ["it printed nothing"]
        raise RackformError(
            f"NCCL measured nothing on {', '.join(nodes)} ({last[0]}): run it again with "
            "NCCL_DEBUG=INFO in /etc/nccl.conf, and take that out afterwards"
        )
    ranks = head.get("ranks")
    return NcclResult(
        nodes=nodes,
        ranks=ranks if isinstance(ranks, int) else 0,
        nccl=str(head.get("nccl", "")),
        points=tuple(points),
    )


def image_of(rank: Rank) -> str:
    """Return the id of the image that a node's serving container runs.

    Raises:
        RackformError: there is no such container.

    """
    ask = ["docker", "inspect", "-f", "{{.Image}}", rank.container]
    done = ssh.run(rank.end.connection, ask, check=False)
    if done.returncode != 0:
        raise RackformError(
            f"{rank.end.name} has no container {rank.container}, whose image NCCL is measured in: "
            "bring the stack up first"
        )
    return done.stdout.strip()


def run(nodes: Sequence[Rank]) -> NcclResult:
    """Measure over these nodes, all at once; the first node's answer counts.

    Raises:
        RackformError: a node failed; the reason is the first's.

    """
    images = [image_of(rank) for rank in nodes]
    for rank in nodes:
        put = f"mkdir -p {shlex.quote(str(Path(ON_HOST).parent))} && cat > {ON_HOST}"
        ssh.run(rank.end.connection, put, input=BENCH.read_text(encoding="utf-8"))

    def one(number: int) -> str:
        rank = nodes[number]
        words = command(rank, number, nodes, images[number])
        done = ssh.run(rank.end.connection, words, timeout_s=TIMEOUT_S, check=False)
        return done.stdout + (done.stderr if done.returncode else "")

    with ThreadPoolExecutor(len(nodes)) as pool:
        first, *_ = pool.map(one, range(len(nodes)))
    return parse(first, tuple(rank.end.name for rank in nodes))
