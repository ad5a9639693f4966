"""Runs programs out of an unpacked root file system, with that system's own libraries.

So the builder's results depend on locked packages, never on the compilers or Python of the machine,
and no chroot is needed.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from remote.errors import RackformError

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
TIMEOUT_S = 900


class Toolbox:
    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs `usr/bin/<program>` of the root."""
        return [
            str(self.root / LOADER),
            "--library-path",
            str(self.root / LIBRARIES),
            str(self.root / "usr/bin" / program),
            *arguments,
        ]

    def run(
        self,
        program: str,
        *arguments: str,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        done = subprocess.run(
            self.command(program, *arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", **(environment or {})},
        )
        if done.returncode:
            last = done.stderr.strip()[-500:]
            raise RackformError(f"the builder's {program} failed ({done.returncode}): {last}")
        return done.stdout
