"""Ray is whole, and the model answers through the edge, and only to those with a key."""

import ssl
from typing import Any

import httpx
import pytest
from testinfra.host import Host

from remote.ssh import tunnel
from stack.expectations import Expectations

_DASHBOARD_PORT = 8265


def _ray_nodes(expectations: Expectations) -> list[dict[str, Any]]:
    """Ask Ray's dashboard, through a tunnel: the token stays in this process."""
    head = expectations.hosts[expectations.head].connection
    with tunnel(head, "127.0.0.1", _DASHBOARD_PORT) as port:
        answer = httpx.get(
            f"http://127.0.0.1:{port}/api/v0/nodes",
            headers={"Authorization": f"Bearer {expectations.ray_token}"},
            timeout=20,
            trust_env=False,
        )
    answer.raise_for_status()
    nodes: list[dict[str, Any]] = answer.json()["data"]["result"]["result"]
    return [node for node in nodes if node["state"] == "ALIVE"]


def test_every_ray_node_is_alive_and_brings_its_gpus(expectations: Expectations) -> None:
    nodes = _ray_nodes(expectations)
    assert len(nodes) == expectations.ray_nodes
    gpus = sum(node["resources_total"].get("GPU", 0) for node in nodes)
    assert gpus == expectations.ray_gpus


def test_the_dashboard_answers_nobody_from_outside_the_head(
    head: Host, expectations: Expectations
) -> None:
    for address in {
        expectations.hosts[expectations.head].connection.address,
        expectations.hosts[expectations.head].fabric_address,
    }:
        assert head.run("curl -s -m 2 http://%s:8265/", address).rc != 0


def _ask(expectations: Expectations, key: str | None) -> httpx.Response:
    api = expectations.api
    with httpx.Client(
        verify=ssl.create_default_context(cadata=api.ca_certificate),
        timeout=httpx.Timeout(120, connect=10),
        trust_env=False,
    ) as client:
        return client.post(
            f"{api.endpoint}/chat/completions",
            json={
                "model": api.model,
                "messages": [{"role": "user", "content": "Say hello."}],
                "max_tokens": 8,
                "temperature": 0,
            },
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )


def test_the_model_answers_through_the_edge(expectations: Expectations) -> None:
    answer = _ask(expectations, expectations.api.api_key)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["usage"]["completion_tokens"] > 0
    assert answer.json()["choices"][0]["message"]["content"].strip()


@pytest.mark.parametrize("key", [None, "wrong"])
def test_nobody_is_served_without_the_key(expectations: Expectations, key: str | None) -> None:
    assert _ask(expectations, key).status_code == httpx.codes.UNAUTHORIZED
