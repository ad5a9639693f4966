"""Images built again where everything is different but the lock: the same digests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.paths import ROOT

pytestmark = pytest.mark.root

DIGESTS: dict[str, str] = json.loads(
    (ROOT / "tests/golden/images/digests.json").read_text(encoding="utf-8")
)
_SMALL = ("edge", "redis", "registry")


@pytest.fixture(scope="module")
def another_year(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which programs read a clock that is years ahead."""
    folder = tmp_path_factory.mktemp("faketime")
    folder.chmod(0o755)
    subprocess.run(["apt-get", "download", "--quiet", "libfaketime"], cwd=folder, check=True)
    (deb,) = folder.glob("libfaketime_*.deb")
    subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    (library,) = folder.rglob("libfaketime.so.1")
    return {"LD_PRELOAD": str(library), "FAKETIME": "+2500d", "NO_FAKE_STAT": "1"}


@pytest.mark.parametrize("image", _SMALL)
def test_an_image_is_the_same_in_another_year_folder_time_zone_locale_and_umask(
    image: str, another_year: dict[str, str], tmp_path: Path
) -> None:
    store = tmp_path / "an other store"
    year = subprocess.run(
        ["date", "+%Y"], env=os.environ | another_year, capture_output=True, text=True, check=True
    ).stdout
    assert int(year) > 2030
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "build", image, "--json"],
        cwd=tmp_path,
        env={
            **os.environ, **another_year, "PYTHONPATH": str(ROOT), "RACKFORM_STORE": str(store),
            "TZ": "Pacific/Kiritimati", "LC_ALL": "POSIX", "TMPDIR": str(tmp_path),
            "PYTHONHASHSEED": "7",
        },
        umask=0o077, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert not any(layer["cached"] for layer in report["layers"])
    assert report["digest"] == DIGESTS[f"{image}/default"]


_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=$1 tmpfs "$2"
shift 2
"$@"; echo "first $?"
mount -o remount,size=600m tmpfs "$RACKFORM_STORE"
"$@"; echo "then $?"
"""


@pytest.mark.parametrize("size", ["3m", "70m", "90m"])
def test_a_disk_that_fills_up_is_told_and_a_larger_one_is_built_on(
    size: str, tmp_path: Path
) -> None:
    """The disk is too small for the packages, or fills while a layer is put together."""
    store = tmp_path / "store"
    store.mkdir()
    build = [sys.executable, "-P", "-m", "cli", "build", "redis"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _ON_A_SMALL_DISK, "sh", size, store, *build],
        env=os.environ | {"PYTHONPATH": str(ROOT), "RACKFORM_STORE": str(store)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["first", "1", "then", "0"], done.stderr
    assert f"the disk of {store} is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert DIGESTS["redis/default"] in done.stderr
