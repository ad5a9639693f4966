"""A Ray cluster of the serving image: a head and workers, each in namespaces of its own."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from remote.container_spec import ContainerParts
from serving import ray_node
from tests.lab.rooted import start_inside

T = TypeVar("T")
TOKEN = "token-of-the-test-cluster-" + "x" * 16
ADDRESSES = {"head": "10.75.1.1", "w1": "10.75.1.2", "w2": "10.75.1.3"}
PREFIX = "ray-test-"
CLONE_NEWNET = 0x40000000
MORE = ("PYTHONPATH=/data", "RAY_memory_monitor_refresh_ms=0")


class RootedRay:
    """Nodes by name; `here` runs something in the network of the head."""

    def __init__(self, digest: str, work: Path, files: Mapping[str, str]) -> None:
        self._digest, self._work, self._files = digest, work, files
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment: list[str] = []

    def start(self, name: str) -> None:
        """Start a node as its container would be started, but with no Redis behind the head."""
        node = ray_node.RayNode(
            address=ADDRESSES[name],
            token=TOKEN,
            cpus=0 if name == "head" else 1,
            object_store_bytes=80_000_000,
        )
        if name == "head":
            parts = ray_node.ray_head(node, redis_address="", redis_password="")
            command = [*parts.command[:2], *parts.command[parts.command.index("--") :]]
        else:
            parts = ray_node.ray_worker(node, head_address=ADDRESSES["head"])
            command = parts.command
        work = self._work / name
        self._lay(work, parts)
        told = {key: value for key, value in parts.environment.items() if key != _REDIS}
        self._environment = [*(f"{key}={value}" for key, value in told.items()), *MORE]
        self._nodes[name] = start_inside(
            self._digest, work, command, self._environment, network=f"{PREFIX}{name}"
        )

    def _lay(self, work: Path, parts: ContainerParts) -> None:
        files = {path: file.content for path, file in parts.files.items()}
        for path, content in {**files, **self._files}.items():
            target = work / "up" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)

    def inside(self, name: str, command: Sequence[str]) -> str:
        """Run a command where a node's processes are, as `docker exec` does."""
        outer = self._nodes[name].pid
        (first,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        done = subprocess.run(
            ["nsenter", f"--target={first}", "--mount", "--net", "--pid", "--root", "--wd",
             "env", "-i", "PATH=/opt/venv/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/data",
             *self._environment, *command],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self._work / name / "log").read_text(errors="replace")[-3000:]

    def here(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread that is in the head's network."""
        with ThreadPoolExecutor(1, initializer=_enter) as pool:
            return pool.submit(work).result()

    def stop(self, name: str) -> None:
        """End all of a node's processes at once, as a power cut does; its files stay."""
        node = self._nodes.pop(name)
        node.kill()
        node.wait(timeout=30)

    def stop_all(self) -> None:
        for name in [*self._nodes]:
            self.stop(name)


_REDIS = "RAY_REDIS_ADDRESS"


def _enter() -> None:
    """Move this thread, and none else of the process, into the head's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{PREFIX}head", os.O_RDONLY)
    try:
        if libc.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the head's network can't be entered")
    finally:
        os.close(handle)


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """Join a network namespace for each node by a bridge in the head's."""
    head = f"{PREFIX}head"
    try:
        for name in ADDRESSES:
            _ip("netns", "add", f"{PREFIX}{name}")
            _ip("-n", f"{PREFIX}{name}", "link", "set", "lo", "up")
        _ip("-n", head, "link", "add", "fab0", "type", "bridge")
        for name in ("w1", "w2"):
            _ip("-n", head, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "fab0",
                "netns", f"{PREFIX}{name}")  # fmt: skip
            _ip("-n", head, "link", "set", f"to-{name}", "master", "fab0", "up")
        for name, address in ADDRESSES.items():
            _ip("-n", f"{PREFIX}{name}", "addr", "add", f"{address}/24", "dev", "fab0")
            _ip("-n", f"{PREFIX}{name}", "link", "set", "fab0", "up")
        yield
    finally:
        for name in ADDRESSES:
            _ip("netns", "del", f"{PREFIX}{name}")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
