"""Start Ray inside its container: after the head, with no secret in any process list.

ray_start.py [--wait-for HOST:PORT] [--redis-password-file FILE] -- arguments of `ray start`
"""

import argparse
import glob
import importlib
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

WAIT_S = 300
GFLAG = "--redis_password="


def clean_shared_memory() -> None:
    """Remove the message queues of engines that died; nothing of ours runs yet."""
    for path in glob.glob("/dev/shm/psm_*"):  # noqa: PTH207, S108 - the one place where vLLM keeps them
        os.unlink(path)  # noqa: PTH108


def wait_for(address: str) -> None:
    """Return when the head's control store answers; exit where it does not, to be restarted."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    sys.exit(f"the Ray head at {address} did not answer within {WAIT_S} s: is its container up?")


def hide_redis_password(file: str) -> None:
    """Give Redis' password to the control store by a file of flags, and to no other process.

    Ray 2.60 writes it into the arguments of gcs_server and of every worker. Only gcs_server uses
    it, and reads `--flagfile` as any program with gflags.
    """
    services: Any = importlib.import_module("ray._private.services")

    start_process, start_raylet = services.start_ray_process, services.start_raylet

    def start_hidden(command: list[str], *args: object, **options: object) -> object:
        shown = [f"--flagfile={file}" if a.startswith(GFLAG) else a for a in command]
        return start_process(shown, *args, **options)

    def start_without(*args: object, **options: object) -> object:
        return start_raylet(*args, **{**options, "redis_password": None})

    services.start_ray_process = start_hidden
    services.start_raylet = start_without


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wait-for")
    parser.add_argument("--redis-password-file")
    parser.add_argument("start", nargs="*")
    chosen = parser.parse_args(arguments)
    clean_shared_memory()
    if chosen.wait_for:
        wait_for(chosen.wait_for)
    cli = importlib.import_module("ray.scripts.scripts").cli
    start = ["start", *chosen.start]
    if chosen.redis_password_file:
        hide_redis_password(chosen.redis_password_file)
        with open(chosen.redis_password_file) as file:  # noqa: PTH123
            start += ["--redis-password", file.read().strip().removeprefix(GFLAG)]
    cli(start)


if __name__ == "__main__":
    main(sys.argv[1:])
