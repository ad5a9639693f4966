from pydantic import JsonValue

from serving.serve_status import Application, Details, changes, failure, first_line, last_lines

CONFIG: dict[str, JsonValue] = {
    "proxy_location": "HeadOnly",
    "http_options": {"host": "10.78.0.11", "port": 8000},
    "applications": [{"name": "llm", "args": {"llm_configs": [{"model": "a", "len": 2048}]}}],
}
TRACE = """\
A replica failed to start with exception. Retrying 2 more time(s). Error:
\x1b[36mray::ServeReplica:llm\x1b[39m (pid=1)
  File "x.py", line 1, in f
ValueError: no such model
"""


def running(**changes_: object) -> Details:
    application = {
        "name": "llm",
        "status": "RUNNING",
        "deployed_app_config": {
            "name": "llm",
            "route_prefix": "/",
            "args": {"llm_configs": [{"model": "a", "len": 2048}]},
        },
    }
    options = {"host": "10.78.0.11", "port": 8000, "root_path": ""}
    return Details.model_validate(
        {
            "proxy_location": "HeadOnly",
            "http_options": options,
            "applications": {"llm": application},
            **changes_,
        }
    )


def application(message: str, status: str = "UPDATING") -> Application:
    deployment = {"name": "LLMServer", "status": status, "message": message}
    return Application.model_validate(
        {"name": "llm", "status": "DEPLOYING", "deployments": {"LLMServer": deployment}}
    )


def test_what_serve_adds_by_itself_is_no_change() -> None:
    assert changes(CONFIG, running()) == []


def test_a_changed_value_is_named_with_its_path() -> None:
    declared: dict[str, JsonValue] = {
        **CONFIG,
        "applications": [{"name": "llm", "args": {"llm_configs": [{"model": "a", "len": 4096}]}}],
    }
    assert changes(declared, running()) == ["llm.args.llm_configs[0].len: 2048 → 4096"]


def test_an_application_that_is_not_there_and_one_too_many_are_named() -> None:
    declared: dict[str, JsonValue] = {**CONFIG, "applications": [{"name": "other"}]}
    assert changes(declared, running()) == [
        "application other: not deployed",
        "application llm: not declared",
    ]


def test_another_proxy_address_asks_for_a_new_start_of_serve() -> None:
    other = running(http_options={"host": "0.0.0.0", "port": 8000})  # noqa: S104 - the wrong one
    assert other.proxy_differs(CONFIG)
    assert not running().proxy_differs(CONFIG)
    assert not Details().proxy_differs(CONFIG)


def test_a_replica_that_failed_is_told_while_serve_still_tries() -> None:
    found = failure(application(TRACE))
    assert found
    assert (found.count, found.final) == (1, False)
    assert first_line(found.text) == "ValueError: no such model"
    assert "\x1b" not in found.text


def test_each_further_try_counts_until_the_deployment_has_failed() -> None:
    again = failure(application(TRACE.replace("Retrying 2", "Retrying 1")))
    assert again
    assert again.count == 2
    ended = failure(application("gave up. Error:\nValueError: no such model", "DEPLOY_FAILED"))
    assert ended
    assert ended.final
    assert ended.key == again.key


def test_a_healthy_application_has_no_failure() -> None:
    assert failure(application("")) is None


def test_a_long_error_keeps_its_end() -> None:
    assert last_lines("a\nb\nc", 2) == "…\nb\nc"
    assert last_lines("a\nb", 2) == "a\nb"
