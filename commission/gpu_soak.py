"""Runs inside the serving image: every given GPU multiplies matrices for some seconds.

Prints one JSON object a GPU at the end. A round's result is compared with the first one's bit by
bit: the same kernel on the same numbers gives the same result, or the GPU computes wrong.
"""

import argparse
import json
import threading
import time

import torch

_SIDE = 8192
_ROUND = 50


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--gpus", default="0", help="numbers with commas between")
    parser.add_argument("--side", type=int, default=_SIDE, help="of the matrices")
    return parser.parse_args()


def _work(gpu: int, side: int, seconds: float, found: dict[int, dict[str, float]]) -> None:
    device = torch.device("cuda", gpu)
    torch.cuda.set_device(device)
    generator = torch.Generator(device=device).manual_seed(gpu)
    left, right = (
        torch.randn(side, side, device=device, dtype=torch.float16, generator=generator)
        for _ in range(2)
    )
    first = left @ right
    product = torch.empty_like(first)
    torch.cuda.synchronize(device)
    begin = window = time.monotonic()
    rounds, since, errors, lowest = 0, 0, 0, 0.0
    while time.monotonic() - begin < seconds:
        for _ in range(_ROUND):
            torch.mm(left, right, out=product)
        errors += int(not torch.equal(product, first))  # waits for the GPU
        rounds, since = rounds + 1, since + 1
        took = time.monotonic() - window
        if took >= 1:
            rate = since * _ROUND * 2 * side**3 / took / 1e12
            lowest = rate if not lowest else min(lowest, rate)
            window, since = time.monotonic(), 0
    took = time.monotonic() - begin
    rate = rounds * _ROUND * 2 * side**3 / took / 1e12
    found[gpu] = {
        "gpu": gpu,
        "seconds": round(took, 1),
        "tflop_s": round(rate, 1),
        "lowest_tflop_s": round(lowest or rate, 1),
        "errors": errors,
    }


def main() -> None:
    given = _arguments()
    gpus = [int(number) for number in given.gpus.split(",")]
    found: dict[int, dict[str, float]] = {}
    threads = [
        threading.Thread(target=_work, args=(gpu, given.side, given.seconds, found)) for gpu in gpus
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for gpu in gpus:
        if gpu in found:
            print(json.dumps(found[gpu]), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
