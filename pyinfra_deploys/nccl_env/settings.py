"""What NCCL is told on this host, and what vLLM must not carry to it from another."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pyinfra_deploys.model import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
Value = Annotated[str, StringConstraints(pattern=r"^[^\n\r#]*$")]
Interface = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,15}$")]
Card = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,17}$")]
Device = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(:[0-9]+)?$")]


class NcclEnvSettings(Settings):
    socket_interface: Interface = Field(
        description="the fabric's interface; it carries bootstrap and TCP"
    )
    ib_hca: list[Device] = Field(
        default=[],
        description="RDMA devices of the data path: mlx5_0:1; exact; [nearest]: those at the GPUs",
    )
    cards: list[Card] = Field(
        default=[],
        description="interface, PCI or MAC address of each link, where there are several: [nearest]"
        " is among these",
    )
    debug: Literal["VERSION", "WARN", "INFO", "TRACE"] | None = Field(
        default=None, description="for a diagnosis only: INFO slows a cluster in production"
    )
    extra: dict[Name, Value] = Field(default={}, description="further NCCL_* variables")
    non_carry_over: list[Name] = Field(
        default=["GLOO_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "VLLM_HOST_IP"],
        description="variables that vLLM's driver must not copy over each worker's own",
    )
