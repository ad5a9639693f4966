"""What the host worker and its client say to each other: one JSON object a line."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from remote.connection import Connection


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Operation(Message):
    """One pyinfra operation that is due, or was carried out, with its very commands."""

    deploy: str
    name: str
    commands: list[str]
    diff: str = ""
    ends_boot: str = Field(
        default="", description="id of the boot that has to end, where it asks for a reboot"
    )


class Applied(Message):
    changed: list[Operation]


class Event(Message):
    """An operation of an `apply` under way."""

    deploy: str
    operation: str
    state: Literal["started", "changed", "unchanged", "failed"]


class Request(Message):
    action: Literal["plan", "apply"]
    connection: Connection
    deploys: dict[str, dict[str, JsonValue]]
    timeout_s: float


class Answer(Message):
    """The last line of a request: operations, or why there are none."""

    operations: list[Operation] = []
    error: str = ""
    kind: Literal["", "unreachable", "refused", "other key"] = ""
    identity: str = Field(default="", description="the machine's own, whatever it is called")
