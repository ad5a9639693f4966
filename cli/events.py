"""What the engine writes to its event log, as far as this command shows it.

The names are those of the engine's own `apitype/events.go`; what is not shown is left out.
"""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Step(_Event):
    op: str
    urn: str
    type: str = ""


class StepEvent(_Event):
    metadata: Step
    planning: bool = False


class Diagnostic(_Event):
    message: str
    severity: str
    urn: str = ""
    ephemeral: bool = False


class Summary(_Event):
    resource_changes: dict[str, int] = {}


class EngineEvent(_Event):
    """One line of the log: exactly one of these is set, or none that is of interest."""

    timestamp: int = 0
    resource_pre_event: StepEvent | None = None
    res_outputs_event: StepEvent | None = None
    res_op_failed_event: StepEvent | None = None
    diagnostic_event: Diagnostic | None = None
    summary_event: Summary | None = None
