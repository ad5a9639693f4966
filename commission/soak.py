"""GPUs under full load in the serving image, watched from here, ended at the circuit's limit."""

import contextlib
import json
import shlex
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from commission.links import End
from commission.model import CircuitLoad, GpuWork, Sample, SoakResult
from commission.nccl import Rank, image_of
from remote import ssh
from remote.errors import RackformError

PROGRAM = Path(__file__).resolve().parent / "gpu_soak.py"
ON_HOST = "/run/rackform/gpu_soak.py"
CONTAINER = "rackform-soak"
QUERY = (
    "nvidia-smi --query-gpu=index,temperature.gpu,power.draw,power.limit,clocks.sm,"
    "clocks_throttle_reasons.active --format=csv,noheader,nounits"
)
"""By the name that both old and new drivers take; new ones call it clocks_event_reasons."""
_REASONS = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x20: "too hot (driver)",
    0x40: "too hot (hardware)",
    0x80: "power brake (hardware)",
}
"""Bits of NVML's nvmlClocksEventReasons; idle and set clocks are no fault."""
_EVERY_S, _START_S, _EXTRA_S = 1.0, 3.0, 120
_BLIND_ROUNDS = 3
"""A soak that nobody watches is ended."""
_COLUMNS = 6


@dataclass(frozen=True)
class Circuit:
    """What a circuit may carry, and how each of its nodes draws by what its GPUs draw."""

    name: str
    limit_w: float
    wall_w: Mapping[str, Callable[[float], float]]


@dataclass
class Outcome:
    results: list[SoakResult] = field(default_factory=list)
    circuits: dict[str, CircuitLoad] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """What did not run to its end, and why."""


def command(gpus: Sequence[int], seconds: int, image: str) -> list[str]:
    """Return what loads some GPUs of one node; it ends by itself, whatever becomes of us."""
    return [
        *("docker", "run", "--rm", "--name", CONTAINER, "--network", "none", "--gpus", "all"),
        *("-v", f"{ON_HOST}:/gpu_soak.py:ro", "--entrypoint", "python3", image),
        *("/gpu_soak.py", "--seconds", str(seconds), "--gpus", ",".join(map(str, gpus))),
    ]


def samples(text: str) -> list[Sample]:
    """Read what nvidia-smi answers to `QUERY`; a value that a card has not is left out."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == _COLUMNS and cells[0].isdigit():
            hot, power, limit, clock = (_number(cell) for cell in cells[1:5])
            found.append(
                Sample(
                    gpu=int(cells[0]),
                    temperature_c=None if hot is None else int(hot),
                    power_w=power,
                    limit_w=limit,
                    clock_mhz=None if clock is None else int(clock),
                    reasons=tuple(_held(cells[5])),
                )
            )
    return found


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _held(mask: str) -> Iterator[str]:
    try:
        bits = int(mask, 16)
    except ValueError:
        return
    yield from (told for bit, told in _REASONS.items() if bits & bit)


def works(text: str) -> dict[int, GpuWork]:
    """Read what the program prints; lines of others are passed over."""
    found = {}
    for line in text.splitlines():
        try:
            work = GpuWork.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            continue
        found[work.gpu] = work
    return found


def result(
    node: str, gpu: int, seen: Sequence[Sample], work: GpuWork | None, *, together: bool
) -> SoakResult:
    """Sum up what one GPU did and what nvidia-smi showed of it meanwhile."""
    own = [each for each in seen if each.gpu == gpu]
    hot = [each.temperature_c for each in own if each.temperature_c is not None]
    power = [each.power_w for each in own if each.power_w is not None]
    clocks = [each.clock_mhz for each in own if each.clock_mhz is not None]
    return SoakResult(
        node=node,
        gpu=gpu,
        together=together,
        work=work,
        samples=len(own),
        hottest_c=max(hot, default=None),
        most_w=max(power, default=None),
        mean_w=round(statistics.fmean(power), 1) if power else None,
        clock_mhz=int(statistics.median(clocks)) if clocks else None,
        reasons=tuple(dict.fromkeys(reason for each in own for reason in each.reasons)),
    )


def loads(circuits: Sequence[Circuit], now: Mapping[str, Sequence[Sample]]) -> list[CircuitLoad]:
    """Return what each circuit carries at one moment."""
    return [
        CircuitLoad(
            circuit=circuit.name,
            nodes=tuple(circuit.wall_w),
            most_w=round(
                sum(
                    wall(sum(each.power_w or 0 for each in now.get(node, ())))
                    for node, wall in circuit.wall_w.items()
                )
            ),
            limit_w=circuit.limit_w,
        )
        for circuit in circuits
    ]


def run(nodes: Sequence[Rank], circuits: Sequence[Circuit], seconds: int) -> Outcome:
    """Load each GPU alone, one of each node at a time, then all together, node after node.

    Ends everything as soon as a circuit carries more than it may without a break.

    Raises:
        RackformError: a node can't be reached, or has no image to run.

    """
    images = {rank.end.name: image_of(rank) for rank in nodes}
    for rank in nodes:
        put = f"mkdir -p {shlex.quote(str(Path(ON_HOST).parent))} && cat > {ON_HOST}"
        ssh.run(rank.end.connection, put, input=PROGRAM.read_text(encoding="utf-8"))
    soak = _Soak(images, circuits, seconds, Outcome())
    for number in range(max(rank.gpus for rank in nodes)):
        turn = [(rank, [number]) for rank in nodes if number < rank.gpus]
        if not soak.phase(turn, together=False):
            return soak.outcome
    if sum(rank.gpus for rank in nodes) > 1:
        soak.phase([(rank, list(range(rank.gpus))) for rank in nodes], together=True)
    return soak.outcome


@dataclass
class _Soak:
    images: Mapping[str, str]
    circuits: Sequence[Circuit]
    seconds: int
    outcome: Outcome

    def phase(self, turn: Sequence[tuple[Rank, list[int]]], *, together: bool) -> bool:
        """Load these GPUs and watch them; False where it was ended early."""
        ends = {rank.end.name: rank.end for rank, _ in turn}
        seen: dict[str, list[Sample]] = {name: [] for name in ends}
        running: dict[str, Future[ssh.Completed]] = {}
        with ThreadPoolExecutor(2 * len(ends)) as pool:
            stopped = self._watch(pool, list(turn), running, seen)
        for rank, gpus in turn:
            name = rank.end.name
            done = running[name].result() if name in running else None
            told = works(done.stdout) if done else {}
            if done and not told and not stopped:
                said = (done.stderr or done.stdout).strip().splitlines()[-1:]
                self.outcome.failed.append(f"GPU soak on {name} ({(said or ['no answer'])[0]})")
            self.outcome.results += [
                result(name, gpu, seen[name], told.get(gpu), together=together) for gpu in gpus
            ]
        return not stopped

    def _watch(
        self,
        pool: ThreadPoolExecutor,
        waiting: list[tuple[Rank, list[int]]],
        running: dict[str, Future[ssh.Completed]],
        seen: dict[str, list[Sample]],
    ) -> bool:
        """Start node after node: what one more adds is seen before the next one starts."""
        ends = {rank.end.name: rank.end for rank, _ in waiting}
        stopped, started, blind = False, -_START_S, dict.fromkeys(ends, 0)
        begin = time.monotonic()
        while waiting or not all(each.done() for each in running.values()):
            if waiting and time.monotonic() - begin - started >= _START_S:
                rank, gpus = waiting.pop(0)
                words = command(gpus, self.seconds, self.images[rank.end.name])
                running[rank.end.name] = pool.submit(_load, rank.end, words, self.seconds)
                started = time.monotonic() - begin
            now = dict(zip(ends, pool.map(_ask, ends.values()), strict=True))
            for name, found in now.items():
                seen[name] += found
                blind[name] = 0 if found else blind[name] + 1
                if blind[name] == _BLIND_ROUNDS and not stopped:
                    stopped = True
                    self.outcome.failed.append(f"GPU soak: nvidia-smi on {name} does not answer")
            stopped |= _over(loads(self.circuits, now), self.outcome)
            if stopped:
                waiting.clear()
                list(pool.map(_stop, ends.values()))
            time.sleep(_EVERY_S)
        return stopped


def _over(now: Sequence[CircuitLoad], outcome: Outcome) -> bool:
    """Keep the most of each circuit; tell whether one carries too much."""
    over = False
    for load in now:
        over |= load.most_w > load.limit_w
        most = outcome.circuits.get(load.circuit)
        if most is None or load.most_w > most.most_w:
            outcome.circuits[load.circuit] = load.model_copy(
                update={"stopped": load.most_w > load.limit_w}
            )
    return over


def _load(end: End, words: Sequence[str], seconds: int) -> ssh.Completed:
    try:
        return ssh.run(end.connection, words, timeout_s=seconds + _EXTRA_S, check=False)
    except RackformError as error:
        return ssh.Completed(1, "", str(error))


def _ask(end: End) -> list[Sample]:
    """Return what a node's nvidia-smi tells; nothing where it does not answer in time."""
    with contextlib.suppress(RackformError):
        return samples(ssh.run(end.connection, QUERY, timeout_s=20, check=False).stdout)
    return []


def _stop(end: End) -> None:
    with contextlib.suppress(RackformError):
        ssh.run(end.connection, ["docker", "kill", CONTAINER], timeout_s=20, check=False)
