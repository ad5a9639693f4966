"""The systems that hosts run: what differs between them, by what such hosts have told."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationError
from pyinfra.context import ctx_host

from discover.findings import SUPPORTED
from images.builder import apt, declaration
from pyinfra_deploys import registry
from pyinfra_deploys.base import steps as base
from pyinfra_deploys.docker_engine import steps as docker
from pyinfra_deploys.fabric_link import steps as fabric
from pyinfra_deploys.nvidia_driver import steps as nvidia
from pyinfra_deploys.operations.facts import InstalledPackages, LimitBounds, Programs
from pyinfra_deploys.operations.holders import NETWORK, UNMANAGED, Holders, InterfaceHolders
from pyinfra_deploys.operations.packages import INSTALL
from pyinfra_deploys.operations.systems import SYSTEMS, OsRelease, system_of
from remote.errors import RackformError
from stack.driver import HostSystem
from stack.load import load_site
from stack.schema import TwinSystem
from tests.unit.sites import changed
from tests.unit.test_components_appliance import declare
from tests.unit.test_deploys_operations import RecordedHost
from tests.unit.test_deploys_settings import FABRIC

UBUNTU_24 = """\
PRETTY_NAME="Ubuntu 24.04.2 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.2 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
"""
UBUNTU_22 = """\
PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
ID=ubuntu
"""
DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
DEBIAN_13 = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
FEDORA = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41"\n'


def release(text: str) -> dict[str, str]:
    return OsRelease().process(text.splitlines())


@pytest.mark.parametrize(
    ("text", "told", "packages"),
    [
        (DEBIAN_12, "Debian 12", ("docker.io",)),
        (DEBIAN_13, "Debian 13", ("docker.io", "docker-cli")),
        (UBUNTU_22, "Ubuntu 22.04", ("docker.io",)),
        (UBUNTU_24, "Ubuntu 24.04", ("docker.io",)),
    ],
)
def test_a_system_is_known_by_its_os_release(
    text: str, told: str, packages: tuple[str, ...]
) -> None:
    found = system_of(release(text))
    assert (found.told, found.docker) == (told, packages)


@pytest.mark.parametrize(
    ("text", "said"), [(FEDORA, "it runs Fedora Linux 41, but"), ("", "it runs an unknown system")]
)
def test_another_system_is_refused_with_those_that_are_known(text: str, said: str) -> None:
    with pytest.raises(OperationError) as error:
        system_of(release(text))
    assert str(error.value).startswith(said)
    assert "Debian 12, Debian 13, Ubuntu 22.04 or Ubuntu 24.04" in str(error.value)


def test_discover_and_the_deploys_know_the_same_systems() -> None:
    assert set(SYSTEMS) == SUPPORTED


class Recorder:
    """Stands in for a deploy's operations: keeps what each was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: Any) -> None:
        self.given: list[tuple[str, dict[str, Any]]] = []
        self.will_change, self.is_complete = False, lambda: False
        names = (
            "install_packages", "expect_none_newer", "install_exact", "write_file", "edit_file",
            "run_service",
            "set_sysctls", "apply_link", "expect_a_clear_field", "refresh_initramfs",
            "tell_reboot", "refresh_cdi", "install_kernel_headers",
        )  # fmt: skip
        for name in names:
            if hasattr(steps, name):
                monkeypatch.setattr(steps, name, self._kept(name))

    def _kept(self, operation: str) -> Any:
        def keep(**arguments: Any) -> Any:
            self.given.append((operation, arguments))
            return self

        return keep

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.given if name == operation]


def run(steps: Any, name: str, facts: dict[type, object], **settings: Any) -> None:
    with ctx_host.use(RecordedHost(facts)):
        getattr(steps, name)._inner(registry.settings(name, settings))


@pytest.mark.parametrize(
    ("text", "packages"), [(UBUNTU_24, ["docker.io"]), (DEBIAN_13, ["docker.io", "docker-cli"])]
)
def test_docker_comes_with_its_command_line_on_every_system(
    monkeypatch: pytest.MonkeyPatch, text: str, packages: list[str]
) -> None:
    seen = Recorder(monkeypatch, docker)
    run(docker, "docker_engine", {OsRelease: release(text)})
    assert [given["packages"] for given in seen.of("install_packages")] == [packages]


def test_a_package_of_docker_that_is_named_is_taken_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, docker)
    run(docker, "docker_engine", {OsRelease: release(DEBIAN_13)}, package="moby")
    assert seen.of("install_packages")[0]["packages"] == ["moby"]


def test_a_host_whose_docker_could_give_no_gpu_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, docker)
    facts: dict[type, object] = {OsRelease: release(DEBIAN_13), Programs: set[str]()}
    with pytest.raises(OperationError, match=r"add nvidia-container-toolkit to nvidia\.packages"):
        run(docker, "docker_engine", facts, expects_toolkit=True)
    assert seen.given == []
    run(docker, "docker_engine", {**facts, Programs: {docker.TOOLKIT}}, expects_toolkit=True)
    assert seen.of("install_packages")


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (None, True),
        ({"nvidia-open": "580.159.04-1"}, True),
        ({"nvidia-open": "580.159.04-1", "nvidia-container-toolkit": "1.18.0-1"}, False),
    ],
)
def test_the_container_toolkit_has_to_be_there_where_the_site_brings_none(
    tmp_path: Path,
    packages: dict[str, str] | None,
    expected: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    (key := tmp_path / "id").write_text("a key")
    raw = changed("homelab-4x2", "ssh", {"private_key_file": str(key)})
    if packages:
        raw["nvidia"] = {"driver_version": "580.159.04", "packages": packages}
    engine = declare(raw)
    settings = engine.inputs("n2-host")["deploys"]["docker_engine"]
    assert settings["expects_toolkit"] is expected


def test_ubuntu_keeps_chrony_and_gets_no_second_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(*installed: str) -> Recorder:
        seen = Recorder(monkeypatch, base)
        facts: dict[type, object] = {
            OsRelease: release(UBUNTU_24),
            InstalledPackages: set(installed),
            LimitBounds: None,
        }
        run(base, "base", facts)
        return seen

    kept, alone = given("chrony"), given()
    assert "systemd-timesyncd" not in kept.of("install_packages")[0]["packages"]
    assert kept.of("run_service") == []
    assert "systemd-timesyncd" in alone.of("install_packages")[0]["packages"]
    assert [each["unit"] for each in alone.of("run_service")] == ["systemd-timesyncd.service"]


def test_an_unknown_system_is_refused_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, base)
    with pytest.raises(OperationError, match="Fedora"):
        run(base, "base", {OsRelease: release(FEDORA)})
    assert seen.given == []


def test_an_interface_of_ubuntu_s_networkmanager_is_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, fabric)
    run(fabric, "fabric_link", {InterfaceHolders: Holders(network_manager=True)}, **FABRIC)
    (unmanaged,) = [each for each in seen.of("write_file") if each["path"] == UNMANAGED]
    assert unmanaged["content"] == "[keyfile]\nunmanaged-devices+=interface-name:fab0\n"
    assert unmanaged["keep_former"]
    (applied,) = seen.of("apply_link")
    assert applied["files"] == [NETWORK, UNMANAGED]


def test_an_interface_that_nobody_holds_changes_nothing_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, fabric)
    run(fabric, "fabric_link", {InterfaceHolders: Holders()}, **FABRIC)
    assert seen.of("edit_file") == []
    assert seen.of("apply_link")[0]["files"] == [NETWORK]


@pytest.mark.parametrize(
    ("text", "folder"),
    [(DEBIAN_12, "debian12"), (UBUNTU_22, "ubuntu2204"), (UBUNTU_24, "ubuntu2404")],
)
def test_hosts_of_a_mixed_site_ask_nvidia_s_repository_of_their_own_system(
    monkeypatch: pytest.MonkeyPatch, text: str, folder: str
) -> None:
    seen = Recorder(monkeypatch, nvidia)
    repository = {"uri": "https://example.org/{system}/x86_64", "signing_key": "x"}
    packages = {"nvidia-open": "580.159.04-1"}
    run(
        nvidia, "nvidia_driver", {OsRelease: release(text)}, packages=packages,
        driver_version="580.159.04", repository=repository,
    )  # fmt: skip
    (source,) = [each for each in seen.of("write_file") if each["path"] == nvidia.SOURCE]
    assert f"URIs: https://example.org/{folder}/x86_64\n" in source["content"]
    done = [name for name, _ in seen.given]
    assert done.index("install_kernel_headers") < done.index("install_exact")


BY_SYSTEM = {
    "driver_version": "580.159.04",
    "systems": {
        "debian-12": {"packages": {"nvidia-open": "580.159.04-1"}},
        "ubuntu-24.04": {
            "packages": {"nvidia-open": "580.159.04-0ubuntu0.24.04.1"},
            "fabric_manager": "580.159.04-0ubuntu1",
        },
    },
}


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        (DEBIAN_12, {"nvidia-open": "580.159.04-1"}),
        (
            UBUNTU_24,
            {
                "nvidia-open": "580.159.04-0ubuntu0.24.04.1",
                "nvidia-fabricmanager-580": "580.159.04-0ubuntu1",
            },
        ),
    ],
)
def test_hosts_of_a_mixed_site_get_the_versions_of_their_own_system(
    monkeypatch: pytest.MonkeyPatch, text: str, packages: dict[str, str]
) -> None:
    seen = Recorder(monkeypatch, nvidia)
    run(nvidia, "nvidia_driver", {OsRelease: release(text)}, **BY_SYSTEM)
    assert [given["packages"] for given in seen.of("install_exact")] == [packages]


def test_a_host_whose_system_has_no_packages_of_the_driver_is_refused_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Recorder(monkeypatch, nvidia)
    with pytest.raises(OperationError) as refused:
        run(nvidia, "nvidia_driver", {OsRelease: release(DEBIAN_13)}, **BY_SYSTEM)
    assert str(refused.value) == (
        "it runs Debian 13, but nvidia.systems has packages for debian-12, ubuntu-24.04 alone: "
        'add nvidia.systems["debian-13"].packages with the versions that its repository has'
    )
    assert seen.given == []


def test_a_site_and_the_deploys_know_the_same_systems() -> None:
    assert {each.value for each in HostSystem} == {system.name for system in SYSTEMS.values()}
    assert all(system.name == "-".join(key) for key, system in SYSTEMS.items())


def test_ubuntu_s_needrestart_restarts_nothing_of_its_own_accord() -> None:
    assert "NEEDRESTART_SUSPEND=1 " in INSTALL


def test_every_system_of_a_twin_has_a_node_image_with_docker_s_command_line() -> None:
    assert {each.image_variant for each in TwinSystem} == set(declaration.variants("node"))
    file = declaration.IMAGES / "node" / "image.toml"
    variants = tomllib.loads(file.read_text(encoding="utf-8"))["variants"]
    assert variants["debian-13"]["debian"] == {"suite": "trixie", "also": ["docker-cli"]}


def test_the_node_image_s_system_is_one_that_the_deploys_know() -> None:
    assert {tuple(each.value.split("-")) for each in TwinSystem} <= set(SYSTEMS)


def test_a_system_without_an_image_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(RackformError, match=r"nodes\.w1\.system = ubuntu-24\.04, but only debian"):
        load_site(changed("lab", "nodes.w1.system", "ubuntu-24.04"))


def test_a_real_machine_keeps_its_system() -> None:
    site = load_site(changed("homelab-4x2", "nodes.n1.system", "debian-13"))
    assert "nodes.n1.system: without effect on a real machine" in site.notes()


def test_a_twin_mixes_systems_and_each_node_stands_on_its_own_image() -> None:
    raw = changed("lab", "nodes.w1.system", "debian-13")
    engine = declare(raw)
    images = {
        name: each.inputs["variant"]
        for name, each in engine.declared.items()
        if each.inputs.get("image") == "node"
    }
    assert images == {"node-image": "default", "node-image-debian-13": "debian-13"}
    assert len(engine.of_type("LabNode")) == len(raw["nodes"])


def test_a_driver_that_is_there_is_not_touched_without_nvidia_in_the_site(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a private key")

    def deploys(raw: dict[str, Any]) -> set[str]:
        hosts = declare(raw).of_type("HostState").values()
        return {name for host in hosts for name in host["deploys"]}

    raw = changed("homelab-4x2", "nvidia", None)
    assert "nvidia_driver" not in deploys(raw)
    packages = {"nvidia-open": "580.159.04-1"}
    assert "nvidia_driver" in deploys(
        {
            **raw,
            "ssh": {"private_key_file": str(key)},
            "nvidia": {"driver_version": "580.159.04", "packages": packages},
        }
    )


SOURCES = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def test_a_mirror_that_the_machine_asks_for_one_suite_is_asked_for_another(
    tmp_path: Path,
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list").write_text("deb [arch=amd64] https://other.example x main\n")
    assert apt.sources("trixie", tmp_path).splitlines() == [
        "deb [signed-by=/keyring.gpg] http://mirror.example/debian trixie main",
        "deb [signed-by=/keyring.gpg] http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]
    assert " bookworm main" in apt.sources("bookworm", tmp_path)


def test_a_suite_that_the_machine_has_itself_is_asked_for_there(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "deb http://a.example trixie main\ndeb http://b.example bookworm main\n"
    )
    assert apt.sources("trixie", tmp_path).split()[:3] == ["deb", "http://a.example", "trixie"]
    assert "b.example" not in apt.sources("trixie", tmp_path)


def test_a_machine_without_debian_s_sources_is_told_to_add_one(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    with pytest.raises(RackformError, match="has Debian's suite 'trixie': add one to"):
        apt.sources("trixie", tmp_path)
