"""NVIDIA's driver: refused before anything changes, pinned, held, and told when to reboot."""

import configparser
import copy
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from pyinfra.api.exceptions import OperationError
from pyinfra.context import ctx_host

from components.hardware import nvidia_driver, real_link
from pyinfra_deploys import registry
from pyinfra_deploys.operations.driver import (
    DriverField,
    Field,
    awaits_reboot,
    expect_a_clear_field,
    refresh_cdi,
    refresh_initramfs,
    tell_reboot,
)
from pyinfra_deploys.operations.exact_packages import (
    UPDATE,
    HeldPackages,
    Versioned,
    Versions,
    expect_none_newer,
    install_exact,
    of_other_branches,
)
from pyinfra_deploys.operations.facts import Unit, UnitState
from pyinfra_deploys.operations.packages import INSTALL, REPAIR
from pyinfra_deploys.operations.reboot import AskReboot
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.templating import render
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import load_site
from stack.schema import Site
from tests.unit.site_examples import only_error, real
from tests.unit.test_deploys_operations import RecordedHost, commands, told

DRIVER: dict[str, JsonValue] = {
    "packages": {"nvidia-open": "580.159.04-1", "nvidia-container-toolkit": "1.18.0-1"},
    "driver_version": "580.159.04",
}
PINNED = {"nvidia-open": "580.159.04-1"}


def installed(version: str, *, held: bool = True, newer: bool = False) -> dict[type, object]:
    versions = {"nvidia-open": Versioned(version, held=held, newer=newer)}
    return {Versions: versions, HeldPackages: {"nvidia-open", "linux-image-amd64"}}


def test_a_package_at_its_version_and_held_is_left_alone() -> None:
    assert told(install_exact, installed("580.159.04-1"), packages=PINNED) == []


def test_a_missing_package_is_installed_at_exactly_its_version_and_held() -> None:
    assert told(install_exact, {Versions: {}, HeldPackages: set()}, packages=PINNED) == [
        str(REPAIR),
        str(UPDATE),
        f"{INSTALL} --allow-change-held-packages nvidia-open=580.159.04-1",
        "apt-mark -q hold nvidia-open",
    ]


def test_an_older_version_is_upgraded_though_it_is_held() -> None:
    commands = told(install_exact, installed("570.86.15-1"), packages=PINNED)
    assert commands[2] == f"{INSTALL} --allow-change-held-packages nvidia-open=580.159.04-1"


def test_a_package_that_is_not_held_is_only_held() -> None:
    facts = installed("580.159.04-1", held=False)
    assert told(install_exact, facts, packages=PINNED) == ["apt-mark -q hold nvidia-open"]


def test_a_newer_version_is_refused_unless_going_back_is_allowed() -> None:
    facts = installed("590.1-1", newer=True)
    with pytest.raises(OperationError, match=r"nvidia-open 590.1-1 \(declared 580.159.04-1\)"):
        told(expect_none_newer, facts, packages=PINNED)
    assert told(expect_none_newer, installed("580.159.04-1"), packages=PINNED) == []
    commands = told(install_exact, facts, packages=PINNED)
    assert "--allow-downgrades nvidia-open=580.159.04-1" in commands[2]


MANAGER = {"nvidia-fabricmanager-580": "580.159.04-1"}


def other_branch(number: int, *, newer: bool) -> dict[type, object]:
    name = f"nvidia-fabricmanager-{number}"
    versions = {name: Versioned(f"{number}.1-1", held=True, newer=newer)}
    return {Versions: versions, HeldPackages: {name, "linux-image-amd64", "nvidia-open"}}


def test_a_held_package_of_another_branch_gives_way() -> None:
    commands = told(install_exact, other_branch(570, newer=False), packages=MANAGER)
    install = f"{INSTALL} --allow-change-held-packages"
    assert commands[2:] == [
        "apt-mark -q unhold nvidia-fabricmanager-570",
        f"{install} nvidia-fabricmanager-580=580.159.04-1 nvidia-fabricmanager-570-",
        "apt-mark -q hold nvidia-fabricmanager-580",
    ]


def test_a_newer_branch_is_refused_too_unless_going_back_is_allowed() -> None:
    facts = other_branch(590, newer=True)
    with pytest.raises(OperationError, match=r"nvidia-fabricmanager-590 590\.1-1 \(declared 580"):
        told(expect_none_newer, facts, packages=MANAGER)
    assert "--allow-downgrades" in told(install_exact, facts, packages=MANAGER)[3]


def test_versions_are_compared_by_this_machine_s_dpkg() -> None:
    wanted = {"bash": "0.1", "dpkg": "99:1", "no-such-package": "1"}
    script = Versions().command(wanted=wanted)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    found = Versions().process(done.stdout.splitlines())
    assert sorted(found) == ["bash", "dpkg"]
    assert found["bash"].newer
    assert not found["dpkg"].newer
    assert not found["bash"].held


def test_a_bare_machine_is_a_clear_field() -> None:
    script = DriverField().command()
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert isinstance(DriverField().process(done.stdout.splitlines()), Field)
    assert told(expect_a_clear_field, {DriverField: Field()}, signed_modules=False) == []


def test_a_held_kernel_is_found(tmp_path: Path) -> None:
    package = (
        "Package: {}\nStatus: {} ok installed\nVersion: 1\nArchitecture: amd64\nMaintainer: x\n"
    )
    wanted = {"linux-image-amd64": "hold", "linux-libc-dev": "install", "nvidia-open": "hold"}
    (tmp_path / "status").write_text("\n".join(package.format(*each) for each in wanted.items()))
    done = subprocess.run(
        ["sh", "-c", DriverField().command()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DPKG_ADMINDIR": str(tmp_path)},
    )
    found = DriverField().process(done.stdout.splitlines())
    assert found.held_kernels == ("linux-image-amd64",)


def test_what_a_host_tells_of_its_driver_is_read() -> None:
    lines = ["loaded 580.159.04", "secure-boot", "display Xorg", "held linux-image-amd64", "cdi"]
    assert DriverField().process(["boot 5b1c", *lines]) == Field(
        boot="5b1c",
        loaded="580.159.04",
        secure_boot=True,
        display=("Xorg",),
        held_kernels=("linux-image-amd64",),
        cdi=True,
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Field(run_file=True), "came from a .run file"),
        (Field(secure_boot=True), "Secure Boot is on"),
        (Field(display=("Xorg",)), "Xorg is running and would hold the GPU"),
        (Field(held_kernels=("linux-image-amd64",)), "linux-image-amd64 is held"),
    ],
)
def test_what_is_in_the_way_is_told_with_its_remedy(found: Field, said: str) -> None:
    with pytest.raises(OperationError) as error:
        told(expect_a_clear_field, {DriverField: found}, signed_modules=False)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "found",
    [
        Field(loaded="580.159.04", secure_boot=True, display=("Xorg",), held_kernels=("linux-x",)),
        Field(nouveau=True),
    ],
)
def test_a_driver_that_runs_already_and_nouveau_are_not_in_the_way(found: Field) -> None:
    assert told(expect_a_clear_field, {DriverField: found}, signed_modules=False) == []


def test_signed_modules_may_come_under_secure_boot() -> None:
    facts: dict[type, object] = {DriverField: Field(secure_boot=True)}
    assert told(expect_a_clear_field, facts, signed_modules=True) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Field(loaded="570.86.15"), "driver 570.86.15 is loaded, 580.159.04 is declared"),
        (Field(nouveau=True), "nouveau is loaded"),
        (Field(), "no driver is loaded"),
    ],
)
def test_a_preview_says_that_the_host_has_to_be_rebooted(found: Field, said: str) -> None:
    (line,) = told(tell_reboot, {DriverField: found}, driver_version="580.159.04")
    assert line.startswith("THIS HOST HAS TO BE REBOOTED")
    assert said in line


def test_a_reboot_is_asked_for_with_the_boot_that_has_to_end() -> None:
    facts: dict[type, object] = {DriverField: Field(boot="5b1c", loaded="570.86.15")}
    (command,) = commands(tell_reboot, facts, driver_version="580.159.04")
    assert isinstance(command, AskReboot)
    assert command.boot == "5b1c"


def test_what_talks_to_the_driver_is_only_enabled_until_the_reboot() -> None:
    stopped = UnitState(loaded=True, active=False, enabled=False, stale=False)
    facts: dict[type, object] = {Unit: stopped, DriverField: Field(loaded="570.86.15")}
    unit = "nvidia-fabricmanager.service"
    awaits = awaits_reboot("580.159.04")
    with ctx_host.use(RecordedHost(facts)):
        assert awaits()
    assert told(run_service, facts, unit=unit, at_boot_if=awaits, restart_if=lambda: True) == [
        f"systemctl enable -q {unit}"
    ]


def test_the_declared_driver_needs_no_reboot() -> None:
    facts: dict[type, object] = {DriverField: Field(loaded="580.159.04")}
    assert told(tell_reboot, facts, driver_version="580.159.04") == []


def test_the_boot_image_is_made_anew_only_when_nouveau_was_turned_off() -> None:
    assert told(refresh_initramfs, {}) == []
    assert told(refresh_initramfs, {}, refresh_if=lambda: True) == ["update-initramfs -u"]


@pytest.mark.parametrize(
    ("found", "changed", "due"),
    [
        (Field(), True, False),
        (Field(loaded="570.86.15", cdi=True), True, False),
        (Field(loaded="580.159.04"), False, True),
        (Field(loaded="580.159.04", cdi=True), False, False),
        (Field(loaded="580.159.04", cdi=True), True, True),
    ],
)
def test_gpus_are_described_to_containers_once_their_driver_is_loaded(
    found: Field,
    changed: bool,  # noqa: FBT001 - parameters of the table
    due: bool,  # noqa: FBT001
) -> None:
    due_now = told(
        refresh_cdi,
        {DriverField: found},
        driver_version="580.159.04",
        refresh_if=lambda: changed,
    )
    assert bool(due_now) is due


def test_the_unit_sets_the_power_limit_at_each_boot() -> None:
    unit: Any = configparser.RawConfigParser(strict=False)
    settings = registry.settings("nvidia_driver", {**DRIVER, "power_limit_w": 350})
    text = render("nvidia_driver", "rackform-gpu.service.j2", settings)
    unit.read_string(text)
    assert unit["Service"]["Type"] == "oneshot"
    assert "nvidia-smi -pm 1" in text
    assert "nvidia-smi -pl 350" in text
    assert "nvidia-ctk cdi generate" in text
    assert "-pl" not in render(
        "nvidia_driver", "rackform-gpu.service.j2", registry.settings("nvidia_driver", DRIVER)
    )


def test_the_unit_loads_what_udev_has_not_loaded_yet_and_peermem_where_a_card_takes_it() -> None:
    plain = render(
        "nvidia_driver", "rackform-gpu.service.j2", registry.settings("nvidia_driver", DRIVER)
    )
    # a condition of the unit itself would be asked before the driver is there, and skip the limit
    assert "Condition" not in plain.replace("ExecCondition=", "")
    assert "modprobe -q nvidia; test -e /proc/driver/nvidia/version" in plain
    assert "peermem" not in plain
    settings = registry.settings("nvidia_driver", {**DRIVER, "peermem": True})
    text = render("nvidia_driver", "rackform-gpu.service.j2", settings)
    assert "ExecStart=-/bin/sh -c 'modprobe -q nvidia-peermem'" in text


def test_the_repository_s_file_names_its_key() -> None:
    repository: dict[str, JsonValue] = {"uri": "https://example.org/debian12", "signing_key": "x"}
    settings = registry.settings("nvidia_driver", {**DRIVER, "repository": repository})
    filled = {"key": "/etc/apt/keyrings/k.asc", "uri": repository["uri"]}
    text = render("nvidia_driver", "nvidia.sources.j2", settings, **filled)
    assert text.splitlines()[1:] == [
        "Types: deb",
        "URIs: https://example.org/debian12",
        "Suites: /",
        "Signed-By: /etc/apt/keyrings/k.asc",
    ]


def test_fabric_manager_has_the_driver_s_version_or_is_refused() -> None:
    settings: Any = registry.settings("nvidia_driver", {**DRIVER, "fabric_manager": "580.159.04-1"})
    assert settings.exact["nvidia-fabricmanager-580"] == "580.159.04-1"
    with pytest.raises(RackformError, match="NVSwitch works only where both have the same"):
        registry.settings("nvidia_driver", {**DRIVER, "fabric_manager": "570.1-1"})


def test_later_branches_have_no_number_in_their_packages_names() -> None:
    later = {**DRIVER, "driver_version": "590.48.01", "fabric_manager": "590.48.01-1"}
    settings: Any = registry.settings("nvidia_driver", later)
    assert settings.exact["nvidia-fabricmanager"] == "590.48.01-1"
    held = {"nvidia-fabricmanager-580", "nvidia-driver-580-open", "libnvidia-container1"}
    declared = {"nvidia-fabricmanager": "590.48.01-1", "nvidia-driver-open": "590.48.01-1"}
    assert of_other_branches(declared, held) == {
        "nvidia-driver-580-open": "590.48.01-1",
        "nvidia-fabricmanager-580": "590.48.01-1",
    }
    named = {**later, "fabric_manager_package": "nvidia-fabricmanager-590"}
    distribution: Any = registry.settings("nvidia_driver", named)
    assert distribution.exact["nvidia-fabricmanager-590"] == "590.48.01-1"


NVIDIA = {"driver_version": "580.159.04", "packages": {"nvidia-open": "580.159.04-1"}}


def rig(**changes: object) -> Site:
    return load_site(
        real(
            {
                "nvidia": copy.deepcopy(NVIDIA),
                **{k.replace("__", "."): v for k, v in changes.items()},
            }
        )
    )


def declared(site: Site, name: str = "w1") -> dict[str, Any]:
    gpus = site.nodes[name].gpus
    assert site.nvidia
    assert gpus
    return dict(nvidia_driver(site, site.nvidia, gpus))


def test_the_site_s_driver_reaches_the_deploy_and_a_node_has_its_own_power_limit() -> None:
    site = rig(nvidia__power_limit_w=300, nodes__w1__gpus__power_limit_w=250)
    assert declared(site)["power_limit_w"] == 250
    assert declared(site, "w2")["power_limit_w"] == 300
    assert registry.settings("nvidia_driver", declared(site))


def test_fabric_manager_comes_only_to_hosts_with_nvswitch() -> None:
    site = rig(
        nvidia__fabric_manager="580.159.04-1",
        nodes__w1__gpus__count=8,
        nodes__w1__gpus__link="nvlink4",
    )
    assert declared(site)["fabric_manager"] == "580.159.04-1"
    assert "fabric_manager" not in declared(site, "w2")


def test_fabric_manager_of_another_version_is_refused_in_the_site() -> None:
    site = real({"nvidia": {**copy.deepcopy(NVIDIA), "fabric_manager": "570.1-1"}})
    assert "and NVSwitch needs both equal" in only_error(site)


def test_a_key_file_that_is_not_there_is_named() -> None:
    repository = {"uri": "https://example.org/deb", "key_file": "/nowhere/key.asc"}
    with pytest.raises(InputError, match=r"key_file = /nowhere/key.asc can't be read"):
        declared(rig(nvidia__repository=repository))


def test_a_real_host_is_told_its_card_and_its_fabric() -> None:
    roce = {"rdma": "roce", "roce": "lossy"}
    changes = {"fabric.link": roce, "nodes.w1.pci": "0000:17:00.0"}
    devices = {f"nodes.{name}.rdma_devices": ["mlx5_0"] for name in ("w1", "w2")}
    site = load_site(real({**changes, **devices}))
    assert real_link(site, "w1") == {"pci": "0000:17:00.0", "roce": {"mode": "lossy"}}
    assert real_link(site, "head") == {}


def test_an_infiniband_host_is_told_its_mode_and_who_manages_the_subnet() -> None:
    link = {"kind": "infiniband", "rdma": "infiniband", "subnet_manager": "head"}
    devices = {f"nodes.{name}.rdma_devices": ["mlx5_0"] for name in ("w1", "w2")}
    site = load_site(real({"fabric.link": link, **devices}, without=("switches",)))
    assert real_link(site, "head") == {"infiniband": {"opensm": True, "mode": "connected"}}
    assert real_link(site, "w1") == {"infiniband": {"opensm": False, "mode": "connected"}}
