"""Settings in, files out."""

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import JsonValue

from components.node import _packages
from pyinfra_deploys import registry
from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.docker_engine.steps import daemon_json
from pyinfra_deploys.templating import render
from remote.errors import RackformError
from stack.load import load_site
from stack.paths import ROOT
from tests.unit.site_examples import example, real

FABRIC: dict[str, JsonValue] = {
    "interface": "fab0",
    "address": "10.78.0.11/24",
    "mtu_bytes": 4200,
    "management_address": "10.77.0.11",
}
FLAGS_OF_THE_TWIN = {
    "bridge",
    "ip-forward",
    "ip-masq",
    "ip6tables",
    "iptables",
    "oom-score-adjust",
    "storage-driver",
}


def test_the_mtu_of_the_site_is_in_the_network_file() -> None:
    text = render("fabric_link", "link.network.j2", registry.settings("fabric_link", FABRIC))
    assert "Name=fab0\n" in text
    assert "MTUBytes=4200\n" in text
    assert "Address=10.78.0.11/24\n" in text
    assert "RequiredForOnline=no\n" in text


def test_nccl_is_told_the_exact_interface_and_nothing_more() -> None:
    settings = registry.settings("nccl_env", {"socket_interface": "fab0"})
    lines = render("nccl_env", "nccl.conf.j2", settings).splitlines()[1:]
    assert lines == ["NCCL_SOCKET_IFNAME==fab0"]


def test_nccl_is_told_devices_and_extras_when_given() -> None:
    settings = registry.settings(
        "nccl_env",
        {
            "socket_interface": "ens1f0",
            "ib_hca": ["mlx5_0:1", "mlx5_1"],
            "debug": "WARN",
            "extra": {"NCCL_NET_GDR_LEVEL": "PHB"},
        },
    )
    assert render("nccl_env", "nccl.conf.j2", settings).splitlines()[2:] == [
        "NCCL_IB_HCA==mlx5_0:1,mlx5_1",
        "NCCL_DEBUG=WARN",
        "NCCL_NET_GDR_LEVEL=PHB",
    ]


def test_the_list_that_vllm_reads_is_json() -> None:
    settings = registry.settings("nccl_env", {"socket_interface": "fab0"})
    text = render("nccl_env", "ray_non_carry_over_env_vars.json.j2", settings)
    assert "NCCL_SOCKET_IFNAME" in json.loads(text)


def test_every_node_is_in_the_hosts_file() -> None:
    settings = registry.settings("base", {"hosts": {"10.77.0.11": ["head", "head.mgmt"]}})
    assert "10.77.0.11\thead head.mgmt\n" in render("base", "hosts.j2", settings)


def test_the_order_of_a_map_makes_no_difference() -> None:
    names: dict[str, JsonValue] = {"10.78.0.11": ["a"], "10.77.0.12": ["b"], "10.77.0.11": ["c"]}
    turned = dict(reversed(names.items()))
    texts = {
        render("base", "hosts.j2", registry.settings("base", {"hosts": hosts}))
        for hosts in (names, turned)
    }
    assert len(texts) == 1


def test_dockers_file_holds_nothing_that_the_twin_gives_as_a_flag() -> None:
    content = json.loads(daemon_json("", DockerEngineSettings()))
    assert content["live-restore"] is True
    assert content["log-opts"] == {"max-file": "3", "max-size": "10m"}
    assert not FLAGS_OF_THE_TWIN & set(content)


def test_the_nvidia_runtime_is_there_only_when_asked_for() -> None:
    assert "runtimes" not in json.loads(daemon_json("", DockerEngineSettings()))
    assert (
        "nvidia"
        in json.loads(daemon_json("", DockerEngineSettings(nvidia_runtime=True)))["runtimes"]
    )


@pytest.mark.parametrize(
    ("deploy", "values", "said"),
    [
        ("fabric_link", {**FABRIC, "mtu_bytes": 100}, "fabric_link.mtu_bytes = 100"),
        ("fabric_link", {**FABRIC, "mtu": 9000}, "fabric_link.mtu = 9000"),
        ("fabric_link", {**FABRIC, "address": "10.77.0.11/24"}, "is the management address"),
        ("fabric_link", {**FABRIC, "interface": "fab0; reboot"}, "fabric_link.interface"),
        ("nccl_env", {}, "nccl_env.socket_interface: Field required"),
        ("docker_engine", {"registry": "10.77.0.11:5000"}, "go together"),
        ("base", {"packages": ["jq; reboot"]}, "base.packages.0"),
        ("bsae", {}, "use one of base, fabric_link"),
    ],
)
def test_wrong_settings_are_named_with_their_value_and_rule(
    deploy: str, values: dict[str, JsonValue], said: str
) -> None:
    with pytest.raises(RackformError) as error:
        registry.settings(deploy, values)
    assert said in str(error.value)


@pytest.mark.parametrize("name", registry.DEPLOYS)
def test_every_deploy_can_be_run_by_pyinfra_alone(name: str) -> None:
    folder = Path(registry.__file__).parent / name
    assert (folder / "deploy.py").exists()
    assert registry.DEPLOYS[name].function().__name__ == name


def test_sources_differ_by_deploy_and_stay_the_same() -> None:
    sums = {name: registry.sources(name) for name in registry.DEPLOYS}
    assert len(set(sums.values())) == len(sums)
    registry.sources.cache_clear()
    assert sums == {name: registry.sources(name) for name in registry.DEPLOYS}


def test_every_host_has_the_interconnect_s_tools_and_perftest_where_there_is_rdma() -> None:
    tools = {"ethtool", "fping", "iftop", "iperf3", "mtr-tiny"}
    assert tools <= set(_packages(load_site(example())))
    assert "perftest" not in _packages(load_site(example()))
    devices = {f"nodes.{name}.rdma_devices": ["nearest"] for name in ("w1", "w2")}
    roce = load_site(real({"fabric.link.rdma": "roce", **devices}))
    assert {"perftest", "rdma-core"} <= set(_packages(roce))


def test_the_twin_s_base_image_has_all_that_the_hosts_are_given() -> None:
    """A twin's hosts reach no mirror."""
    image = tomllib.loads((ROOT / "images" / "node" / "image.toml").read_text(encoding="utf-8"))
    assert set(_packages(load_site(example()))) <= set(image["debian"]["packages"])
