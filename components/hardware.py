"""What hosts are told of their hardware: cards, the fabric's kind, NVIDIA's driver."""

from collections.abc import Mapping

from pyinfra_deploys.fabric_link.settings import Roce
from pyinfra_deploys.nvidia_driver.settings import NvidiaDriverSettings
from stack.driver import AptRepository, Nvidia, SystemPackages, fitting, has_nvswitch
from stack.errors import InputError
from stack.schema import FABRIC, Gpus, LinkKind, Rail, Rdma, Site

_DATAGRAM_MTU_BYTES = 4092
"""The largest MTU of IP over InfiniBand in datagram mode."""


def real_link(site: Site, name: str) -> dict[str, object]:
    """Return what `fabric_link` is told of a real host beside its address."""
    node, link = site.nodes[name], site.fabric.link
    told: dict[str, object] = _card(node.links[FABRIC])
    if link.rdma is Rdma.ROCE and node.rdma_devices:
        told["roce"] = {"mode": link.roce.value}
    if link.kind is LinkKind.INFINIBAND:
        connected = site.fabric.mtu_bytes > _DATAGRAM_MTU_BYTES
        told["infiniband"] = {
            "opensm": link.subnet_manager == name,
            "mode": "connected" if connected else "datagram",
        }
    return told


def _card(link: Rail) -> dict[str, object]:
    return {key: value for key, value in (("pci", link.pci), ("mac", link.mac)) if value}


def rails(site: Site, name: str) -> list[dict[str, object]]:
    """Return what `fabric_link` is told of each further link of a host."""
    return [
        {
            "interface": rail.interface,
            "address": f"{rail.address}/{site.fabric.rails[network].prefixlen}",
            **({} if site.twin else _card(rail)),
        }
        for network, rail in site.nodes[name].rails.items()
    ]


def cards(site: Site, name: str) -> list[str]:
    """Return how each card of a host with several links is told: by PCI or MAC address, or name."""
    links = site.nodes[name].links.values() if site.nodes[name].rails else ()
    named = [[link.interface, link.pci, link.mac] for link in links]
    return [each for link in named for each in link if each]


def nccl_settings(site: Site) -> dict[str, str]:
    """Return what NCCL is told on every node alike, beside its devices.

    Its packets would have no DSCP by themselves, and so neither PFC nor ECN on any switch: it makes
    its connections past the RDMA connection manager, whose default `cma_roce_tos` sets. Which GID
    is RoCE v2's it finds by itself since NCCL 2.21. Between rails there is no way: a ring or a tree
    takes the same rail on every node.
    """
    if site.fabric.link.rdma is Rdma.NONE or site.twin:
        return {}
    told = {}
    if site.fabric.link.rdma is Rdma.ROCE:
        told["NCCL_IB_TC"] = str(Roce().traffic_class)
    if any(node.rails for node in site.nodes.values()):
        told["NCCL_CROSS_NIC"] = "0"
    return told


def nvidia_driver(site: Site, nvidia: Nvidia, gpus: Gpus) -> Mapping[str, object]:
    """Return what `nvidia_driver` is told of a host with GPUs.

    Raises:
        InputError: the repository's key can't be read.

    """
    told: dict[str, object] = {
        "driver_version": nvidia.driver_version,
        "signed_modules": nvidia.signed_modules,
        "allow_downgrade": nvidia.allow_downgrade,
        "peermem": site.fabric.link.rdma is not Rdma.NONE,
    }
    if limit := gpus.power_limit_w or nvidia.power_limit_w:
        told["power_limit_w"] = limit
    if runs_fabric_manager(nvidia, gpus) and nvidia.fabric_manager_package:
        told["fabric_manager_package"] = nvidia.fabric_manager_package
    offered = {path[-1]: _packages(each, gpus) for path, each in nvidia.offers()}
    told |= {"systems": offered} if nvidia.systems else offered["nvidia"]
    if nvidia.repository:
        told["repository"] = _repository(nvidia.repository)
    return told


def brings_toolkit(site: Site) -> bool:
    """Whether the site's packages have what gives GPUs to containers."""
    return site.nvidia is not None and all(
        any(name.startswith("nvidia-container-toolkit") for name in offered.packages)
        for _, offered in site.nvidia.offers()
    )


def _packages(offered: SystemPackages, gpus: Gpus) -> dict[str, object]:
    told: dict[str, object] = {"packages": fitting(offered.packages, gpus.model)}
    if offered.fabric_manager and has_nvswitch(gpus):
        told["fabric_manager"] = offered.fabric_manager
    return told


def runs_fabric_manager(nvidia: Nvidia, gpus: Gpus) -> bool:
    """Whether Fabric Manager is installed on a host with these GPUs."""
    return has_nvswitch(gpus) and any(each.fabric_manager for _, each in nvidia.offers())


def rehearsed_driver(site: Site, nvidia: Nvidia, node: str) -> Mapping[str, object]:
    """Return what `nvidia_driver` is told of a twin's host, which lab/ gave a repository.

    Raises:
        ValueError: the host has no GPU.

    """
    machine = site.nodes[node]
    if machine.gpus is None:
        raise ValueError(f"{node} has no GPU, and so no driver")
    own = nvidia.on(machine.system.value).model_copy(update={"repository": None})
    return {**nvidia_driver(site, own, machine.gpus), "cdi": False}


def stand_in_driver(site: Site, node: str) -> dict[str, object] | None:
    """Return what a twin's host is offered in the place of NVIDIA's packages, if it needs any."""
    if site.nvidia is None or site.nodes[node].gpus is None:
        return None
    settings = NvidiaDriverSettings.model_validate(rehearsed_driver(site, site.nvidia, node))
    return {"driver_version": settings.driver_version, "packages": settings.exact}


def _repository(repository: AptRepository) -> dict[str, object]:
    try:
        key = repository.key_file.expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"nvidia.repository.key_file = {repository.key_file} can't be read ({error}): name the "
            "file with the repository's public key, ASCII-armoured"
        ) from error
    return {
        "uri": repository.uri,
        "suite": repository.suite,
        "components": repository.components,
        "signing_key": key,
    }
