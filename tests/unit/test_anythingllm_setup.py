"""Key and workspace of AnythingLLM, made against a stand-in that answers as the real one did."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from frontends import anythingllm_setup
from frontends.anythingllm_setup import Made, Setup, make
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from tests.unit.anythingllm_stand_in import AnythingLlmStandIn, serving

SETUP = Setup.model_validate(
    {
        "connection": Connection(
            name="head", address="192.0.2.1", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
        ),
        "address": "10.78.0.11",
        "port": 3001,
        "password": "auth-secret",
        "workspace": "cluster",
        "key_name": "rackform",
    }
)


@pytest.fixture
def stand_in() -> AnythingLlmStandIn:
    return AnythingLlmStandIn("auth-secret", "jwt-secret")


def made(stand_in: AnythingLlmStandIn, setup: Setup = SETUP) -> Made:
    with serving(stand_in) as port:
        return make(setup, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("missing", ["auth_token", "jwt_secret"])
def test_without_one_of_its_secrets_anybody_can_mint_a_key(missing: str) -> None:
    """Why the container is refused without them."""
    given = {"auth_token": "auth-secret", "jwt_secret": "jwt-secret", missing: None}
    with serving(AnythingLlmStandIn(**given)) as port:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/system/generate-api-key", json={}, trust_env=False
        )
    assert answer.json()["apiKey"]["secret"]


def test_with_both_a_stranger_is_turned_away(stand_in: AnythingLlmStandIn) -> None:
    with serving(stand_in) as port:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/system/generate-api-key", json={}, trust_env=False
        )
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_key_and_workspace_are_made_and_the_key_opens_the_api(
    stand_in: AnythingLlmStandIn,
) -> None:
    first = made(stand_in)
    assert first.changed == ["API key", "workspace"]
    assert first.workspace == "cluster"
    assert [key["secret"] for key in stand_in.keys] == [first.api_key]


def test_a_second_run_changes_nothing(stand_in: AnythingLlmStandIn) -> None:
    first, second = made(stand_in), made(stand_in)
    assert stand_in.writes == ["key", "workspace"]
    assert second == first.model_copy(update={"changed": []})


def test_a_key_of_somebody_else_is_left_alone(stand_in: AnythingLlmStandIn) -> None:
    stand_in.keys.append({"id": 1, "name": "mine", "secret": "MINE"})
    assert made(stand_in).api_key != "MINE"
    assert [key["name"] for key in stand_in.keys] == ["mine", "rackform"]


def test_a_key_that_was_withdrawn_is_made_anew(stand_in: AnythingLlmStandIn) -> None:
    first = made(stand_in)
    stand_in.keys.clear()
    second = made(stand_in)
    assert second.changed == ["API key"]
    assert second.api_key != first.api_key


def test_a_password_that_was_changed_in_the_page_is_told_with_its_remedy(
    stand_in: AnythingLlmStandIn,
) -> None:
    with pytest.raises(RackformError, match="restart its container") as refused:
        made(stand_in, SETUP.model_copy(update={"password": "old-secret"}))
    assert "secret" not in str(refused.value).replace("credentials", "")
    assert stand_in.writes == []


def test_another_api_than_the_known_one_is_told(stand_in: AnythingLlmStandIn) -> None:
    stand_in.answer = lambda *_: (200, {"token": "t"})  # type: ignore[method-assign] # the point
    with pytest.raises(RackformError, match=r"answered without apiKey\.secret"):
        made(stand_in)


def _program(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    anythingllm_setup.main()


def test_the_program_prints_what_was_made(
    stand_in: AnythingLlmStandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, str, int]] = []

    @contextmanager
    def tunnel(connection: Connection, address: str, port: int) -> Iterator[int]:
        asked.append((connection.name, address, port))
        with serving(stand_in) as reached:
            yield reached

    monkeypatch.setattr(ssh, "tunnel", tunnel)
    _program(monkeypatch, SETUP.model_dump_json())
    assert asked == [("head", "10.78.0.11", 3001)]
    assert json.loads(capsys.readouterr().out)["api_key"] == stand_in.keys[0]["secret"]


def test_a_wrong_input_is_told_without_the_secrets_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = json.dumps({"password": "auth-secret", "unknown": "also-secret"})
    with pytest.raises(SystemExit) as ended:
        _program(monkeypatch, given)
    assert "given wrongly" in str(ended.value)
    assert "-secret" not in str(ended.value)
