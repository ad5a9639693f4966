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
    root = builder.unpack(digest, store_dir())
    for folder in ("up", "work", "root"):
        (work / folder).mkdir(parents=True)
    program = INSIDE.format(
        environment=shlex.join(environment), user=user, command=shlex.join(command)
    )
    return subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", program, "sh", root, work],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
