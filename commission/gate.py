"""The gate before serving: each link between nodes with ranks carries NCCL, or nothing is served.

NCCL that can't connect hangs without a word. So each pair of nodes is tried alone and has a limit,
after packets of the fabric's whole MTU were sent between the two. Pairs that share no node go side
by side.
"""

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from commission.model import NcclResult
from commission.nccl import BENCH, parse
from remote import ssh
from remote.errors import RackformError
from stack.steps import Gate, GateLink, GateNode

CONTAINER = "rackform-gate"
PORT = 29556
HEADERS_BYTES = 28
"""IPv4 and ICMP."""
SIZES = {
    "nccl": ("--smallest", 1 << 20, "--largest", 64 << 20, "--iterations", 10, "--seconds", 8),
    "gloo": ("--smallest", 64 << 10, "--largest", 4 << 20, "--iterations", 3, "--seconds", 4),
}
HUNG = "Timeout ("
"""What faulthandler writes when the limit is over."""

Pair = tuple[str, str]
Progress = Callable[[str], None]


def rounds(names: Sequence[str]) -> list[list[Pair]]:
    """Return every pair once, in rounds of pairs that share no node (each node sits one out)."""
    circle: list[str | None] = [*names, *([None] if len(names) % 2 else [])]
    found = []
    for _ in range(len(circle) - 1):
        half = len(circle) // 2
        pairs = zip(circle[:half], reversed(circle[half:]), strict=True)
        found.append([(a, b) for a, b in pairs if a is not None and b is not None])
        circle = [circle[0], circle[-1], *circle[1:-1]]
    return found


def run(gate: Gate, progress: Progress) -> str:
    """Try every link and return what they carry, a line a link.

    Raises:
        RackformError: a sentence for each pair that is refused.

    """
    carried, refused = [], []

    def tried(pair: Pair) -> tuple[Pair, NcclResult | RackformError]:
        progress(f"{gate.backend}: {pair[0]} and {pair[1]}")
        try:
            return pair, judged(gate, pair, _measure(gate, pair))
        except RackformError as error:
            return pair, error

    for pairs in rounds(list(gate.nodes)):
        with ThreadPoolExecutor(len(pairs)) as pool:
            for (first, second), outcome in pool.map(tried, pairs):
                if isinstance(outcome, RackformError):
                    refused.append(f"{first} and {second}: {outcome}")
                else:
                    carried.append(f"{first} and {second}: {outcome.best_gb_s:.2f} GB/s")
    if refused:
        raise RackformError(
            "\n".join(["nothing is served while ranks can't talk:", *refused])
            + "\nMend that ('./rackform doctor mtu link nccl' tells more) and run up again."
        )
    return "\n".join(carried)


def judged(gate: Gate, pair: Pair, found: NcclResult) -> NcclResult:
    """Return what was measured where it is enough.

    Raises:
        RackformError: it is below the floor; both figures.

    """
    if found.best_gb_s < gate.floor_gb_s:
        raise RackformError(
            f"NCCL carries {found.best_gb_s:.2f} GB/s between {' and '.join(pair)}, below the "
            f"floor of {gate.floor_gb_s:.2f} for {gate.gbit_s:g} Gbit/s: see that it goes over "
            "the fabric's cards (NCCL_SOCKET_IFNAME, NCCL_IB_HCA), their slots and the cable, or "
            "lower fabric.link.floor_share"
        )
    return found


def command(gate: Gate, pair: Pair, rank: int) -> list[str]:
    """Return what runs one node's rank: the serving image, the host's network and NCCL's file."""
    node = gate.nodes[pair[rank]]
    environment = {
        "RANK": rank, "WORLD_SIZE": len(pair), "LOCAL_RANK": 0, "OMP_NUM_THREADS": 1,
        "MASTER_ADDR": gate.nodes[pair[0]].fabric_address, "MASTER_PORT": PORT,
        "GLOO_SOCKET_IFNAME": node.interface,
    }  # fmt: skip
    return [
        *("docker", "run", "--rm", "-i", "--name", CONTAINER, "--network", "host"),
        *("--ipc", "host"),
        *(("--gpus", "all", "--ulimit", "memlock=-1:-1") if gate.backend == "nccl" else ()),
        *(("--device", "/dev/infiniband") if node.rdma else ()),
        *("-v", "/etc/nccl.conf:/etc/nccl.conf:ro"),
        *(part for key, value in environment.items() for part in ("-e", f"{key}={value}")),
        *("--entrypoint", "python3", gate.image, "-", "--backend", gate.backend),
        *("--limit-s", str(gate.limit_s), *map(str, SIZES[gate.backend])),
    ]  # fmt: skip


def _measure(gate: Gate, pair: Pair) -> NcclResult:
    ends = [gate.nodes[name] for name in pair]
    for near, far in (ends, ends[::-1]):
        for network in (each for each in near.links if each in far.links):
            _expect_packets(gate, near, far, network)

    def rank(number: int) -> ssh.Completed:
        node = ends[number].connection
        words = shlex.join(ssh.as_root(node, command(gate, pair, number)))
        remove = shlex.join(ssh.as_root(node, ["docker", "rm", "-f", CONTAINER]))
        return ssh.run(
            node,
            f"{remove} >/dev/null 2>&1; exec {words}",
            input=BENCH.read_text(encoding="utf-8"),
            timeout_s=gate.limit_s + 60,
            check=False,
        )

    with ThreadPoolExecutor(len(pair)) as pool:
        return outcome(pair, list(pool.map(rank, range(len(pair)))))


def outcome(pair: Pair, done: Sequence[ssh.Completed]) -> NcclResult:
    """Return what was measured.

    Raises:
        RackformError: it was not measured to its end; why, as far as the two ranks tell.

    """
    if not any(rank.returncode for rank in done):
        return parse(done[0].stdout, pair)
    failed = [
        f"on {name}: {_last(rank.stderr or rank.stdout)}"
        for name, rank in zip(pair, done, strict=True)
        if rank.returncode and HUNG not in rank.stderr
    ]
    if failed:
        raise RackformError(f"the benchmark failed {'; '.join(failed)}")
    raise RackformError(
        f"it hung, as NCCL does where it can't connect: {_where(pair, done[0].stdout)}. Packets "
        "pass, so see that nodes.NODE.interface is the fabric's on both, and what filters ports "
        "between them"
    )


def _where(pair: Pair, told: str) -> str:
    """Return how far a run came that hung."""
    if '"ranks"' not in told:
        return "the ranks did not even meet"
    try:
        found = parse(told, pair)
    except RackformError:
        return "the ranks met, but no message arrived"
    last = found.points[-1]
    return f"{found.best_gb_s:.2f} GB/s up to {last.size_bytes} bytes, then nothing"


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def _expect_packets(gate: Gate, near: GateNode, far: GateNode, network: str) -> None:
    """Raise RackformError unless unfragmented packets of the whole MTU get to the other node."""
    whole, link, other = gate.mtu_bytes - HEADERS_BYTES, near.links[network], far.links[network]
    done = ssh.run(near.connection, ping(link, other, whole), check=False)
    if done.returncode in {0, 127}:  # without ping on the host NCCL itself has to tell
        return
    way = f"from {near.connection.name} to {far.connection.name} ({other.address})"
    small = ssh.run(near.connection, ping(link, other, 56), check=False)
    if small.returncode:
        said = _last(small.stderr) if small.stderr.strip() else "no answer"
        raise RackformError(
            f"nothing gets {way} over {link.interface}: {said}; see the cable, the switch's port "
            "and that the address is on that interface"
        )
    raise RackformError(
        f"packets of {gate.mtu_bytes} bytes don't get {way}, though small ones do: a card, a port "
        "or a filter on the way has a smaller MTU, and NCCL would hang there"
    )


def ping(near: GateLink, far: GateLink, payload_bytes: int) -> list[str]:
    return [
        *("ping", "-q", "-n", "-M", "do", "-c", "3", "-i", "0.2", "-W", "1"),
        *("-s", str(payload_bytes), "-I", near.address, far.address),
    ]
