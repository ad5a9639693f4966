"""Runs inside the serving image, one process a GPU: NCCL by message size.

torchrun starts it, or whoever sets the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR and MASTER_PORT. With `--limit-s` a process that hangs in NCCL ends, and tells where.
Prints one JSON object a line on rank 0. Bandwidths are nccl-tests' bus bandwidths: all-reduce moves
2 (n - 1) / n of its size a rank, send and receive move it once (doc/PERFORMANCE.md there).
"""

import argparse
import faulthandler
import json
import os
import time

import torch
import torch.distributed as dist

_GROWTH = 4  # of the message, from one size to the next


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="nccl")
    parser.add_argument("--smallest", type=int, default=8 << 10)
    parser.add_argument("--largest", type=int, default=256 << 20)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--limit-s", type=float)
    return parser.parse_args()


def _exchange(tensor: torch.Tensor, rank: int, ranks: int) -> None:
    """Send to the rank half way round, so that the traffic crosses nodes where there are two."""
    far = (rank + ranks // 2) % ranks
    near = (rank - ranks // 2) % ranks
    incoming = torch.empty_like(tensor)
    for work in dist.batch_isend_irecv(
        [dist.P2POp(dist.isend, tensor, far), dist.P2POp(dist.irecv, incoming, near)]
    ):
        work.wait()


def _timed(kind: str, tensor: torch.Tensor, rank: int, ranks: int, iterations: int) -> float:
    """Return seconds an operation, the slowest rank's."""

    def once() -> None:
        if kind == "all_reduce":
            dist.all_reduce(tensor)
        else:
            _exchange(tensor, rank, ranks)

    def settle() -> None:
        if tensor.is_cuda:
            torch.cuda.synchronize()

    for _ in range(3):
        once()
    settle()
    dist.barrier()
    begin = time.perf_counter()
    for _ in range(iterations):
        once()
    settle()
    took = torch.tensor([(time.perf_counter() - begin) / iterations], device=tensor.device)
    dist.all_reduce(took, op=dist.ReduceOp.MAX)
    return float(took.item())


def main() -> None:
    given = _arguments()
    if given.limit_s:
        faulthandler.dump_traceback_later(given.limit_s, exit=True)
    cuda = given.backend == "nccl"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(given.backend)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    if rank == 0:
        version = ".".join(map(str, torch.cuda.nccl.version())) if cuda else given.backend
        print(json.dumps({"ranks": ranks, "nccl": version}), flush=True)  # noqa: T201 - the answer
    size, spent = given.smallest, 0.0
    while size <= given.largest and spent * _GROWTH <= given.seconds:
        spent = 0.0
        tensor = torch.ones(size // 4, dtype=torch.float32, device=device)
        for kind, factor in (("all_reduce", 2 * (ranks - 1) / ranks), ("send_recv", 1.0)):
            tensor.fill_(1.0)
            seconds = _timed(kind, tensor, rank, ranks, given.iterations) if ranks > 1 else 0.0
            spent += seconds * given.iterations  # the slowest rank's: all of them end together
            point = {
                "collective": kind,
                "size_bytes": size,
                "time_us": round(seconds * 1e6, 2),
                "busbw_gb_s": round(size * factor / seconds / 1e9, 3) if seconds else 0.0,
            }
            if rank == 0:
                print(json.dumps(point), flush=True)  # noqa: T201 - the answer
        size *= _GROWTH
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
