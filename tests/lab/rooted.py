"""An image of the store as a root file system in which a test runs a command."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from images import builder
from stack.paths import store_dir

INSIDE = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root"
mount --rbind /dev "$2/root/dev"; mount -t proc proc "$2/root/proc"
mount -t sysfs sys "$2/root/sys"
ip link set lo up
exec env -i PATH=/opt/venv/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/data {environment} \\
  /usr/sbin/chroot --userspec={user} "$2/root" {command}
"""


def run_inside(  # noqa: PLR0913 - what a command is run with
    digest: str,
    work: Path,
    command: Sequence[str],
    environment: Sequence[str] = (),
    *,
    user: str = "0:0",
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command in an image, in namespaces of its own and without a network."""
    program = _program(digest, work, command, environment, user)
    return subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", *program],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def start_inside(
    digest: str, work: Path, command: Sequence[str], environment: Sequence[str], *, network: str
) -> subprocess.Popen[bytes]:
    """Start a command in an image and in a network namespace; all of it ends with the process.

    What it says is in `work`/log.
    """
    program = _program(digest, work, command, environment, "0:0")
    with (work / "log").open("wb") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", network, "unshare", "--mount", "--pid", "--fork",
             "--kill-child", *program],
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _program(
    digest: str, work: Path, command: Sequence[str], environment: Sequence[str], user: str
) -> list[str]:
    root = builder.unpack(digest, store_dir())
    for folder in ("up", "work", "root"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    program = INSIDE.format(
        environment=shlex.join(environment), user=user, command=shlex.join(command)
    )
    return ["sh", "-c", program, "sh", str(root), str(work)]
