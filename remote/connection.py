"""How a machine is reached: one address, one user, one pinned host key."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Connection(BaseModel):
    """An SSH endpoint whose host key is pinned; nothing is ever trusted on first use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the node's or switch's name in the site")
    address: str = Field(description="management address (IPv4 or a host name)")
    port: int = 22
    user: str = "root"
    private_key_file: Path = Field(description="the private key on the controller; never its text")
    host_key: str = Field(
        description="the machine's public host key, as in known_hosts: 'ssh-ed25519 AAAA…'"
    )
