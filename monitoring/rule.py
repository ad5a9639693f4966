"""Prometheus rules as typed values, and their YAML. Pure."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import yaml
from pydantic import BaseModel, ConfigDict, Field

EVALUATION_S = 10


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Severity(StrEnum):
    CRITICAL = "critical"
    """People wait for answers, or hardware is at risk."""
    WARNING = "warning"
    """It will become critical, or answers are slower than they could be."""
    INFO = "info"
    """Worth knowing when somebody looks."""


class Record(_Frozen):
    """A value that rules and dashboards share."""

    record: str
    expr: str
    labels: dict[str, str] = {}


class Alert(_Frozen):
    """What is wrong, told to somebody who has not seen the query."""

    name: str = Field(pattern=r"^[A-Z][A-Za-z]+$")
    expr: str
    for_s: int = Field(ge=0, description="how long it must hold")
    severity: Severity
    summary: str = Field(description="one sentence; Prometheus fills in {{ $labels.x }}")
    advice: str = Field(description="the first thing to do")
    runbook: str = Field(pattern=r"^[a-z0-9-]+$", description="page in docs/runbooks")
    labels: dict[str, str] = {}

    def annotations(self) -> dict[str, str]:
        return {
            "summary": self.summary,
            "advice": self.advice,
            "runbook": f"docs/runbooks/{self.runbook}.md",
        }


class Group(_Frozen):
    name: str
    rules: tuple[Record | Alert, ...]

    def alerts(self) -> Iterator[Alert]:
        yield from (rule for rule in self.rules if isinstance(rule, Alert))


def rules_yaml(groups: Sequence[Group]) -> str:
    """Return the rule file as Prometheus 2.42 and 3 read it."""
    tree = {
        "groups": [
            {
                "name": group.name,
                "interval": f"{EVALUATION_S}s",
                "rules": [_tree(rule) for rule in group.rules],
            }
            for group in groups
            if group.rules
        ]
    }
    return to_yaml(tree)


def to_yaml(tree: object) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)


def _tree(rule: Record | Alert) -> dict[str, object]:
    if isinstance(rule, Record):
        tree: dict[str, object] = {"record": rule.record, "expr": rule.expr}
        return tree | ({"labels": rule.labels} if rule.labels else {})
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": f"{rule.for_s}s",
        "labels": {"severity": rule.severity.value, **rule.labels},
        "annotations": rule.annotations(),
    }
