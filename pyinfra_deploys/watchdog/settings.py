"""What restarts a Ray that hangs: asked for on the head, carried out on each node by itself."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field

from pyinfra_deploys.model import Settings

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=1)]


class Watch(Settings):
    """The head's part."""

    role: Literal["watch"] = "watch"
    address: IPv4Address = Field(description="the head's on the fabric")
    port: Port = Field(description="where it tells there what it wants restarted")
    api: str = Field(description="base URL of Serve's proxy")
    dashboard: str = Field(description="base URL of Ray's dashboard")
    token_file: str = Field(description="Ray's authentication token on this host")
    metrics: tuple[str, ...] = Field(description="host:port of Ray's metrics on each node")
    workers_of: Mapping[str, tuple[str, ...]] = Field(
        description="model → nodes of its ranks, without the head"
    )
    after_s: Seconds
    start_s: Seconds
    interval_s: Seconds = 15
    timeout_s: Seconds = 15


class Follow(Settings):
    """A worker's part."""

    role: Literal["follow"] = "follow"
    node: str
    orders: str = Field(description="URL at which the head tells what it wants restarted")
    interval_s: Seconds = 5
    timeout_s: Seconds = 5


class WatchdogSettings(Settings):
    container: str = Field(default="", description="Ray's container on this host")
    part: Annotated[Watch | Follow, Field(discriminator="role")] | None = Field(
        default=None, description="none: no watchdog runs here"
    )
