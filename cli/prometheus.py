"""Asks the Prometheus of a stack, through SSH: it listens on the fabric alone."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.machines import machine
from monitoring.place import PROMETHEUS_PATH, home
from monitoring.queries import Query
from remote.errors import RackformError
from remote.ssh import tunnel
from stack import doors
from stack.errors import InputError
from stack.schema import Site

_ANSWER_S = 10
_Read = TypeVar("_Read", bound=BaseModel)


class _Answered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Sample(_Answered):
    """One series of an instant's answer."""

    labels: dict[str, str] = Field(validation_alias="metric")
    at_value: tuple[float, float] = Field(validation_alias="value")

    @property
    def value(self) -> float | None:
        """The number; None where it is none, as a quantile of nothing."""
        value = self.at_value[1]
        return None if math.isnan(value) else value


class Alert(_Answered):
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    state: str
    since: datetime = Field(validation_alias="activeAt")


class _Series(_Answered):
    result: list[Sample]


class _Alerts(_Answered):
    alerts: list[Alert]


class Prometheus:
    """Prometheus' API at a base URL."""

    def __init__(self, url: str, who: str) -> None:
        self._who = who
        self._client = httpx.Client(base_url=url, timeout=_ANSWER_S, trust_env=False)

    def ask(self, query: Query) -> list[Sample]:
        """Return the series of a query as they are now.

        Raises:
            RackformError: it did not answer, or not as Prometheus does.

        """
        data = self._data("query", query=query.expr)
        return self._read(_Series, data).result

    def alerts(self) -> list[Alert]:
        """Return the alerts that are firing.

        Raises:
            RackformError: as `ask`.

        """
        found = self._read(_Alerts, self._data("alerts")).alerts
        return [alert for alert in found if alert.state == "firing"]

    def _data(self, path: str, **arguments: str) -> object:
        try:
            answer = self._client.get(f"api/v1/{path}", params=arguments)
        except httpx.HTTPError as error:
            raise RackformError(
                f"{self._who} does not answer: {error or type(error).__name__};"
                " './rackform status' shows whether its container runs"
            ) from error
        try:
            document = answer.json()
            if document["status"] == "success":
                data: object = document["data"]
                return data
            said = document.get("error")
        except (ValueError, KeyError, TypeError):
            said = answer.text[:200]
        raise RackformError(
            f"{self._who} answered {answer.status_code}: {said or 'no reason given'}"
        )

    def _read(self, kind: type[_Read], data: object) -> _Read:
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            raise RackformError(f"{self._who} answered what can't be read: {error}") from error


@contextmanager
def reached(stack: str, site: Site) -> Iterator[Prometheus]:
    """Yield the Prometheus of a stack for the length of the block.

    Raises:
        InputError: the site declares no monitoring, or its machine is not there yet.
        RackformError: its machine can't be reached.

    """
    if not site.monitoring:
        raise InputError(
            f"stack {stack} has no monitoring, and nothing else measures: set monitoring.node to"
            f" one of {', '.join(site.nodes)} in stack/Pulumi.{stack}.yaml, then run"
            f" ./rackform up --stack {stack}"
        )
    node = site.monitoring.node
    with tunnel(machine(stack, node), home(site), doors.PROMETHEUS) as port:
        yield Prometheus(f"http://127.0.0.1:{port}{PROMETHEUS_PATH}", f"Prometheus on {node}")
