"""Caddy and HAProxy as the edge's image ships them do what their rendered configuration means."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from edge.caddyfile import CHECK_TIMEOUT_S, Door, Offer
from tests.lab.edge_programs import HERE, KEYS, PASSWORD, RAY_TOKEN, Edge, Upstream, free_port
from tests.lab.edge_programs import running as run_edge

LLM, CHAT = "llm.test", "chat.test"
PROMPT = {"model": "m", "messages": [{"role": "user", "content": "x" * 2_000_000}]}


@pytest.fixture
def model() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture
def front() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.start()
    yield upstream
    upstream.stop()


def door(model: Upstream, front: Upstream | None = None, wait_s: int = 10) -> Door:
    operations = free_port()
    offers = (
        Offer(name="open-webui", upstream=front.address, port=free_port(), host_name=CHAT),
        Offer(name="prometheus", upstream=front.address, port=operations, path="/prometheus",
              password=True),
        Offer(name="ray", upstream=front.address, port=operations, path="/ray", password=True,
              is_ray=True),
    ) if front else ()  # fmt: skip
    return Door(
        address=HERE, port=free_port(), host_names=[LLM], api=model.address, wait_s=wait_s,
        readiness_port=free_port(), offers=offers,
    )  # fmt: skip


@pytest.fixture
def edge(model: Upstream, front: Upstream, tmp_path: Path) -> Iterator[Edge]:
    with run_edge(door(model, front), tmp_path) as running:
        yield running


def _post(edge: Edge, key: str | None = KEYS["me"]) -> httpx.Response:
    return edge.ask("/v1/chat/completions", "POST", key=key, json=PROMPT)


def test_only_who_holds_a_key_is_passed_on_and_the_key_is_not(edge: Edge, model: Upstream) -> None:
    for key in (None, "wrong", "key-of-m", "-", ""):
        refused = _post(edge, key)
        assert refused.status_code == httpx.codes.UNAUTHORIZED, key
        assert refused.json()["error"]["code"] == 401
    assert model.posts() == []
    for key in KEYS.values():
        assert _post(edge, key).text == "done"
    for asked in model.posts():
        assert asked.body_bytes > 2_000_000
        assert "authorization" not in asked.headers
        assert "x-rackform-key" not in asked.headers


def test_the_log_tells_whose_key_it_was_and_never_the_key(edge: Edge) -> None:
    _post(edge, KEYS["family"])
    _post(edge, "wrong")
    lines = [json.loads(line) for line in edge.log.read_text(encoding="utf-8").splitlines()]
    users = [line["user_id"] for line in lines if line.get("msg") == "handled request"]
    assert users == ["family", "-"]
    assert KEYS["family"] not in edge.log.read_text(encoding="utf-8")


def test_nothing_of_serve_beside_its_api_is_offered(edge: Edge) -> None:
    for path in ("/metrics", "/-/routes", "/", "/v1", "/v1/../metrics"):
        assert edge.ask(path, key=KEYS["me"]).status_code == httpx.codes.NOT_FOUND, path


def test_a_stream_is_passed_on_piece_by_piece(edge: Edge, model: Upstream) -> None:
    model.pieces, model.pause_s = (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"), 0.4
    url = f"https://{HERE}:{edge.door.port}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {KEYS['me']}"}
    arrived: list[float] = []
    with (
        httpx.Client(verify=edge.trust, trust_env=False) as client,
        client.stream("POST", url, headers=headers, json=PROMPT) as answer,
    ):
        arrived += [time.monotonic() for _ in answer.iter_raw()]
    assert len(arrived) == 3
    assert arrived[2] - arrived[0] > 0.6


def test_a_request_waits_while_serve_is_down_and_then_without_a_route(
    edge: Edge, model: Upstream
) -> None:
    model.stop()
    time.sleep(1.5)
    model.status = 503

    def recover() -> None:
        time.sleep(3)
        model.start()
        time.sleep(2)
        model.status = 200

    threading.Thread(target=recover).start()
    began = time.monotonic()
    answer = _post(edge)
    assert (answer.status_code, answer.text) == (httpx.codes.OK, "done")
    assert 4.5 < time.monotonic() - began < 8
    assert [asked.body_bytes > 2_000_000 for asked in model.posts()] == [True]


def test_a_request_that_comes_right_after_serve_went_down_waits_as_well(
    edge: Edge, model: Upstream
) -> None:
    model.stop()
    timer = threading.Timer(3, model.start)
    timer.start()
    assert _post(edge).status_code == httpx.codes.OK
    timer.join()


def test_requests_of_the_very_moment_in_which_serve_lost_its_route_wait_as_well(
    edge: Edge, model: Upstream
) -> None:
    assert _post(edge).status_code == httpx.codes.OK
    with ThreadPoolExecutor(max_workers=8) as callers:
        model.status, model.kind = 404, "text/plain; charset=utf-8"
        asked = [callers.submit(_post, edge) for _ in range(8)]
        time.sleep(3)
        model.status, model.kind = 200, "application/json"
        answers = [each.result() for each in asked]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "done")] * 8
    assert [asked.body_bytes > 2_000_000 for asked in model.posts()] == [True] * 9


def test_a_request_that_loses_its_route_on_the_way_is_told_to_try_again(
    edge: Edge, model: Upstream
) -> None:
    """As between the question whether Serve is ready and the request: clients try a 503 again."""
    model.post_status, model.kind = 404, "text/plain; charset=utf-8"
    answer = _post(edge)
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["Retry-After"] == "10"
    assert answer.json()["error"]["type"] == "unavailable"


def test_a_request_waits_for_a_serve_that_does_not_say_whether_it_is_ready(
    edge: Edge, model: Upstream
) -> None:
    assert _post(edge).status_code == httpx.codes.OK
    model.silent.set()
    threading.Timer(3, model.silent.clear).start()
    began = time.monotonic()
    assert _post(edge).status_code == httpx.codes.OK
    assert time.monotonic() - began > CHECK_TIMEOUT_S


def test_what_the_models_api_does_not_find_is_not_found(edge: Edge, model: Upstream) -> None:
    model.post_status, model.pieces = 404, (b'{"error": {"message": "no such model"}}',)
    answer = _post(edge)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["error"]["message"] == "no such model"


def test_a_request_that_waited_long_enough_is_told_to_try_again(
    model: Upstream, tmp_path: Path
) -> None:
    model.stop()
    with run_edge(door(model, wait_s=2), tmp_path) as edge:
        time.sleep(1.5)
        began = time.monotonic()
        answer = _post(edge)
        assert 1.5 < time.monotonic() - began < 4
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["Retry-After"] == "10"
    assert answer.json()["error"]["type"] == "unavailable"


def test_a_key_has_so_many_requests_a_minute_and_another_key_its_own(
    model: Upstream, tmp_path: Path
) -> None:
    limited = replace(door(model), limits_port=free_port())
    with run_edge(limited, tmp_path, requests_per_minute=3) as edge:
        statuses = [_post(edge).status_code for _ in range(5)]
        refused = _post(edge)
        other = _post(edge, KEYS["family"])
        stranger = _post(edge, "wrong")
    assert statuses == [200, 200, 200, 429, 429]
    assert refused.headers["Retry-After"] == "60"
    assert refused.json()["error"]["type"] == "rate_limit_exceeded"
    assert other.status_code == httpx.codes.OK
    assert stranger.status_code == httpx.codes.UNAUTHORIZED
    assert len(model.posts()) == 4


def test_a_front_end_is_found_on_its_port_and_by_its_name(edge: Edge, front: Upstream) -> None:
    port = edge.door.offers[0].port
    assert edge.ask("/api/x", port=port, headers={"Authorization": "Bearer its-own"}).text == "done"
    assert edge.ask("/api/x", name=CHAT).text == "done"
    assert [asked.path for asked in front.asked] == ["/api/x", "/api/x"]
    assert front.asked[0].headers["authorization"] == "Bearer its-own"
    assert edge.ask("/v1/models", name=LLM).status_code == httpx.codes.UNAUTHORIZED


def test_a_wildcard_stands_for_any_name(model: Upstream, tmp_path: Path) -> None:
    with run_edge(replace(door(model), host_names=["*.example.test"]), tmp_path) as edge:
        for name in ("any.example.test", "llm.example.test"):
            assert edge.ask("/v1/models", name=name).status_code == httpx.codes.UNAUTHORIZED
            assert edge.ask("/v1/models", name=name, key=KEYS["me"]).text == "done"


def test_operations_ask_for_a_login_and_keep_the_password(edge: Edge, front: Upstream) -> None:
    port = edge.door.offers[1].port
    for path in ("/", "/prometheus", "/prometheus/graph", "/ray/"):
        for auth in (None, ("operator", "wrong"), ("admin", PASSWORD)):
            answer = edge.ask(path, port=port, auth=auth)
            assert answer.status_code == httpx.codes.UNAUTHORIZED, path
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert front.asked == []
    assert "/ray/" in edge.ask("/", port=port, auth=("operator", PASSWORD)).text
    assert edge.ask("/prometheus/graph", port=port, auth=("operator", PASSWORD)).text == "done"
    assert front.asked[0].path == "/prometheus/graph"
    assert "authorization" not in front.asked[0].headers


def test_rays_dashboard_gets_its_token_and_is_only_looked_at(edge: Edge, front: Upstream) -> None:
    ask: dict[str, Any] = {"port": edge.door.offers[1].port, "auth": ("operator", PASSWORD)}
    assert edge.ask("/ray", **ask).headers["Location"] == "/ray/"
    assert edge.ask("/ray/api/version", **ask).text == "done"
    assert front.asked[0].path == "/api/version"
    assert front.asked[0].headers["authorization"] == f"Bearer {RAY_TOKEN}"
    submitted = edge.ask("/ray/api/jobs/", "POST", json={"entrypoint": "id"}, **ask)
    assert submitted.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert len(front.asked) == 1


def test_a_websocket_passes(model: Upstream, tmp_path: Path) -> None:
    listener = socket.create_server((HERE, 0))

    def serve() -> None:
        connection = listener.accept()[0]
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        connection.sendall(connection.recv(100).upper())
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    port = free_port()
    chat = Offer(name="chat", upstream=f"{HERE}:{listener.getsockname()[1]}", port=port)
    with (
        run_edge(replace(door(model), offers=[chat]), tmp_path) as edge,
        edge.trust.wrap_socket(socket.create_connection((HERE, port)), server_hostname=HERE) as ws,
    ):
        ws.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {HERE}:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\n\r\n".encode()
        )
        assert ws.recv(65536).startswith(b"HTTP/1.1 101")
        ws.sendall(b"both ways")
        assert ws.recv(100) == b"BOTH WAYS"
    listener.close()


def test_a_document_of_some_size_reaches_the_front_end(edge: Edge, front: Upstream) -> None:
    content = bytes(40_000_000)
    answer = edge.ask("/upload", "POST", port=edge.door.offers[0].port, content=content)
    assert answer.status_code == httpx.codes.OK
    assert front.asked[0].body_bytes == len(content)


def test_a_request_that_is_too_large_is_refused_as_that(edge: Edge, model: Upstream) -> None:
    connection = HTTPSConnection(HERE, edge.door.port, context=edge.trust, timeout=10)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("Authorization", f"Bearer {KEYS['me']}")
    connection.putheader("Content-Length", "100000000")
    connection.endheaders()
    assert connection.getresponse().status == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    connection.close()
    assert model.posts() == []


@pytest.mark.parametrize("tls", ["own", "acme"])
def test_a_configuration_of_another_certificate_is_taken(
    model: Upstream, front: Upstream, tmp_path: Path, tls: Literal["own", "acme"]
) -> None:
    other = replace(door(model, front), tls=tls, email="ops@example.org")
    with run_edge(other, tmp_path) as edge:
        assert _post(edge).status_code == httpx.codes.OK
        if tls == "own":
            named = edge.ask("/v1/models", name=LLM, key=KEYS["me"])
            assert named.status_code == httpx.codes.OK
            assert "Strict-Transport-Security" in named.headers
