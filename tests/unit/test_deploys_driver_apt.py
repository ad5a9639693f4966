"""NVIDIA's packages as apt itself chooses them: what they bring along, and what they need."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from lab.deb import paragraph
from pyinfra_deploys import registry
from pyinfra_deploys.nvidia_driver.settings import NvidiaDriverSettings
from pyinfra_deploys.operations.kernel_headers import MissingHeaders, install_kernel_headers
from pyinfra_deploys.operations.packages import INSTALL, REFRESH, REPAIR
from pyinfra_deploys.templating import render
from tests.unit.test_deploys_operations import told

DRIVERS = ("570.86.15-1", "580.159.04-1", "590.48.01-1")
DECLARED: dict[str, JsonValue] = {
    "packages": {"nvidia-open": "580.159.04-1", "nvidia-container-toolkit": "1.18.0-1"},
    "driver_version": "580.159.04",
}


def offered() -> Iterator[tuple[str, str, str]]:
    """Yield package, version and dependencies, in the form that NVIDIA's repository has them."""
    for version in DRIVERS:
        least = version.partition("-")[0]
        brought = ("nvidia-driver-cuda", "nvidia-kernel-open-dkms")
        yield "nvidia-open", version, ", ".join(f"{name} (>= {least})" for name in brought)
        yield "nvidia-driver-cuda", version, f"libcuda1 (= {version})"
        yield "nvidia-kernel-open-dkms", version, ""
        yield "libcuda1", version, ""
    for version in ("1.18.0-1", "1.18.1-1"):
        yield "nvidia-container-toolkit", version, f"libnvidia-container-tools (= {version})"
        yield "libnvidia-container-tools", version, ""
    yield "unrelated", "1.18.0-1", ""
    yield "unrelated", "1.18.0-1+deb12u1", ""


class Apt:
    """The apt of this machine over a repository, a state and preferences of its own."""

    def __init__(self, folder: Path) -> None:
        self.preferences = folder / "preferences"
        for name in ("repository", "lists/partial", "cache/archives/partial", "preferences"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        common = {"Architecture": "all", "Maintainer": "x", "Description": "x", "Size": "1"}
        index = [
            paragraph({
                "Package": name, "Version": version, **({"Depends": needs} if needs else {}),
                "Filename": f"./{name}_{version}.deb", "SHA256": "0" * 64, **common,
            })
            for name, version, needs in offered()
        ]  # fmt: skip
        (folder / "repository/Packages").write_text("\n".join(index))
        (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder}/repository ./\n")
        settings = {
            "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "none",
            "Dir::Etc::preferences": "none", "Dir::Etc::preferencesparts": "preferences",
            "Dir::State": "", "Dir::State::status": "status", "Dir::Cache": "cache",
        }  # fmt: skip
        options = (f"{key}={folder / value}" for key, value in settings.items())
        self._start = ["apt-get", "-q", *(word for each in options for word in ("-o", each))]
        self._start += ["-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64"]
        subprocess.run([*self._start, "update"], check=True, capture_output=True)

    def chosen(self, *packages: str) -> dict[str, str]:
        """Return package → version of what would be installed; empty where apt refuses."""
        command = [*self._start, "-s", "install", *packages]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        rows = (line.split() for line in done.stdout.splitlines() if line.startswith("Inst "))
        return {row[1]: row[2].lstrip("(") for row in rows}


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path)


def declared(**more: JsonValue) -> NvidiaDriverSettings:
    settings = registry.settings("nvidia_driver", {**DECLARED, **more})
    assert isinstance(settings, NvidiaDriverSettings)
    return settings


def pinned(settings: NvidiaDriverSettings) -> str:
    return render("nvidia_driver", "nvidia.pref.j2", settings, versions=settings.pinned_versions)


def test_what_the_packages_bring_along_has_the_declared_versions(apt: Apt) -> None:
    settings = declared()
    wanted = [f"{name}={version}" for name, version in settings.exact.items()]
    assert apt.chosen(*wanted) == {}  # the newest toolkit's tools don't fit
    assert apt.chosen(wanted[0])["libcuda1"] == "590.48.01-1"
    (apt.preferences / "rackform-nvidia.pref").write_text(pinned(settings))
    found = apt.chosen(*wanted, "unrelated")
    assert found.pop("unrelated") == "1.18.0-1+deb12u1"
    assert found["libnvidia-container-tools"] == "1.18.0-1"
    assert {
        found[name] for name, _, _ in offered() if "container" not in name and name in found
    } == {"580.159.04-1"}


def test_going_back_takes_what_was_brought_along_back_too_and_leaves_no_difference() -> None:
    back = pinned(declared(allow_downgrade=True))
    assert back.count("Pin-Priority: 1001") == 3  # apt goes back from 1000 on
    assert back == pinned(declared())


def test_the_headers_that_are_missing_are_those_of_the_running_kernel_and_of_its_updates(
    tmp_path: Path,
) -> None:
    package = (
        "Package: {}\nStatus: {} ok installed\nVersion: 1\nArchitecture: amd64\nMaintainer: x\n"
    )
    names = (
        *("linux-image-6.1.0-44-amd64", "linux-image-amd64", "linux-image-generic-hwe-22.04"),
        *("linux-image-unsigned-6.8.0-45-generic", "linux-headers-amd64"),
    )
    (tmp_path / "status").write_text("\n".join(package.format(name, "install") for name in names))
    script = MissingHeaders().command().replace("/run/systemd/container", f"{tmp_path}/container")
    script = script.replace("/lib/modules", str(tmp_path))

    def missing() -> list[str]:
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "DPKG_ADMINDIR": str(tmp_path)},
        )
        return MissingHeaders().process(done.stdout.splitlines())

    running = f"linux-headers-{os.uname().release}"
    assert missing() == [running, "linux-headers-generic-hwe-22.04"]
    (tmp_path / os.uname().release / "build").mkdir(parents=True)
    assert missing() == ["linux-headers-generic-hwe-22.04"]
    (tmp_path / "container").touch()
    assert missing() == []


def test_missing_headers_are_installed_before_the_driver_that_is_built_against_them() -> None:
    assert told(install_kernel_headers, {MissingHeaders: []}) == []
    missing = ["linux-headers-6.1.0-44-amd64", "linux-headers-amd64"]
    assert told(install_kernel_headers, {MissingHeaders: missing}) == [
        str(REPAIR),
        str(REFRESH),
        f"{INSTALL} --no-remove {' '.join(missing)}",
    ]
