"""Images built again where everything is different but the lock: the same digests."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from images import builder
from images.builder import declaration, lock_model
from images.builder.store import Store
from remote.errors import RackformError
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


def test_a_version_that_the_mirrors_dropped_is_replaced_alone_on_a_fresh_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caddy is locked to a version that never was; the machine's own mirrors are asked."""
    shutil.copytree(ROOT / "images" / "edge", tmp_path / "images" / "edge")
    monkeypatch.setattr(declaration, "IMAGES", tmp_path / "images")
    store = tmp_path / "store"
    lock = builder.locked("edge", "default")
    assert lock
    gone = [
        package.model_copy(update={"version": "2.6.2-0.1", "sha256": "0" * 64})
        if package.name == "caddy" else package
        for package in lock.debian
    ]  # fmt: skip
    lock_model.write(
        declaration.load("edge", "default"), lock.model_copy(update={"debian": gone}), Store(store)
    )
    with pytest.raises(RackformError) as refused:
        builder.build("edge", "default", store, print)
    assert "no mirror has these packages of image edge any more: caddy 2.6.2-0.1" in str(
        refused.value
    )
    assert "'./rackform lock edge'), which would change: debian/caddy 2.6.2-0.1 → " in str(
        refused.value
    )
    warned: list[str] = []
    sources = builder.Sources(locks=tmp_path / "state" / "locks", warn=warned.append)
    built = builder.build("edge", "default", store, print, sources)
    assert len(warned) == 1
    assert "goes on with a lock of its own" in warned[0]
    (changed,) = re.findall(r"changes: (.*)", warned[0])
    assert re.fullmatch(r"debian/caddy 2\.6\.2-0\.1 → \S+", changed)
    expected = builder.expected("edge", "default", store, sources)
    assert expected.digest == built.digest
    assert builder.build("edge", "default", store, warned.append, sources).digest == built.digest
    assert len(warned) == 1
