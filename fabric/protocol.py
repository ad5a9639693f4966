"""What every switch can do here, whatever its network OS: be read, compared, and converged."""

from types import TracebackType
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# A description is typed into a CLI: printable ASCII, and no '?', which asks for help there.
Description = Annotated[
    str, StringConstraints(pattern=r"^$|^[!->@-~]([ ->@-~]*[!->@-~])?$", max_length=200)
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ecn(_Frozen):
    """When a queue marks packets instead of dropping them."""

    min_kb: int = Field(default=150, ge=1, description="queue length at which marking begins, kB")
    max_kb: int = Field(default=1500, ge=1, description="queue length at which all are marked, kB")


class Roce(_Frozen):
    """RoCE on a port: DSCP is trusted, ECN marks, and lossless has PFC on the priority as well."""

    mode: Literal["lossless", "lossy"] = "lossless"
    priority: int = Field(default=3, ge=0, le=7)
    ecn: Ecn = Ecn()

    @property
    def lossless(self) -> bool:
        return self.mode == "lossless"


class DesiredPort(_Frozen):
    """The declared part of one port; what is None stays as it is."""

    mtu_bytes: int | None = None
    description: Description | None = Field(default=None, description="'' removes it")
    enabled: bool | None = None
    roce: Roce | None = None


class DesiredSwitch(_Frozen):
    """The declared part of one switch; ports that aren't named stay as they are."""

    ports: dict[str, DesiredPort] = Field(description="front-panel name → port: Ethernet1 → …")
    lldp: bool | None = None
    vlan: int | None = Field(
        default=None,
        description="VLAN of every declared port, untagged: they forward to each other",
    )


class PortState(_Frozen):
    mtu_bytes: int
    description: str
    enabled: bool
    connected: bool = Field(description="there is a carrier")


class Neighbour(_Frozen):
    """What LLDP heard on a port."""

    system_name: str
    port_id: str


class RoceState(_Frozen):
    """What a port has of RoCE."""

    trust_dscp: bool = False
    pfc: frozenset[int] = Field(default=frozenset(), description="priorities without drops")
    ecn: dict[int, Ecn] = Field(default={}, description="queue → its marking")


class Membership(_Frozen):
    """Which ports a port forwards to, and what else it is for."""

    vlan: int | None = Field(
        default=None, description="its VLAN, untagged; None: it forwards to no other port"
    )
    tagged: frozenset[int] = Field(default=frozenset(), description="VLANs that it has beside that")
    carries: str = Field(
        default="", description="why it can't be put into a VLAN, in the switch's words"
    )
    remedy: str = Field(default="", description="the command that ends what it carries")


class SwitchState(_Frozen):
    """A switch as it runs."""

    ports: dict[str, PortState]
    lldp: bool
    neighbours: dict[str, list[Neighbour]]
    roce: dict[str, RoceState] = {}
    roce_mode: str | None = Field(default=None, description="where it is the whole switch's")
    membership: dict[str, Membership] = {}
    vlans: frozenset[int] = Field(default=frozenset(), description="those that there are")
    managed_vlan: int | None = Field(
        default=None, description="the VLAN that its management address is in, if it is in one"
    )


class UnderWay(_Frozen):
    """What others have on a switch that is in the way; never ended or saved by us."""

    sentence: str = Field(description="who and what, since when if the switch tells; the remedy")
    blocks: bool = Field(description="`apply` refuses while it is there")


class Look(_Frozen):
    """What one look at a switch showed, held against what is declared."""

    pending: list[str] = Field(description="the lines that would change; empty: none would")
    left_alone: list[str] = Field(description="configured and declared nowhere: `section: line`")
    under_way: list[UnderWay] = Field(description="asked for only where something is pending")
    neighbours: dict[str, list[Neighbour]]


class Applied(_Frozen):
    """What was changed on a switch, and what was seen there after it."""

    changed: list[str] = Field(description="the lines, worded as those that were pending")
    under_way: list[UnderWay]
    neighbours: dict[str, list[Neighbour]]


class Switch(Protocol):
    """A connection to one switch; leave its `with` block, or `close` it.

    Every method raises `remote.errors.Unreachable` when the switch can't be reached, and
    `remote.errors.RackformError` when it refuses something.
    """

    def read(self) -> SwitchState: ...

    def look(self, desired: DesiredSwitch) -> Look:
        """Read the configuration once, and tell all that a preview asks. Changes nothing.

        What would change is told by interface:
        `["interface Ethernet1", "  - mtu 1500", "  + mtu 9000"]`.
        """

    def apply(self, desired: DesiredSwitch, confirm_timeout_s: int) -> Applied:
        """Converge the switch.

        All or nothing: the change is committed with a timer of `confirm_timeout_s`, kept only
        after a new connection has found the switch as desired, and undone by the switch itself
        otherwise. What is kept is saved for the next start, but for a switch on which somebody
        else's lines wait to be saved: saving keeps all or nothing.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
