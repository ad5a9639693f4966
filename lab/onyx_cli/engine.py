"""The switch behind Onyx's CLI: its configuration, in force line by line, and scheduled jobs."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, TypeAdapter

from lab.onyx_cli.grammar import match
from lab.onyx_cli.model import FORMS, VERSION, Config, Port, edit, render
from lab.switch_cli.core import CliError, Landing, SwitchCore
from lab.switch_cli.ports import Link


class Job(BaseModel):
    """Lines that are entered at a time, or at a word."""

    name: str = ""
    lines: dict[int, str] = {}
    time: str | None = None
    date: str | None = None
    enabled: bool = False
    done: bool = False

    @property
    def due(self) -> float | None:
        """Seconds since the epoch; the switch's time zone is UTC."""
        if not (self.time and self.date and self.enabled) or self.done:
            return None
        at = dt.datetime.strptime(f"{self.date} {self.time} +0000", "%Y/%m/%d %H:%M:%S %z")
        return at.timestamp()


@dataclass(frozen=True)
class Login:
    """Somebody at a terminal; `typed` is when the last line was entered."""

    user: str
    host: str
    typed: float


_JOBS = TypeAdapter(dict[int, Job])


@dataclass
class Switch(SwitchCore[Config]):
    """The whole state of one switch that runs Onyx."""

    jobs: dict[int, Job] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    """Line → who is there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        kept = self.store.flash("jobs.json")
        self.jobs = _JOBS.validate_json(kept) if kept else {}

    def factory(self) -> Config:
        return Config(self.hostname, {port: Port() for port in self.context.ports})

    def parse(self, text: str) -> Config:
        config = self.factory()
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                config = edit(config, match(line, FORMS, self.context))
        return config

    def render(self, config: Config) -> str:
        return "\n".join(render(config)) + "\n"

    def landings(self, config: Config) -> Mapping[str, Landing]:
        return config.landings()

    def overlaid(self, config: Config, links: Mapping[str, Link]) -> Config:
        return config.overlaid(links)

    @property
    def system_name(self) -> str:
        return self.declared.hostname

    @property
    def lldp_runs(self) -> bool:
        return self.declared.lldp

    @property
    def about(self) -> str:
        return f"Mellanox MSN2700,Onyx,SWv{VERSION}"

    def job(self, number: int) -> Job:
        return self.jobs.setdefault(number, Job())

    def keep_jobs(self) -> None:
        self.store.save_flash("jobs.json", _JOBS.dump_json(self.jobs).decode())

    def remove_job(self, number: int) -> None:
        if number not in self.jobs:
            raise CliError(f"% Job {number} does not exist.")
        del self.jobs[number]
        self.keep_jobs()

    def execute(self, number: int) -> None:
        """Enter a job's lines in their order, going on after one that is refused.

        Raises:
            CliError: there is no such job, or the kernel refused.

        """
        if number not in self.jobs:
            raise CliError(f"% Job {number} does not exist.")
        job, config = self.jobs[number], self.running()
        for _, line in sorted(job.lines.items()):
            config = edit(config, match(line, FORMS, self.context))
        self.replace(config)
        job.done = True
        self.keep_jobs()

    def waits(self) -> bool:
        return any(job.due is not None for job in self.jobs.values())

    def expire(self) -> bool:
        now = self.clock()
        due = [n for n, job in self.jobs.items() if job.due is not None and job.due <= now]
        for number in due:
            self.execute(number)
        return bool(due)
