"""What RoCE's settings need on a host: the card's RDMA device, and a tool for its priorities."""

from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host
from typing_extensions import override

from pyinfra_deploys.operations.facts import Names

TOOLS = ("mlnx_qos", "dcb")
"""NVIDIA's, where its own driver is, and iproute2's, which speaks to the kernel's: one suffices."""


class RoceParts(Names):
    """Which of the tools are there, and `device` where the interface has an RDMA device."""

    @override
    def command(self, interface: str) -> str:
        return (
            f"for t in {' '.join(TOOLS)}; do command -v $t >/dev/null && echo $t; done;"
            f" ls /sys/class/net/{interface}/device/infiniband 2>/dev/null | grep -q . &&"
            " echo device; true"
        )


@operation()
def expect_roce_tools(interface: str) -> Generator[StringCommand, None, None]:
    """Do nothing where RoCE can be set up.

    Raises:
        OperationError: what is missing, and where it comes from.

    """
    found = host.get_fact(RoceParts, interface=interface)
    if "device" not in found:
        raise OperationError(
            f"{interface} has no RDMA device: load its driver (mlx5_ib; 'rdma link' shows it), or "
            "set fabric.link.rdma to none"
        )
    if not found & set(TOOLS):
        raise OperationError(
            f"neither {' nor '.join(TOOLS)} is found, by which RoCE is set up: install iproute2, "
            "or mlnx-tools from NVIDIA's DOCA repository, or set fabric.link.rdma to none"
        )
    host.noop("RoCE's tools are there")
    yield from ()
