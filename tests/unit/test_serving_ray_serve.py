"""The Serve client against an HTTP server that plays Ray's dashboard and Serve's proxy."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from serving import ray_serve

HEAD = Connection(
    name="head", address="192.0.2.1", private_key_file=Path("/key"), host_key="ssh-ed25519 AAAA"
)
CONFIG: dict[str, JsonValue] = {
    "proxy_location": "HeadOnly",
    "http_options": {"host": "10.78.0.11", "port": 8000},
    "applications": [{"name": "llm", "args": {"model": "a"}}],
}
SPEC = ray_serve.ServeSpec(
    token="right",  # noqa: S106
    config=CONFIG,
    model="smol",
    api_address="10.78.0.11:8000",
    expected_nodes=1,
    expected_gpus=2,
    timeout_s=60,
)


class Ray:
    """What the played cluster has, and what it was told."""

    def __init__(self) -> None:
        self.put: list[JsonValue] = []
        self.status, self.message = "RUNNING", ""
        self.tokens = ["Paris", " it is"]
        self.shutdowns = 0
        self.forgets = 0
        """How many of the configurations that it is sent are lost."""
        self.stopping = self.stops_slowly = 0
        """How often it is asked until a stopping Serve is gone."""
        self.gone = False
        self.put_while_stopping = False

    def serve(self) -> dict[str, object]:
        if self.stopping:
            self.stopping -= 1
            return {"applications": {}, "http_options": CONFIG["http_options"]}
        if self.gone or len(self.put) <= self.forgets:
            return {"applications": {}}
        deployment = {"name": "LLM", "status": self.status, "message": self.message}
        application = {
            "name": "llm",
            "status": self.status,
            "deployed_app_config": {"name": "llm", "args": {"model": "a"}},
            "deployments": {"LLM": deployment},
        }
        return {
            "proxy_location": "HeadOnly",
            "http_options": CONFIG["http_options"],
            "applications": {"llm": application},
        }


class Handler(BaseHTTPRequestHandler):
    played: ClassVar[Ray]

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: str, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer right":
            self.answer("no", 403)
        elif self.path.startswith("/api/v0/nodes"):
            node = {"node_ip": "10.78.0.12", "state": "ALIVE", "resources_total": {"GPU": 2}}
            self.answer(json.dumps({"data": {"result": {"result": [node]}}}))
        elif self.path.startswith("/api/v0/"):
            self.answer(json.dumps({"data": {"result": {"result": []}}}))
        else:
            self.answer(json.dumps(self.played.serve()))

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        self.played.put.append(json.loads(self.rfile.read(length)))
        self.played.put_while_stopping |= bool(self.played.stopping)
        self.played.gone = bool(self.played.stopping)
        self.answer("")

    def do_DELETE(self) -> None:
        self.played.shutdowns += 1
        self.played.stopping = self.played.stops_slowly
        self.played.gone = True
        if self.played.stopping:
            self.played.status = "RUNNING"
        self.answer("")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        lines = [json.dumps({"choices": [{"delta": {"content": t}}]}) for t in self.played.tokens]
        self.answer("".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    played = Ray()

    Handler.played = played
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        @contextlib.contextmanager
        def tunnel(*_: object) -> Iterator[int]:
            yield server.server_address[1]

        monkeypatch.setattr(ssh, "tunnel", tunnel)
        monkeypatch.setattr(ray_serve, "POLL_S", 0.01)
        yield played
        server.shutdown()


def test_an_application_is_deployed_once_and_ready_when_tokens_came(ray: Ray) -> None:
    first, second = ray_serve.deploy(HEAD, SPEC), ray_serve.deploy(HEAD, SPEC)
    assert (first.answer, first.redeployed, second.redeployed) == ("Paris it is", True, False)
    assert ray.put == [CONFIG]
    assert ray_serve.pending(HEAD, SPEC) == []


def test_an_application_that_was_not_deployed_is_pending(ray: Ray) -> None:
    assert ray_serve.pending(HEAD, SPEC) == ["application llm: not deployed"]
    assert ray.put == []


def test_a_configuration_that_serve_forgot_is_sent_again(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_serve, "FORGOTTEN_S", 0.05)
    ray.forgets = 1
    assert ray_serve.deploy(HEAD, SPEC).answer == "Paris it is"
    assert ray.put == [CONFIG, CONFIG]


def test_a_serve_that_stops_is_sent_nothing_until_it_is_gone(ray: Ray) -> None:
    ray_serve.deploy(HEAD, SPEC)
    ray.status, ray.stops_slowly = "UNHEALTHY", 3
    assert ray_serve.deploy(HEAD, SPEC).redeployed
    assert ray.shutdowns == 1
    assert not ray.put_while_stopping


def test_running_without_tokens_is_not_ready(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_serve, "TOKEN_TIMEOUT_S", 0.2)
    ray.tokens = []
    with pytest.raises(RackformError, match="llm is RUNNING but gives no tokens"):
        ray_serve.deploy(HEAD, SPEC)
    assert "gives no tokens" in ray_serve.pending(HEAD, SPEC)[0]


def test_a_failed_replica_is_told_with_its_error_and_not_as_a_timeout(ray: Ray) -> None:
    ray.status, ray.message = "DEPLOY_FAILED", "Error:\nTraceback\nValueError: no such model"
    with pytest.raises(RackformError, match="llm failed to start: ValueError: no such model"):
        ray_serve.deploy(HEAD, SPEC)


def test_a_failed_version_is_started_anew(ray: Ray) -> None:
    ray.put.append(CONFIG)
    ray.status = "DEPLOY_FAILED"
    with pytest.raises(RackformError):
        ray_serve.deploy(HEAD, SPEC)
    assert (ray.shutdowns, len(ray.put)) == (1, 2)


def test_nodes_that_do_not_come_are_counted_in_the_error(ray: Ray) -> None:
    wanting = SPEC.model_copy(update={"expected_nodes": 3, "timeout_s": 0})
    with pytest.raises(RackformError, match="Ray has 1 nodes and 2 GPUs after 0 s, but 3 nodes"):
        ray_serve.deploy(HEAD, wanting)
    assert ray.put == []


@pytest.mark.usefixtures("ray")
def test_a_wrong_token_is_told_at_once() -> None:
    wrong = SPEC.model_copy(update={"token": "wrong", "timeout_s": 3600})
    with pytest.raises(RackformError, match=r"refuses the token \(403\)"):
        ray_serve.deploy(HEAD, wrong)


def test_deleting_stops_serve_and_what_is_gone_is_no_error(ray: Ray) -> None:
    ray_serve.delete(HEAD, SPEC)
    assert ray.shutdowns == 0
    ray.put.append(CONFIG)
    ray_serve.delete(HEAD, SPEC)
    assert ray.shutdowns == 1
