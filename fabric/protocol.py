"""What every switch can do here, whatever its network OS: be read, compared, and converged."""

from types import TracebackType
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# A description is typed into a CLI: printable ASCII, and no '?', which asks for help there.
Description = Annotated[
    str, StringConstraints(pattern=r"^$|^[!->@-~]([ ->@-~]*[!->@-~])?$", max_length=200)
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DesiredPort(_Frozen):
    """The declared part of one port; what is None stays as it is."""

    mtu_bytes: int | None = None
    description: Description | None = Field(default=None, description="'' removes it")
    enabled: bool | None = None


class DesiredSwitch(_Frozen):
    """The declared part of one switch; ports that aren't named stay as they are."""

    ports: dict[str, DesiredPort] = Field(description="front-panel name → port: Ethernet1 → …")
    lldp: bool | None = None


class PortState(_Frozen):
    mtu_bytes: int
    description: str
    enabled: bool
    connected: bool = Field(description="there is a carrier")


class Neighbour(_Frozen):
    """What LLDP heard on a port."""

    system_name: str
    port_id: str


class SwitchState(_Frozen):
    """A switch as it runs, and whether that is what it would start with."""

    ports: dict[str, PortState]
    lldp: bool
    neighbours: dict[str, list[Neighbour]]


class Switch(Protocol):
    """A connection to one switch; leave its `with` block, or `close` it.

    Every method raises `remote.errors.Unreachable` when the switch can't be reached, and
    `remote.errors.RackformError` when it refuses something.
    """

    def read(self) -> SwitchState: ...

    def pending(self, desired: DesiredSwitch) -> list[str]:
        """Return the lines that would change, by interface; empty when nothing would.

        `["interface Ethernet1", "  - mtu 1500", "  + mtu 9000"]`. Changes nothing.
        """

    def apply(self, desired: DesiredSwitch, confirm_timeout_s: int) -> list[str]:
        """Converge the switch and return the lines that changed, as `pending` words them.

        All or nothing: the change is committed with a timer of `confirm_timeout_s`, kept only
        after a new connection has found the switch as desired, and undone by the switch itself
        otherwise. What is kept is saved for the next start.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
