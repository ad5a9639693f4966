"""Ray Serve's REST API through an SSH tunnel to the head: deploy, compare, delete.

An application counts as ready when it streamed tokens: `RUNNING` alone is no proof, a replica whose
workers hang is RUNNING as well.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from serving.ray_api import RayApi
from serving.serve_status import Application, changes, failure, first_line, last_lines

Progress = Callable[[str], None]

POLL_S = 1.0
SAME_FAILURES = 2
"""How often one error must come back before it is called final; Serve itself tries three times."""

PROMPT = "What is the capital of France?"
ANSWER_TOKENS = 12
ERROR_LINES = 15
FORGOTTEN_S = 15
"""How long Serve may know nothing of what it was sent, before it is sent again."""

TOKEN_TIMEOUT_S = 60
"""Longest wait for the first token of a RUNNING application, before its workers' logs are read."""


def _silent(_: str) -> None:
    pass


class ServeSpec(BaseModel):
    """One Serve configuration on one Ray cluster, and what must be there before it is deployed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dashboard_port: int = 8265
    token: str = Field(description="Ray's authentication token")
    config: dict[str, JsonValue]
    application: str = "llm"
    model: str
    api_address: str = Field(description="host:port of Serve's proxy, as seen from the head")
    expected_nodes: int
    expected_gpus: int
    timeout_s: int = 600


@dataclass(frozen=True)
class Ready:
    answer: str
    """The text of the readiness prompt's answer."""
    seconds: dict[str, float]
    """Phase (nodes, application, tokens) → how long it took."""
    redeployed: bool


@dataclass(frozen=True)
class Cluster:
    nodes_alive: int
    gpus: int
    nodes: list[dict[str, str | int]]
    """address, state, gpus of each node that Ray knows, dead ones too."""


def deploy(head: Connection, spec: ServeSpec, progress: Progress = _silent) -> Ready:
    """Bring the cluster to the declared configuration and wait until tokens come.

    What already runs as declared is left alone. Raises RackformError with the replica's last error
    when it fails, and with its workers' last lines when it runs but gives no tokens.
    """
    clock = _Clock(spec.timeout_s)
    with _api(head, spec) as api:
        _wait_for_nodes(api, spec, clock, progress)
        clock.lap("nodes")
        redeployed = _put(api, spec, clock, progress)
        _wait_until_running(api, spec, clock, progress)
        clock.lap("application")
        progress(f"asking {spec.model} for tokens")
        answer = _tokens_or_why(head, api, spec, clock)
        clock.lap("tokens")
    return Ready(answer, clock.seconds, redeployed)


def pending(head: Connection, spec: ServeSpec) -> list[str]:
    """Return a sentence for each thing that `deploy` would mend; none where tokens came."""
    with _api(head, spec) as api:
        try:
            details = api.applications()
        except RackformError as error:
            return [f"Ray's dashboard on {head.name} does not answer: {error}"]
        due = changes(spec.config, details)
        application = Application.find(details, spec.application)
        if application is None:
            return due
        if application.status != "RUNNING":
            return [*due, f"{spec.application} is {application.status}"]
        if due:
            return due
        try:
            _first_tokens(head, spec, 1, timeout_s=15)
        except _NoTokensError as error:
            return [f"{spec.application} is RUNNING but gives no tokens: {error}"]
    return []


def delete(head: Connection, spec: ServeSpec) -> None:
    """Remove the application; where it is not, or Ray is down, there is nothing to remove."""
    with _api(head, spec) as api:
        try:
            details = api.applications()
        except RackformError:
            return
        kept = [a for name, a in details.applications.items() if name != spec.application]
        if spec.application not in details.applications:
            return
        if kept:
            api.put({**spec.config, "applications": [a.deployed_app_config for a in kept]})
        else:
            api.shutdown()


def cluster(head: Connection, spec: ServeSpec) -> Cluster:
    """Return what Ray knows of its nodes."""
    with _api(head, spec) as api:
        return _cluster(api)


class _Clock:
    def __init__(self, limit_s: float) -> None:
        self.started = self.lapped = time.monotonic()
        self.limit_s = limit_s
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self.lapped, 1)
        self.lapped = now

    def over(self) -> bool:
        return time.monotonic() - self.started > self.limit_s


@contextlib.contextmanager
def dashboard(head: Connection, dashboard_port: int, token: str) -> Iterator[RayApi]:
    """Yield Ray's dashboard, which listens on the head's loopback alone."""
    with (
        ssh.tunnel(head, "127.0.0.1", dashboard_port) as port,
        RayApi(f"http://127.0.0.1:{port}", token) as reached,
    ):
        yield reached


def _api(head: Connection, spec: ServeSpec) -> contextlib.AbstractContextManager[RayApi]:
    return dashboard(head, spec.dashboard_port, spec.token)


def _cluster(api: RayApi) -> Cluster:
    nodes = api.nodes()
    alive = [n for n in nodes if n.state == "ALIVE"]
    return Cluster(
        nodes_alive=len(alive),
        gpus=sum(n.gpus for n in alive),
        nodes=[{"address": n.node_ip, "state": n.state, "gpus": n.gpus} for n in nodes],
    )


def _wait_for_nodes(api: RayApi, spec: ServeSpec, clock: _Clock, progress: Progress) -> None:
    said = ""
    while True:
        try:
            found = _cluster(api)
            has = f"{found.nodes_alive} nodes and {found.gpus} GPUs"
            if found.nodes_alive >= spec.expected_nodes and found.gpus >= spec.expected_gpus:
                return
        except RackformError as error:
            if not api.may_recover(error):
                raise
            has = f"no answer ({first_line(str(error))})"
        wanted = f"{spec.expected_nodes} nodes and {spec.expected_gpus} GPUs"
        if clock.over():
            raise RackformError(
                f"Ray has {has} after {clock.limit_s:.0f} s, but {wanted} are declared: see "
                "'docker logs ray' on the nodes that are missing"
            )
        if has != said:
            progress(f"Ray has {has} of {wanted}")
            said = has
        time.sleep(POLL_S)


def _put(api: RayApi, spec: ServeSpec, clock: _Clock, progress: Progress) -> bool:
    """Send the configuration unless it runs or starts already; tell whether it was sent."""
    details = api.applications()
    application = Application.find(details, spec.application)
    due = changes(spec.config, details)
    failed = application is not None and application.status in {"DEPLOY_FAILED", "UNHEALTHY"}
    if application is not None and not due and not failed:
        return False
    if details.proxy_differs(spec.config) or failed:
        # Serve takes another proxy address only when it starts, and a failed version only anew
        progress("stopping Ray Serve to start it anew")
        _stop(api, clock)
    progress(f"deploying {spec.application}")
    api.put(spec.config)
    return True


def _stop(api: RayApi, clock: _Clock) -> None:
    """Stop Serve and wait until it is gone: what a stopping Serve is sent, it forgets."""
    api.shutdown()
    while api.applications(patient=True).runs and not clock.over():
        time.sleep(POLL_S)


def _wait_until_running(api: RayApi, spec: ServeSpec, clock: _Clock, progress: Progress) -> None:
    said, failures = "", dict[str, int]()
    sent = time.monotonic()
    while True:
        application = Application.find(api.applications(patient=True), spec.application)
        status = application.status if application else "NOT_STARTED"
        if application is None and time.monotonic() - sent > FORGOTTEN_S:
            progress(f"Serve knows nothing of {spec.application}: deploying it again")
            api.put(spec.config)
            sent = time.monotonic()
        if status == "RUNNING":
            return
        if application and (error := failure(application)):
            if error.key not in failures:
                progress(f"{spec.application}: a replica failed: {first_line(error.text)}")
            failures.setdefault(error.key, 0)
            failures[error.key] = max(failures[error.key], error.count)
            if error.final or failures[error.key] >= SAME_FAILURES:
                raise RackformError(_failed(api, application, error.text))
        if clock.over():
            logs = _logs(api, application) if application else ""
            raise RackformError(
                f"{spec.application} is {status} after {clock.limit_s:.0f} s. {logs}\n"
                "Raise timeout_s if it is only slow; Ray's dashboard on the head has the rest."
            )
        if status != said:
            progress(f"{spec.application} is {status}")
            said = status
        time.sleep(POLL_S)


def _failed(api: RayApi, application: Application, error: str) -> str:
    return (
        f"{application.name} failed to start: {first_line(error)}\n"
        f"{last_lines(error, ERROR_LINES)}\n{_logs(api, application)}\n"
        "Mend the cause (the model's settings, its folder, the nodes' memory) and run 'up' again."
    )


def _logs(api: RayApi, application: Application) -> str:
    """Return the last lines of the replicas and of the engine's workers, named."""
    tails = [
        api.replica_log(r) for d in application.deployments.values() for r in d.telling_replicas
    ]
    tails += api.worker_logs()
    return "\n".join(tail for tail in tails if tail)


class _NoTokensError(Exception):
    """No token came: why, as far as the proxy tells."""


def _tokens_or_why(head: Connection, api: RayApi, spec: ServeSpec, clock: _Clock) -> str:
    """Ask until tokens come: the proxy may learn its routes a moment after RUNNING."""
    deadline = time.monotonic() + TOKEN_TIMEOUT_S
    while True:
        try:
            return _first_tokens(head, spec, ANSWER_TOKENS, TOKEN_TIMEOUT_S)
        except _NoTokensError as error:
            application = Application.find(api.applications(patient=True), spec.application)
            running = application is not None and application.status == "RUNNING"
            if clock.over() or (running and time.monotonic() > deadline):
                logs = _logs(api, application) if application else ""
                raise RackformError(
                    f"{spec.application} is {application.status if application else 'gone'} but "
                    f"gives no tokens: {error}\n{logs}\n"
                    "Mend what the workers report and run 'up' again."
                ) from error
        time.sleep(POLL_S)


def _first_tokens(head: Connection, spec: ServeSpec, count: int, timeout_s: float) -> str:
    """Stream the readiness prompt's greedy answer; _NoTokensError where none comes in time."""
    host, _, port = spec.api_address.rpartition(":")
    body = {
        "model": spec.model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": count,
        "temperature": 0,
        "stream": True,
    }
    text = ""
    try:
        with (
            ssh.tunnel(head, host, int(port)) as local,
            httpx.stream(
                "POST",
                f"http://127.0.0.1:{local}/v1/chat/completions",
                json=body,
                timeout=timeout_s,
                trust_env=False,
            ) as response,
        ):
            if not response.is_success:
                raise _NoTokensError(
                    f"HTTP {response.status_code}: {response.read().decode()[:500]}"
                )
            for line in response.iter_lines():
                text += _content(line)
    except httpx.HTTPError as error:
        raise _NoTokensError(f"{type(error).__name__} after {timeout_s:.0f} s: {error}") from error
    if not text:
        raise _NoTokensError("the stream ended without a token")
    return text


def _content(line: str) -> str:
    """Return the text in one line of a server-sent event stream."""
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return ""
    event = json.loads(data)
    if "error" in event:
        raise _NoTokensError(str(event["error"])[:500])
    choices = event.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
