"""NVIDIA's driver in a site: which kernel modules and which manager each node's GPUs need."""

import copy
from typing import Any

import pytest

from components.hardware import brings_toolkit, nvidia_driver, stand_in_driver
from stack.driver import Modules, modules_for, modules_in
from stack.load import load_site
from tests.unit.site_examples import only_error, real
from tests.unit.sites import changed

OPEN, CLOSED = Modules.OPEN, Modules.CLOSED
DRIVER = {
    "driver_version": "580.159.04",
    "packages": {
        "nvidia-open": "580.159.04-1",
        "cuda-drivers": "580.159.04-1",
        "nvidia-container-toolkit": "1.18.0-1",
    },
}


def driver(*left_out: str, **more: str) -> dict[str, Any]:
    declared: dict[str, Any] = copy.deepcopy(DRIVER)
    for name in left_out:
        del declared["packages"][name]
    return {**declared, **more}


def installed(raw: dict[str, object], name: str) -> dict[str, str]:
    site = load_site(raw)
    gpus = site.nodes[name].gpus
    assert site.nvidia
    assert gpus
    packages: Any = nvidia_driver(site, site.nvidia, gpus)["packages"]
    return dict(packages)


BY_SYSTEM: dict[str, Any] = {
    "driver_version": "580.159.04",
    "systems": {
        "debian-12": {"packages": DRIVER["packages"]},
        "ubuntu-24.04": {
            "packages": {
                "nvidia-open": "580.159.04-0ubuntu0.24.04.1",
                "nvidia-container-toolkit": "1.18.0-1",
            },
        },
    },
}


def by_system(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BY_SYSTEM), **more}


def test_packages_can_be_given_by_system_and_each_node_is_told_all_that_fit_its_gpus() -> None:
    site = load_site(real({"nvidia": by_system()}))
    assert site.nvidia
    gpus = site.nodes["w1"].gpus
    assert gpus
    told: Any = nvidia_driver(site, site.nvidia, gpus)
    assert "packages" not in told
    assert told["systems"] == {
        "debian-12": {
            "packages": {"nvidia-open": "580.159.04-1", "nvidia-container-toolkit": "1.18.0-1"}
        },
        "ubuntu-24.04": BY_SYSTEM["systems"]["ubuntu-24.04"],
    }
    assert brings_toolkit(site)


def test_packages_are_given_once_for_all_systems_or_by_system() -> None:
    both = real({"nvidia": by_system(packages={"nvidia-open": "580.159.04-1"})})
    assert only_error(both) == (
        'nvidia.systems = ["debian-12", "ubuntu-24.04"], but nvidia.packages is there, too, and a '
        "package has one version on a node: keep one"
    )
    neither = real({"nvidia": {"driver_version": "580.159.04"}})
    assert only_error(neither).startswith("nvidia.packages is missing, and so is nvidia.systems")
    unknown = by_system()
    unknown["systems"]["fedora-41"] = unknown["systems"].pop("debian-12")
    assert "fedora-41" in only_error(real({"nvidia": unknown}))


def test_what_is_wrong_with_one_system_s_packages_is_told_with_its_path() -> None:
    old = real({"nvidia": by_system(), "nodes.w1.gpus.model": "v100-32"})
    where = 'nvidia.systems["ubuntu-24.04"]'
    assert f"nodes.w1.gpus.model = v100-32, but {where}.packages has the open" in only_error(old)
    eight = {"nodes.w1.gpus": {"count": 8, "model": "h200", "link": "nvlink4"}}
    one = by_system(fabric_manager="580.159.04-1")
    one["systems"]["ubuntu-24.04"]["fabric_manager"] = "570.1-1"
    assert f"{where}.fabric_manager = 570.1-1, but" in only_error(real({"nvidia": one, **eight}))
    one["systems"]["ubuntu-24.04"]["fabric_manager"] = "580.159.04-0ubuntu0.24.04.1"
    site = load_site(real({"nvidia": one, **eight}))
    assert site.nvidia
    gpus = site.nodes["w1"].gpus
    assert gpus
    told: Any = nvidia_driver(site, site.nvidia, gpus)["systems"]
    assert [each["fabric_manager"] for each in told.values()] == [
        "580.159.04-1",
        "580.159.04-0ubuntu0.24.04.1",
    ]


def test_a_twin_s_node_gets_what_its_own_system_gets_or_else_what_the_first_does() -> None:
    def offered(nvidia: dict[str, Any]) -> str:
        told: Any = stand_in_driver(load_site(changed("lab", "nvidia", nvidia)), "w1")
        return str(told["packages"]["nvidia-open"])

    declared = by_system()
    assert offered(declared) == "580.159.04-1"
    del declared["systems"]["debian-12"]
    assert offered(declared) == "580.159.04-0ubuntu0.24.04.1"


@pytest.mark.parametrize(
    ("model", "modules"),
    [
        ("rtx-4090", {OPEN, CLOSED}),
        ("h200", {OPEN, CLOSED}),
        ("gtx-1660-super", {OPEN, CLOSED}),
        ("rtx-5090", {OPEN}),
        ("b200", {OPEN}),
        ("v100-sxm2-16gb", {CLOSED}),
        ("gtx-1080-ti", {CLOSED}),
        ("p6000", {CLOSED}),
        (None, {OPEN, CLOSED}),
    ],
)
def test_a_gpu_model_tells_which_modules_drive_it(model: str | None, modules: set[Modules]) -> None:
    assert modules_for(model) == modules


@pytest.mark.parametrize(
    ("package", "modules"),
    [
        *((name, OPEN) for name in ("nvidia-open", "nvidia-open-580", "nvidia-kernel-open-dkms")),
        *((name, OPEN) for name in ("nvidia-driver-580-open", "nvidia-driver-580-server-open")),
        *((name, CLOSED) for name in ("cuda-drivers", "cuda-drivers-580", "nvidia-kernel-dkms")),
        *((name, CLOSED) for name in ("nvidia-driver-580", "nvidia-headless-580-server")),
        *((name, None) for name in ("nvidia-driver", "nvidia-container-toolkit", "nvidia-utils")),
    ],
)
def test_a_package_tells_which_modules_it_brings(package: str, modules: Modules | None) -> None:
    assert modules_in(package) == modules


def test_a_site_of_two_generations_gives_each_node_the_modules_that_drive_its_gpus() -> None:
    mixed = real({"nvidia": driver(), "nodes.w1.gpus.model": "v100-32"})
    assert set(installed(mixed, "w1")) == {"cuda-drivers", "nvidia-container-toolkit"}
    assert set(installed(mixed, "w2")) == {"nvidia-open", "nvidia-container-toolkit"}


def test_modules_that_do_not_drive_a_node_s_gpus_are_refused() -> None:
    old = real({"nvidia": driver("cuda-drivers"), "nodes.w1.gpus.model": "v100-32"})
    assert "nodes.w1.gpus.model = v100-32, but nvidia.packages has the open" in only_error(old)
    new = real({"nvidia": driver("nvidia-open"), "nodes.w1.gpus.model": "b200"})
    assert "declare nvidia-open there, too" in only_error(new)


def test_nvswitch_without_fabric_manager_is_refused() -> None:
    eight = {"nodes.w1.gpus.count": 8, "nodes.w1.gpus.link": "nvlink4"}
    said = only_error(real({"nvidia": driver(), **eight}))
    assert "nvidia.fabric_manager is missing, but the GPUs of w1 are joined by NVSwitch" in said
    load_site(real({"nvidia": driver(fabric_manager="580.159.04-1"), **eight}))
    # an old board of eight is joined without one
    load_site(real({"nvidia": driver(), **eight, "nodes.w1.gpus.link": "nvlink2"}))
