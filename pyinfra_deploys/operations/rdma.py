"""The RDMA devices nearest to the GPUs, as nvidia-smi's topology has them."""

from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from typing_extensions import override

from discover.gpus import nearest_rdma, topology

NEAREST = "nearest"


class NearestRdma(FactBase[list[str]]):
    """The devices' names, in order; empty without GPUs, NICs or a driver."""

    @override
    def command(self) -> str:
        return "nvidia-smi topo -m 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        return nearest_rdma(topology("\n".join(output)))


def chosen(declared: list[str], near: list[str]) -> list[str]:
    """Return the devices for NCCL: those declared, or the nearest where that is declared.

    Raises:
        OperationError: the nearest are asked for, and nothing tells which they are.

    """
    if declared != [NEAREST]:
        return declared
    if not near:
        raise OperationError(
            "the RDMA devices nearest to the GPUs are asked for, but 'nvidia-smi topo -m' shows "
            "none: name them in the node's rdma_devices, or see to the driver and the cards"
        )
    return near
