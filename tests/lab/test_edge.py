"""The door of the running twin: who gets in, what waits, what is told by name and what is left.

The tests share one appliance and tell one story, in the order of the file: keys, a limit and a name
are added by one `up` and taken back by another.
"""

import json
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.appliance import STACK, configure, on, pulumi, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

HEAD = "10.77.0.11"
OPERATIONS = f"https://{HEAD}:8445"
NAME = "llm.home.arpa"
_PROXIES = "pgrep -f '^ray::ProxyActor'"


def ask(report: dict[str, Any], method: str, url: str, **more: Any) -> httpx.Response:
    trust = ssl.create_default_context(cafile=report["ca_file"])
    with httpx.Client(verify=trust, trust_env=False, timeout=120) as client:
        return client.request(method, url, **more)


def models(report: dict[str, Any], key: str) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {key}"}
    return ask(report, "GET", f"{report['endpoint']}/models", headers=bearer)


def complete(report: dict[str, Any], key: str) -> httpx.Response:
    request = {"model": report["model"], "prompt": "The sea is", "max_tokens": 4, "temperature": 0}
    bearer = {"Authorization": f"Bearer {key}"}
    return ask(report, "POST", f"{report['endpoint']}/completions", json=request, headers=bearer)


def told(*arguments: str) -> str:
    done = rackform("keys", *arguments)
    assert done.status == 0, done.text
    return done.out.strip()


def removed(path: str) -> None:
    done = pulumi("config", "rm", "--path", f"rackform:site.{path}", "--stack", STACK)
    assert done.status == 0, done.text


@pytest.fixture(scope="module")
def second_key() -> list[str]:
    """Hold the key that one test makes and a later one sees refused."""
    return []


def test_a_key_is_told_by_name_and_lets_in(report: dict[str, Any]) -> None:
    key = told("default")
    assert key == Path(report["api_key_file"]).read_text(encoding="utf-8").strip()
    assert models(report, key).status_code == httpx.codes.OK
    assert models(report, key[:-1]).status_code == httpx.codes.UNAUTHORIZED
    listed = rackform("keys", "--json")
    assert key not in listed.text
    names = [each["name"] for each in json.loads(listed.out)["api_keys"]]
    assert names == ["default"]


def test_operations_ask_for_a_login(report: dict[str, Any]) -> None:
    password = told("--password", "operator")
    for path in ("/", "/ray/api/version", "/prometheus/-/ready"):
        for auth in (None, ("operator", "wrong")):
            answer = ask(report, "GET", OPERATIONS + path, auth=auth)
            assert answer.status_code == httpx.codes.UNAUTHORIZED, path
    auth = ("operator", password)
    version = ask(report, "GET", f"{OPERATIONS}/ray/api/version", auth=auth)
    assert version.json()["ray_version"]
    submitted = ask(
        report, "POST", f"{OPERATIONS}/ray/api/jobs/", auth=auth, json={"entrypoint": "true"}
    )
    assert submitted.status_code == httpx.codes.METHOD_NOT_ALLOWED


def test_a_request_waits_while_serves_proxy_is_restarted(report: dict[str, Any]) -> None:
    key = told("default")
    before = on("head", _PROXIES).out.split()
    assert before
    assert on("head", f"kill -9 {' '.join(before)}").status == 0
    time.sleep(2)  # within the first second a request meets Serve as it is: decision 0050
    answer = complete(report, key)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["usage"]["completion_tokens"] > 0
    after = on("head", _PROXIES).out.split()
    assert after
    assert not set(before) & set(after)


def test_a_second_key_a_limit_and_a_name_come_with_one_up(
    report: dict[str, Any], second_key: list[str]
) -> None:
    configure("edge.api_keys[0]", "default")
    configure("edge.api_keys[1]", "guest")
    configure("edge.requests_per_minute", "4")
    configure("edge.host_names[0]", NAME)
    up()
    second_key.append(told("guest"))
    assert second_key[0] != told("default")
    assert complete(report, second_key[0]).status_code == httpx.codes.OK


def test_each_key_has_its_own_limit(report: dict[str, Any], second_key: list[str]) -> None:
    statuses = [models(report, second_key[0]).status_code for _ in range(6)]
    assert statuses[-1] == httpx.codes.TOO_MANY_REQUESTS
    assert statuses.count(httpx.codes.OK) == 3, "the request of the test before counts, too"
    refused = models(report, second_key[0])
    assert refused.json()["error"]["type"] == "rate_limit_exceeded"
    assert int(refused.headers["Retry-After"]) > 0


def test_the_certificate_holds_for_the_name(report: dict[str, Any]) -> None:
    answer = ask(
        report, "GET", f"https://{HEAD}/v1/models",
        headers={"Host": NAME}, extensions={"sni_hostname": NAME},
    )  # fmt: skip
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    with pytest.raises(httpx.ConnectError):
        ask(report, "GET", f"https://{HEAD}/", extensions={"sni_hostname": "other.home.arpa"})


def test_a_key_that_was_withdrawn_is_refused_after_the_up(
    report: dict[str, Any], second_key: list[str]
) -> None:
    refused = rackform("purge", "open-webui", "--yes")
    assert refused.status == 2
    assert "is still declared or runs on head" in refused.err
    removed("edge")
    removed("frontends.open_webui")
    up()
    assert models(report, second_key[0]).status_code == httpx.codes.UNAUTHORIZED
    assert models(report, told("default")).status_code == httpx.codes.OK
    assert on("head", "docker container inspect edge-limits").status != 0
    done = rackform("keys", "guest")
    assert done.status == 2
    assert "guest is none of the API keys" in done.err


def test_a_front_end_that_is_taken_out_leaves_its_data_until_the_purge(
    report: dict[str, Any],
) -> None:
    data = "/var/lib/rackform/open-webui"
    assert on("head", "docker container inspect open-webui").status != 0
    with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)):
        ask(report, "GET", f"https://{HEAD}:8443/")
    assert on("head", f"test -s {data}/webui.db").status == 0
    done = rackform("purge", "open-webui", "--yes")
    assert done.status == 0, done.text
    assert on("head", f"test -e {data}").status != 0
    configure("frontends.open_webui.node", "head")
    up()
    assert ask(report, "GET", f"https://{HEAD}:8443/health").status_code == httpx.codes.OK
