"""The shell scripts themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    "rackform",
    "engine/build",
    "engine/apt-install",
    "engine/install-command-plugin",
    "engine/python",
    "engine/lib.sh",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_dash_reads_it(script: str) -> None:
    subprocess.run(["/bin/sh", "-n", ROOT / script], check=True)


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_what_is_run_is_executable() -> None:
    for script in SCRIPTS[:-1]:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_every_pinned_package_has_a_hash() -> None:
    for name in ("", "-bootstrap", "-go", "-test"):
        lines = (ROOT / f"requirements{name}.txt").read_text().replace("\\\n", " ").splitlines()
        pinned = [line for line in lines if line.strip() and not line.startswith("#")]
        assert pinned
        assert all("==" in line and "--hash=sha256:" in line for line in pinned)
