"""What the daemon is started with: one JSON file."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Where the CLI listens, whom it lets in, and which ports it speaks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    os: Literal["eos", "onyx", "cumulus", "sonic"] = Field(
        default="eos", description="the network OS whose command line is spoken"
    )
    hostname: str
    address: IPv4Address
    port: int = 22
    host_key_file: Path = Field(description="private host key, OpenSSH format")
    authorized_keys_file: Path
    state_dir: Path = Field(description="startup configuration, running commit timer, flash")
    ports: dict[str, str] = Field(description="front-panel name → network device: Ethernet1 → swp1")
    max_mtu_bytes: int
