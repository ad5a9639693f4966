"""What a question to Prometheus is. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a number counts, by Grafana's name for it."""

    COUNT = "short"
    RATIO = "percentunit"
    SECONDS = "s"
    BYTES = "suffix: bytes"
    """Not in powers of 1024: an MTU is told by its number."""
    BITS_PER_SECOND = "bps"
    WATTS = "watt"
    CELSIUS = "celsius"
    HERTZ = "hertz"
    REQUESTS_PER_SECOND = "reqps"
    TOKENS_PER_SECOND = "suffix: tok/s"
    TOKENS_PER_JOULE = "suffix: tok/J"
    PER_SECOND = "cps"
    YES_NO = "bool_yes_no"


@dataclass(frozen=True, kw_only=True)
class Query:
    """One PromQL expression with what its numbers are."""

    title: str
    expr: str
    unit: Unit = Unit.COUNT
    legend: str = ""
    """A series' name from its labels, as Grafana writes it: `{{node}} → {{host}}`."""
    note: str = ""
    """What the number tells, where its title does not."""
    no_data_in_twin: str = ""
    """Why a twin has no such series; empty: it must have some."""


def quantile(share: float, buckets: str, by: str, window: str) -> str:
    """Return a quantile of a histogram, one series for each of the labels in `by`."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({buckets}[{window}])))"
