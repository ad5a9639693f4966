"""The RDMA devices nearest to the GPUs, as nvidia-smi's topology has them."""

from collections.abc import Sequence

from pyinfra.api.exceptions import OperationError
from pyinfra.api.facts import FactBase
from typing_extensions import override

from discover.gpus import nearest_rdma, topology

NEAREST = "nearest"
_OTHERS = "not-of-the-fabric"


class NearestRdma(FactBase[list[str]]):
    """The devices' names, in order; empty without GPUs, NICs or a driver.

    An Ethernet card that has the default route, or no address, isn't the fabric's: NCCL would send
    its data over the management network, or wait for a port that nothing answers. Where several
    links are declared, by interface, PCI or MAC address (`cards`), no other card is the fabric's.
    """

    @override
    def command(self, interface: str, cards: Sequence[str] = ()) -> str:
        return (
            "nvidia-smi topo -m 2>/dev/null;"
            " m=$(ip -4 route show default 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p');"
            " for d in /sys/class/infiniband/*; do [ -e $d ] || continue;"
            " grep -qs InfiniBand $d/ports/*/link_layer && continue;"
            " n=$(ls $d/device/net 2>/dev/null | head -n 1);"
            f"{_declared(cards) if cards else _likely(interface)}"
            f' echo "{_OTHERS} $(basename $d)"; done; true'
        )

    @staticmethod
    @override
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        rows = [line.split() for line in output]
        others = {row[1] for row in rows if len(row) > 1 and row[0] == _OTHERS}
        return nearest_rdma(topology("\n".join(output)), without=others)


def _likely(interface: str) -> str:
    """Return shell that goes on with the next device where this one may be the fabric's."""
    return (
        f' [ "$n" = {interface} ] && continue;'
        ' if ! echo "$m" | grep -qxF "$n" &&'
        ' ip -4 -o addr show dev "$n" scope global 2>/dev/null | grep -q .; then continue; fi;'
    )


def _declared(cards: Sequence[str]) -> str:
    """Return the same by what is declared: a card's name may be another one yet."""
    named = " ".join(f"-e {card}" for card in cards)
    return (
        " printf '%s\\n' \"$n\" $(basename $(readlink -f $d/device))"
        f" $(cat $d/device/net/*/address 2>/dev/null) | grep -qxF {named} && continue;"
    )


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
