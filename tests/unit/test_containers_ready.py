"""Waiting for readiness, against an engine that plays a given course of states."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from remote import container_ready
from remote.connection import Connection
from remote.container_spec import ContainerSpec, Readiness
from remote.errors import RackformError

if TYPE_CHECKING:
    import docker

NODE = Connection(
    name="w1", address="192.0.2.1", private_key_file=Path("/key"), host_key="ssh-ed25519 AAAA"
)


class Engine:
    """The part of Docker's client that waiting uses; each look moves its course on by one."""

    def __init__(self, course: Sequence[tuple[str, int, int]], answers: Callable[[], int]) -> None:
        self.course = list(course)
        self.answers = answers

    @property
    def api(self) -> "Engine":
        return self

    def inspect_container(self, _: str) -> dict[str, object]:
        status, exit_code, restarts = self.course.pop(0) if self.course[1:] else self.course[0]
        return {"State": {"Status": status, "ExitCode": exit_code}, "RestartCount": restarts}

    def exec_create(self, *_: object) -> dict[str, str]:
        return {"Id": "x"}

    def exec_start(self, *_: object) -> None:
        pass

    def exec_inspect(self, _: str) -> dict[str, int]:
        return {"ExitCode": self.answers()}

    def logs(self, *_: object, **__: object) -> bytes:
        return b"first\nthe cause stands here\n"


def wait(course: Sequence[tuple[str, int, int]], answer: int = 0, timeout_s: int = 5) -> None:
    spec = ContainerSpec(
        name="redis",
        image="r/redis@sha256:" + "0" * 64,
        image_id="sha256:" + "0" * 64,
        command=[],
        ready=Readiness(kind="exec", target=["ask"], timeout_s=timeout_s),
    )
    engine = cast("docker.DockerClient", Engine(course, lambda: answer))
    container_ready.wait_ready(engine, NODE, spec, lambda _: None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_ready, "POLL_S", 0.001)


def test_a_running_container_that_answers_is_ready() -> None:
    wait([("running", 0, 0)])


def test_one_restart_is_forgiven_as_a_neighbour_may_not_be_up_yet() -> None:
    wait([("running", 0, 0), ("restarting", 1, 1), ("restarting", 1, 1), ("running", 0, 1)])


def test_a_crash_loop_is_told_at_once_with_the_last_lines_and_the_status() -> None:
    looping = [("restarting", 3, n) for n in (0, 0, 1, 1, 2, 2, 3, 3)]
    with pytest.raises(RackformError, match=r"(?s)redis on w1 ended 4 times.*status 3.*the cause"):
        wait(looping, timeout_s=3600)


def test_a_container_that_ended_is_told_at_once() -> None:
    with pytest.raises(RackformError, match=r"(?s)ended, with status 137\..*the cause stands here"):
        wait([("exited", 137, 0)], timeout_s=3600)


def test_one_that_never_answers_is_told_when_its_time_is_up() -> None:
    with pytest.raises(RackformError, match=r"(?s)not ready after 0 s \(exec ask\).*the cause"):
        wait([("running", 0, 0)], answer=1, timeout_s=0)
