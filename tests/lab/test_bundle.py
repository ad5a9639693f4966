"""A bundle: the same bits each time, and a stack that comes up from it without any network."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import twin as twins
from lab.layout import Twin
from stack.paths import state_dir, store_dir
from tests.lab.appliance import rackform

pytestmark = [pytest.mark.root, pytest.mark.timeout(2400)]

OFFLINE = """
set -e
ip link set lo up
test -z "$(ip route)"
./rackform up --from-bundle "$1" --json
./rackform chat 'What is the capital of France?'
./rackform verify
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("bundle") / "lab.tar"
    done = rackform("bundle", str(path))
    assert done.status == 0, done.text
    yield path
    path.unlink()


@pytest.fixture
def elsewhere(bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """Give the checkout that is in the bundle, as on a machine that has nothing else."""
    if twins.status(Twin(state_dir(), store_dir())).nodes:
        pytest.skip("this checkout's twin is up, and a machine has one: './rackform down' first")
    subprocess.run(["tar", "-xf", bundle, "-C", tmp_path, "checkout"], check=True)
    yield tmp_path / "checkout"
    for folder in ("checkout", "home"):  # gigabytes, which pytest would keep for a while
        shutil.rmtree(tmp_path / folder, ignore_errors=True)


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of this machine's caches is found."""
    home.mkdir(exist_ok=True)
    return {
        "HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PIP_NO_CACHE_DIR": "1",
        "UV_CACHE_DIR": str(home / "uv"), "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"),
    }  # fmt: skip


def test_a_bundle_made_twice_is_the_same(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    done = rackform("bundle", str(again))
    assert done.status == 0, done.text
    same = subprocess.run(["cmp", bundle, again], capture_output=True, text=True, check=False)
    again.unlink()
    assert same.returncode == 0, same.stdout
    with tarfile.open(bundle) as tar:
        names = tar.getnames()
    assert names[:2] == ["bundle.json", "SHA256SUMS"]
    assert {name.split("/")[0] for name in names[2:]} == {
        "checkout", "debs", "engine", "store", "wheels",
    }  # fmt: skip


def test_a_damaged_bundle_is_refused_by_the_name_of_what_is_damaged(
    bundle: Path, elsewhere: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.tar"
    subprocess.run(["cp", "--reflink=auto", bundle, broken], check=True)
    with tarfile.open(broken) as tar:
        member = next(each for each in tar if each.name.startswith("wheels/"))
        where = member.offset_data + member.size // 2
    with broken.open("r+b") as file:
        file.seek(where)
        byte = file.read(1)
        file.seek(where)
        file.write(bytes([byte[0] ^ 1]))
    done = subprocess.run(
        ["./rackform", "up", "--from-bundle", str(broken)],
        cwd=elsewhere, env=environment(tmp_path / "home"), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    broken.unlink()
    assert done.returncode == 1
    assert f"{member.name}: FAILED" in done.stderr
    assert "was damaged" in done.stderr


def test_a_stack_comes_up_from_a_bundle_in_a_namespace_without_any_route(
    bundle: Path, elsewhere: Path, tmp_path: Path
) -> None:
    env = environment(tmp_path / "home")
    try:
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", OFFLINE, "sh", str(bundle)],
            cwd=elsewhere, env=env, capture_output=True, text=True, check=False, timeout=2000,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        assert "Paris" in done.stdout
        assert "making layer" not in done.stderr
        assert "downloading" not in done.stderr
    finally:
        subprocess.run(["./rackform", "down"], cwd=elsewhere, env=env, check=False)
