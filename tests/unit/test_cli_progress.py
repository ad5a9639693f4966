"""What `up` says while the engine works, where there is no terminal."""

import io

import pytest
from rich.console import Console

from cli import progress
from cli.events import EngineEvent
from cli.progress import Progress

URN = "urn:pulumi:lab::rackform::rackform:cluster:Node$rackform:index:HostState::w1-host"
COMPONENT = "urn:pulumi:lab::rackform::rackform:cluster:Node::w1"


def event(kind: str, urn: str = URN, op: str = "create", type_: str = "") -> EngineEvent:
    metadata = {"op": op, "urn": urn, "type": type_ or urn.split("::")[-2].rsplit("$", 1)[-1]}
    return EngineEvent.model_validate({kind: {"metadata": metadata}})


@pytest.fixture
def shown() -> Progress:
    return Progress(Console(file=io.StringIO(), width=200, soft_wrap=True))


def text(shown: Progress) -> str:
    file = shown.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_what_is_made_is_said_with_the_time_it_took(shown: Progress) -> None:
    shown.on_event(event("resourcePreEvent"))
    shown.on_event(event("resOutputsEvent"))
    assert "made HostState w1-host in 0.0 s" in text(shown)
    assert shown.changed == ["w1-host"]


def test_a_long_silence_is_broken_by_what_is_still_running_and_what_it_waits_for(
    shown: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    shown.on_event(event("resourcePreEvent"))
    said = {"diagnosticEvent": {"urn": URN, "message": "waiting for sshd", "severity": "info"}}
    shown.on_event(EngineEvent.model_validate(said))
    assert text(shown) == ""
    shown.on_pause()
    assert "still HostState w1-host, 0 s: waiting for sshd" in text(shown)


def test_components_and_providers_are_no_work_and_not_shown(shown: Progress) -> None:
    provider = "urn:pulumi:lab::rackform::pulumi:providers:command::default_1_2_1"
    for urn in (COMPONENT, provider):
        shown.on_event(event("resourcePreEvent", urn))
        shown.on_event(event("resOutputsEvent", urn))
    assert text(shown) == ""
    assert shown.changed == []


def test_an_error_is_shown_and_kept(shown: Progress) -> None:
    shown.on_event(event("resourcePreEvent"))
    said = {"diagnosticEvent": {"urn": URN, "message": "no [route]", "severity": "error"}}
    shown.on_event(EngineEvent.model_validate(said))
    shown.on_event(event("resOpFailedEvent"))
    assert "error HostState w1-host: no [route]" in text(shown)
    assert "failed HostState w1-host" in text(shown)
    assert shown.failures == ["w1-host: no [route]"]
    assert shown.changed == []
