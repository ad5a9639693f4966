"""What the plan counts with beside machines: electricity, money, and the load to expect."""

from enum import StrEnum

from pydantic import Field

from stack.settings import Settings
from stack.values import Flag, Name, Number, Whole


class Region(StrEnum):
    """Whose rule for continuous loads holds."""

    NORTH_AMERICA = "north-america"
    ELSEWHERE = "elsewhere"


CONTINUOUS_SHARE = {Region.NORTH_AMERICA: 0.8, Region.ELSEWHERE: 1.0}
"""Share of the breaker's rating for a load of three hours and more (NEC 210.20(A): 80 %)."""


class Ups(Settings):
    watts: Whole = Field(ge=100, le=1_000_000, description="What it can deliver, in W (not VA).")
    watt_hours: Whole = Field(ge=10, le=10_000_000, description="Energy of its batteries, in Wh.")


class Circuit(Settings):
    volts: Whole = Field(ge=100, le=480, description="Voltage.")
    amps: Number = Field(gt=0, le=400, description="Rating of the breaker, in amperes.")
    three_phase: Flag = Field(
        default=False, description="Three phases, with volts between two of them."
    )
    continuous_share: Number | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the rating for a continuous load; as power.region has it if not"
        " given.",
    )
    ups: Ups | None = Field(default=None, description="The UPS on it.")


class Power(Settings):
    circuits: dict[Name, Circuit] = Field(default={}, description="Circuits by name.")
    region: Region = Field(
        default=Region.NORTH_AMERICA,
        description="Continuous load of a breaker: 80 % of it in north-america, all elsewhere.",
    )
    ups_minutes: Number = Field(
        default=5.0, gt=0, le=1440, description="Minutes that a UPS should last, for its size."
    )


class ExpectedLoad(Settings):
    concurrency: Whole | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="Requests at a time over all replicas; replicas.target_ongoing_requests for"
        " each of replicas.max if not given.",
    )
    input_tokens: Whole | None = Field(
        default=None,
        ge=1,
        le=16_777_216,
        description="Tokens of a prompt; 1024 if not given, less where max_model_len is short.",
    )
    output_tokens: Whole | None = Field(
        default=None,
        ge=1,
        le=16_777_216,
        description="Tokens of an answer; 256 if not given, less where max_model_len is short.",
    )


class Planning(Settings):
    data_must_stay: Flag = Field(
        default=True, description="Whether prompts may not leave the site for a hosted model."
    )
    electricity_usd_per_kwh: Number = Field(
        default=0.17, ge=0, le=10, description="Price of electricity, in US dollars a kWh."
    )
    years: Number = Field(
        default=3.0, gt=0, le=30, description="Years over which GPUs are written off."
    )
    load_share: Number = Field(
        default=0.25, gt=0, le=1, description="Share of the time in which the load is there."
    )
    hosted_usd_per_million_tokens: Number | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Price of a million output tokens of the same model elsewhere, to compare.",
    )
