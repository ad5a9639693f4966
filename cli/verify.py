"""Runs `tests/hosts` against the machines of one stack."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from remote.private_file import write_private
from stack.expectations import Expectations
from stack.paths import ROOT, state_dir


def verify(expectations: Expectations, *options: str) -> int:
    """Verify the hosts with pytest-testinfra and return pytest's exit status.

    The expectations travel in a file that only this user reads, since they hold the API key.
    """
    state_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state_dir(), prefix="verify-") as folder:
        file = Path(folder, "expectations.json")
        write_private(file, expectations.model_dump_json())
        return subprocess.run(
            [sys.executable, "-m", "pytest", ROOT / "tests" / "hosts", "-p", "no:cacheprovider",
             "-p", "no:randomly", "--quiet", "--no-header", *options],
            cwd=ROOT,
            env={**os.environ, "RACKFORM_EXPECTATIONS": str(file)},
            check=False,
        ).returncode  # fmt: skip
