"""Running the machine's own tools, and saying which Debian package a missing one is in."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from remote.errors import RackformError

PACKAGES = {
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "umount": "mount",
}

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
"""All that the twin's processes get: nothing of the caller's environment, which holds secrets."""


def missing_packages() -> list[str]:
    """Return the Debian packages whose tools aren't on this machine."""
    return sorted({pkg for tool, pkg in PACKAGES.items() if not shutil.which(tool, path=PATH)})


def require() -> None:
    """Refuse to go on where the twin can't be made: not root, or tools are missing."""
    if os.geteuid() != 0:
        raise RackformError(
            f"the twin needs root (this is uid {os.geteuid()}): it makes network namespaces and "
            "boots hosts; run the command as root"
        )
    if packages := missing_packages():
        raise RackformError(
            f"the twin needs the Debian packages {', '.join(packages)}: "
            f"run 'apt-get install {' '.join(packages)}'"
        )


def run(
    argv: Sequence[str | Path],
    *,
    purpose: str,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout_s: float = 60,
) -> str:
    """Run a tool and return what it printed.

    Raises:
        RackformError: it failed; the sentence says what it was for and the tool's own last line.

    """
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=ENVIRONMENT,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        package = PACKAGES.get(str(argv[0]), "its Debian package")
        raise RackformError(
            f"can't {purpose}: '{argv[0]}' is missing; install {package}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RackformError(
            f"can't {purpose}: '{argv[0]}' did not end within {timeout_s:.0f} s; "
            "see the kernel's log (dmesg) and try again"
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RackformError(
            f"can't {purpose}: '{argv[0]}' ended with status {done.returncode}: "
            f"{said[-1] if said else 'it said nothing'}"
        )
    return done.stdout


def remove_tree(path: Path) -> None:
    """Remove a folder, never going into another file system that is mounted below it."""
    if path.exists():
        run(
            ["rm", "-rf", "--one-file-system", "--", path],
            purpose=f"remove {path}",
            timeout_s=300,
        )
