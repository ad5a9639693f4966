"""What every serving host has: packages, kernel parameters, limits, names, time."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pyinfra_deploys.model import Settings

INTERCONNECT_TOOLS = ["ethtool", "fping", "iftop", "iperf3", "mtr-tiny"]
"""For whoever looks for a slow or lossy link; `commission` measures with iperf3."""

RDMA_PACKAGES = ["perftest", "rdma-core"]
"""`ib_write_bw`, and what loads the modules of RDMA at boot, where the fabric has it."""

PACKAGES = ["ca-certificates", "iproute2", "iputils-ping", *INTERCONNECT_TOOLS]

SERVING_SYSCTLS = {
    # Weights are mapped and pinned: swapping them out stalls a whole pipeline.
    "vm.swappiness": "10",
    # NCCL over sockets and Ray's object transfer fill the default buffers at 100 Gbit/s.
    "net.core.rmem_max": "67108864",
    "net.core.wmem_max": "67108864",
    "net.core.somaxconn": "4096",
    "net.ipv4.tcp_rmem": "4096 131072 67108864",
    "net.ipv4.tcp_wmem": "4096 65536 67108864",
    # Finds the size that passes where a port's MTU is smaller than declared, instead of hanging.
    "net.ipv4.tcp_mtu_probing": "1",
    "net.ipv4.tcp_slow_start_after_idle": "0",
}

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+-]*$")]
SysctlKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[A-Za-z0-9_*/-]+)+$")]
SysctlValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 \t._,:-]+$")]


class BaseSettings(Settings):
    packages: list[Word] = Field(default=PACKAGES)
    sysctls: dict[SysctlKey, SysctlValue] = Field(default=SERVING_SYSCTLS)
    hosts: dict[Word, list[Word]] = Field(
        default={}, description="address → names, for /etc/hosts: management and fabric"
    )
    nofile: int = Field(default=1048576, ge=1024, description="open files a process may have")
    memlock: Literal["unlimited"] | int = Field(
        default="unlimited", description="KiB that a process may pin (RDMA, GPUDirect)"
    )
    time_sync: bool = Field(default=True, description="systemd-timesyncd; off in a container")
    timezone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$")] | None = Field(
        default=None, description="Area/City; None leaves it as it is"
    )
