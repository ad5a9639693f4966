"""Ray's dashboard as an HTTP client: nodes, Serve's applications, logs."""

import time
from collections.abc import Mapping
from typing import Self

import httpx
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from remote.errors import RackformError
from serving.serve_status import Details, Replica, Reported, plain

LOG_LINES = 25
ANSWER_TIMEOUT_S = 20
PUT_TIMEOUT_S = 120
PATIENCE_S = 60
"""How long a dashboard may be silent that answered before: Ray restarts its processes."""

WORKER_CLASSES = ("RayWorkerProc", "RayWorkerWrapper")
"""The actors in which vLLM's ranks run."""
REPLICA_CLASS = "ServeReplica"
"""How the class of each of Serve's replicas begins."""


class Node(Reported):
    node_id: str = ""
    node_ip: str
    state: str
    is_head_node: bool = False
    resources_total: Mapping[str, float] = Field(default_factory=dict)

    @property
    def gpus(self) -> int:
        return int(self.resources_total.get("GPU", 0))


class Actor(Reported):
    actor_id: str
    class_name: str = ""
    state: str = ""
    node_id: str | None = None


class RefusedError(RackformError):
    """Ray refuses the token: no waiting helps."""


class RayApi:
    """The dashboard at `url`, with the cluster's token; a context manager."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_TIMEOUT_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @staticmethod
    def may_recover(error: RackformError) -> bool:
        """Tell whether waiting may help, as it does while the head starts."""
        return not isinstance(error, RefusedError)

    def nodes(self) -> list[Node]:
        """Return every node that Ray knows; one that left stays for a while as DEAD."""
        return TypeAdapter(list[Node]).validate_python(self._state("nodes", {"detail": "true"}))

    def applications(self, *, patient: bool = False) -> Details:
        """Return Serve's state; with `patient`, a silent dashboard is asked for a minute."""
        deadline = time.monotonic() + (PATIENCE_S if patient else 0)
        while True:
            try:
                answer = self._request("GET", "/api/serve/applications/")
                return Details.model_validate_json(answer.content)
            except ValidationError as error:
                raise RackformError(f"Ray Serve's answer is not understood: {error}") from error
            except RackformError as error:
                if not self.may_recover(error) or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def put(self, config: dict[str, JsonValue]) -> None:
        """Deploy the whole configuration; RackformError with Ray's words where it is refused."""
        self._request("PUT", "/api/serve/applications/", json=config, timeout=PUT_TIMEOUT_S)

    def shutdown(self) -> None:
        """Stop Serve with all its applications."""
        self._request("DELETE", "/api/serve/applications/", timeout=PUT_TIMEOUT_S)

    def replica_log(self, replica: Replica) -> str:
        """Return the last lines of a replica's log under a heading; empty where there is none."""
        if not replica.log_file_path or not replica.node_id:
            return ""
        query = {"node_id": replica.node_id, "filename": replica.log_file_path.lstrip("/")}
        return self._log(f"replica {replica.replica_id}", query)

    def worker_logs(self) -> list[str]:
        """Return the last lines of each engine worker: the cause of a hang stands only there."""
        try:
            actors = TypeAdapter(list[Actor]).validate_python(
                self._state("actors", {"limit": "200"})
            )
        except (RackformError, ValidationError):
            return []
        workers = [a for a in actors if a.class_name in WORKER_CLASSES][-4:]
        return [
            self._log(
                f"worker {worker.actor_id[:8]} ({worker.state}, {suffix})",
                {"actor_id": worker.actor_id, "suffix": suffix},
            )
            for worker in workers
            for suffix in ("out", "err")
        ]

    def serving_on(self, node_id: str) -> int:
        """Return how many replicas and ranks live on a node."""
        query = {"limit": "1000", "filter_keys": "node_id", "filter_predicates": "=",
                 "filter_values": node_id}  # fmt: skip
        actors = TypeAdapter(list[Actor]).validate_python(self._state("actors", query))
        return sum(
            actor.state == "ALIVE"
            and actor.node_id == node_id
            and (actor.class_name in WORKER_CLASSES or actor.class_name.startswith(REPLICA_CLASS))
            for actor in actors
        )

    def _log(self, heading: str, query: dict[str, str]) -> str:
        try:
            answer = self._request(
                "GET", "/api/v0/logs/file", params={**query, "lines": str(LOG_LINES)}
            )
        except RackformError:
            return ""  # the log is help for an error that is told anyway
        # The stream marks each chunk with one byte: 1 for content, 0 for an error
        text = plain(answer.text.replace("\x01", ""))
        return f"--- {heading}\n{text}" if text else ""

    def _state(self, what: str, query: dict[str, str]) -> JsonValue:
        answer = self._request("GET", f"/api/v0/{what}", params=query)
        body: JsonValue = answer.json()
        for key in ("data", "result", "result"):
            if not isinstance(body, dict) or key not in body:
                raise RackformError(f"Ray's answer about its {what} is not understood")
            body = body[key]
        return body

    def _request(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, JsonValue] | None = None,
        params: dict[str, str] | None = None,
        timeout: float = ANSWER_TIMEOUT_S,
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=json, params=params, timeout=timeout)
        except httpx.HTTPError as error:
            raise RackformError(
                f"Ray's dashboard does not answer ({type(error).__name__}: {error}); see "
                "'docker logs ray' on the head"
            ) from error
        if answer.status_code in {401, 403}:
            raise RefusedError(
                f"Ray's dashboard refuses the token ({answer.status_code}): the cluster "
                "was started with another one; restart the Ray containers on every node"
            )
        if not answer.is_success:
            raise RackformError(f"Ray answers {answer.status_code}: {answer.text.strip()[:2000]}")
        return answer
