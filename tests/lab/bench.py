"""Containers' parts run without Docker: in a network of their own, on overlays of their image."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from remote.container_spec import TRUSTED, ContainerParts

_RUN = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root"
mount --rbind /dev "$2/root/dev"; mount -t proc proc "$2/root/proc"
{mounts}
exec env -i PATH=/usr/bin:/bin LANG=C.UTF-8 {environment} \\
  /usr/sbin/chroot --userspec={user} "$2/root" {command}
"""


@dataclass
class Bench:
    """A network namespace in which the site's addresses are all local."""

    image: Path
    """Root file system of the monitoring image."""
    work: Path
    addresses: Sequence[str]
    namespace: str = f"rfbench{os.getpid()}"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._ip("netns", "add", self.namespace)
        self._ip("-n", self.namespace, "link", "set", "lo", "up")
        for address in self.addresses:
            self._ip("-n", self.namespace, "addr", "add", f"{address}/32", "dev", "lo")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._ip("netns", "del", self.namespace)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def start(self, name: str, parts: ContainerParts) -> None:
        """Run a container's program as Docker would: its files, its folders, its user."""
        work = self.work / name
        for folder in ("up", "work", "root"):
            (work / folder).mkdir(parents=True)
        user = parts.user or "0:0"
        owner = [int(number) for number in user.split(":")]
        for path, file in parts.files.items():
            target = work / "up" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content, encoding="utf-8")
            target.chmod(file.mode)
            os.chown(target, *owner)
        program = _RUN.format(
            mounts="\n".join(self._mounts(work, parts, owner)),
            environment=shlex.join(f"{key}={value}" for key, value in parts.environment.items()),
            user=user,
            command=shlex.join(parts.command),
        )
        inside = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            program,
            "sh",
        ]
        self._spawn(name, [*inside, str(self.image), str(work)])

    def _mounts(self, work: Path, parts: ContainerParts, owner: list[int]) -> list[str]:
        """Host's folders of a container are folders of the bench; `/…` itself is the machine's."""
        lines = []
        for mount in parts.mounts:
            kept = mount.source.startswith("/var/lib/rackform") or mount == TRUSTED
            source = self.folder(mount.source) if kept else Path(mount.source)
            if kept and not mount.read_only:
                os.chown(source, *owner)
            (work / "up" / mount.target.lstrip("/")).mkdir(parents=True, exist_ok=True)
            at = f'"$2/root{mount.target}"'
            lines.append(f"mount --bind {shlex.quote(str(source))} {at}")
        return lines

    def folder(self, path: str) -> Path:
        """Return what stands for a folder of the host's."""
        made = self.work / "host" / path.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def script(self, name: str, text: str, *arguments: str) -> None:
        """Run a Python program of the test's."""
        self._spawn(name, [sys.executable, "-c", text, *arguments])

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        with (self.work / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *command],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def get(self, url: str) -> str:
        """Ask something in the bench."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, "curl", "-sf", "--max-time", "5", url],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def log(self) -> str:
        logs = sorted(self.work.glob("*.log"))
        return "\n".join(f"{log.stem}: {log.read_text()[-800:]}" for log in logs)


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Return how long it took, in seconds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(1)
    return time.monotonic() - began
