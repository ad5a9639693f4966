"""The repository of packages with NVIDIA's names that a twin's host is offered."""

import subprocess
from pathlib import Path

import pytest

from lab import deb, stand_ins
from lab.spec import StandInDriver

DRIVER = StandInDriver(
    driver_version="580.159.04",
    packages={
        "nvidia-open": "580.159.04-1",
        "nvidia-container-toolkit": "1.18.0-1",
        "nvidia-fabricmanager-580": "580.159.04-1",
    },
)


def repository(root: Path) -> Path:
    return root / stand_ins.REPOSITORY


def told(*command: object) -> str:
    argv = [str(word) for word in command]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def field(path: Path, name: str) -> str:
    return told("dpkg-deb", "--field", path, name).strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    stand_ins.lay(tmp_path, [DRIVER])
    return tmp_path


def test_dpkg_reads_each_package_with_its_version_and_that_it_is_a_stand_in(root: Path) -> None:
    found = {field(path, "Package"): path for path in repository(root).glob("*.deb")}
    assert {name: field(path, "Version") for name, path in found.items()} == DRIVER.packages
    for name, path in found.items():
        assert field(path, "Description").startswith(f"stand-in of {name} for a twin")


def test_one_package_has_the_driver_and_fabric_manager_its_own(root: Path) -> None:
    programs = {}
    for path in repository(root).glob("*.deb"):
        listed = told("dpkg-deb", "--contents", path).splitlines()
        programs[field(path, "Package")] = [line.split()[5] for line in listed if "bin/n" in line]
    assert programs == {
        "nvidia-open": ["./usr/bin/nvidia-smi"],
        "nvidia-container-toolkit": [],
        "nvidia-fabricmanager-580": ["./usr/bin/nv-fabricmanager"],
    }


def test_the_index_has_each_packages_size_and_place(root: Path) -> None:
    index = (repository(root) / "Packages").read_text()
    for path in repository(root).glob("*.deb"):
        assert f"Filename: ./{path.name}\nSize: {path.stat().st_size}\n" in index
    assert "[trusted=yes] file:/srv/rackform-stand-ins" in (root / stand_ins.SOURCE).read_text()


def test_another_version_takes_the_place_of_the_one_before(root: Path) -> None:
    other = StandInDriver(driver_version="590.10", packages={"nvidia-open": "1:590.10-1"})
    stand_ins.lay(root, [other])
    assert [path.name for path in repository(root).glob("*.deb")] == [
        "nvidia-open_1_590.10-1_all.deb"
    ]


def test_without_a_driver_nothing_is_offered(root: Path) -> None:
    stand_ins.lay(root, [])
    stand_ins.lay(root, [])
    assert not repository(root).exists()
    assert not (root / stand_ins.SOURCE).exists()


def test_the_driver_is_in_the_package_of_its_version_else_in_the_first() -> None:
    mixed = {"a-toolkit": "1.18-1", "cuda-drivers": "580.159.04-1", "nvidia-open": "580.159.04-1"}
    assert stand_ins.carries(DRIVER.model_copy(update={"packages": mixed})) == "cuda-drivers"
    assert stand_ins.carries(DRIVER.model_copy(update={"packages": {"meta": "1-1"}})) == "meta"


def test_the_same_files_give_the_same_package() -> None:
    files: dict[str, deb.File | deb.Link] = {
        "usr/share/x": deb.File(b"odd"),
        "usr/share/y": deb.Link("x"),
    }
    assert deb.package({"Package": "x"}, files) == deb.package({"Package": "x"}, files)
