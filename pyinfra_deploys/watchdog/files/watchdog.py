"""Asks the models for real tokens, and restarts what hangs: workers first, the head after them.

A program of its own, with the standard library alone: `python3 watchdog.py settings.json`. On the
head it watches, and tells on the fabric which node it wants restarted. On a worker it follows: it
asks the head, and restarts its own node's container. Nobody gets a way into another machine.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_FAILED = (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError)
"""All that a half-dead service may answer a question with."""
_RESTART_S = 300
_RUNGS = "0: tokens come; restarted are 1: the workers, 2: the head, too; 3: gave up."
_ORDER_HOLDS_S = 60
"""How long a follower carries an order out: one that was off then has begun anew since."""


class Serve(Enum):
    """What Ray Serve says of its applications, which is not whether tokens come."""

    RUNNING = "running"
    STARTING = "starting"
    EMPTY = "empty"
    """Nothing is to be served: before the first `up`, or while a node is drained."""
    MUTE = "mute"
    """Ray's head does not answer."""


class Rung(Enum):
    """How far it went since tokens came last."""

    CALM = 0
    WORKERS = 1
    HEAD = 2
    GAVE_UP = 3


@dataclass
class Ladder:
    """When to restart what. It waits anew whenever Serve gets into another state by itself."""

    after_s: float
    """Silence that is borne while Serve says that all runs."""
    start_s: float
    """Silence that is borne while Serve starts something, or does not answer."""
    workers_of: Mapping[str, Collection[str]]
    """Model → nodes of its ranks, without the head."""
    since: float
    noticed_s: float = 120
    """What Serve may need to notice a restart: for as long RUNNING may still be the old state."""
    rung: Rung = Rung.CALM
    serve: Serve = Serve.EMPTY

    def step(self, now: float, serve: Serve, silent: Collection[str]) -> Collection[str] | None:
        """Return the workers to restart; none of them means the head; None: nothing is due."""
        if not silent or serve is Serve.EMPTY:
            self.rung, self.since, self.serve = Rung.CALM, now, serve
            return None
        if serve is not self.serve:
            self.since, self.serve = now, serve
        borne = self.after_s if serve is Serve.RUNNING else self.start_s
        if self.rung is not Rung.CALM:
            borne = max(borne, self.noticed_s)
        if now - self.since < borne or self.rung is Rung.GAVE_UP:
            return None
        self.since = now
        workers = {node for model in silent for node in self.workers_of[model]}
        if self.rung is Rung.CALM and workers and serve is not Serve.MUTE:
            self.rung = Rung.WORKERS
            return workers
        tried = self.rung is Rung.HEAD
        self.rung = Rung.GAVE_UP if tried else Rung.HEAD
        return None if tried else ()


def fetch(
    url: str, timeout_s: float, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """Return what is answered; a request with a body is a POST."""
    request = urllib.request.Request(url, body, dict(headers or {}))  # noqa: S310 - as below
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - settings' own
        content: bytes = answer.read()
    return content


def speaks(api: str, model: str, timeout_s: float) -> bool:
    """Tell whether a tiny completion has a token; its text may be empty."""
    body = {
        "model": model, "messages": [{"role": "user", "content": "Count: 1 2 3"}], "max_tokens": 1,
    }  # fmt: skip
    headers = {"Content-Type": "application/json"}
    try:
        answer = fetch(f"{api}/v1/chat/completions", timeout_s, headers, json.dumps(body).encode())
        return bool(json.loads(answer)["usage"]["completion_tokens"] > 0)
    except _FAILED:
        return False


def generated(exposition: str, model: str) -> float:
    """Return how many tokens a model has given to anybody, of one node's metrics."""
    counted = [
        line
        for line in exposition.splitlines()
        if line.startswith("ray_vllm_generation_tokens_total{") and f'model_name="{model}"' in line
    ]
    return sum(float(line.rpartition("}")[2].split()[0]) for line in counted)


def serve_state(details: Any) -> Serve:
    """Read Serve's own report (GET /api/serve/applications/)."""
    states = [application["status"] for application in details["applications"].values()]
    if not states:
        return Serve.EMPTY
    return Serve.RUNNING if all(state == "RUNNING" for state in states) else Serve.STARTING


def restart(container: str) -> None:
    """Restart a container of this node; where there is none, or Docker is ill, say so."""
    done = subprocess.run(
        ["docker", "restart", container],
        capture_output=True, text=True, timeout=_RESTART_S, check=False,
    )  # fmt: skip
    _say(f"restarted {container}" if done.returncode == 0 else done.stderr.strip())


def _say(what: str) -> None:
    sys.stderr.write(f"watchdog: {what}\n")


@dataclass
class Orders:
    """What the head wants restarted, as followers are told of it."""

    _given: dict[str, tuple[int, float]] = field(default_factory=dict)
    """node → (number, when)"""

    def give(self, nodes: Collection[str]) -> None:
        now = time.monotonic()
        self._given = {**self._given, **{node: (time.time_ns(), now) for node in nodes}}

    def told(self) -> bytes:
        now = time.monotonic()
        orders = {node: {"id": i, "age_s": now - at} for node, (i, at) in self._given.items()}
        return json.dumps(orders).encode()

    def offer(self, address: str, port: int) -> None:
        """Answer followers from now on."""
        orders = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = orders.told()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
                """Keep quiet: it is asked every few seconds."""

        server = ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


@dataclass
class Watch:
    """The head's part."""

    settings: Mapping[str, Any]
    ladder: Ladder
    orders: Orders = field(default_factory=Orders)
    restarts: dict[str, int] = field(default_factory=lambda: {"workers": 0, "head": 0})
    _counted: dict[str, float] = field(default_factory=dict)

    def once(self) -> None:
        """Ask, judge, act if it is due, and leave metrics."""
        silent = [model for model in self.ladder.workers_of if not self._alive(model)]
        armed = Path(self.settings["armed_file"])
        if not silent:
            armed.touch()
        # An appliance that never answered is being built: its `up` says what is wrong with it.
        serve = self._serve() if armed.exists() else Serve.EMPTY
        due = self.ladder.step(time.monotonic(), serve, silent)
        if due:
            self.restarts["workers"] += 1
            _say(f"no tokens from {', '.join(silent)}: restart of {', '.join(sorted(due))}")
            self.orders.give(due)
        elif due is not None:
            self.restarts["head"] += 1
            _say(f"no tokens from {', '.join(silent)}: restart of the head")
        self._leave_metrics(silent)
        if due is not None and not due:
            restart(self.settings["container"])

    def _alive(self, model: str) -> bool:
        """A model whose queue is long answers others: while its tokens are counted, it is alive."""
        if speaks(self.settings["api"], model, self.settings["timeout_s"]):
            return True
        before = self._counted.get(model)
        self._counted[model] = now = sum(
            self._generated(address, model) for address in self.settings["metrics"]
        )
        return before is not None and now > before

    def _generated(self, address: str, model: str) -> float:
        try:
            exposition = fetch(f"http://{address}/metrics", self.settings["timeout_s"])
            return generated(exposition.decode(), model)
        except _FAILED:
            return 0

    def _serve(self) -> Serve:
        try:
            token = Path(self.settings["token_file"]).read_text(encoding="utf-8").strip()
            answer = fetch(
                f"{self.settings['dashboard']}/api/serve/applications/",
                self.settings["timeout_s"],
                {"Authorization": f"Bearer {token}"},
            )
            return serve_state(json.loads(answer))
        except _FAILED:
            return Serve.MUTE

    def _leave_metrics(self, silent: Collection[str]) -> None:
        lines = [
            f"# HELP rackform_watchdog_rung {_RUNGS}",
            "# TYPE rackform_watchdog_rung gauge",
            f"rackform_watchdog_rung {self.ladder.rung.value}",
            "# HELP rackform_watchdog_silent 1: the last question brought no token.",
            "# TYPE rackform_watchdog_silent gauge",
            *(
                f'rackform_watchdog_silent{{model="{model}"}} {int(model in silent)}'
                for model in self.ladder.workers_of
            ),
            "# HELP rackform_watchdog_restarts_total Restarts since the watchdog's own start.",
            "# TYPE rackform_watchdog_restarts_total counter",
            *(
                f'rackform_watchdog_restarts_total{{what="{what}"}} {count}'
                for what, count in self.restarts.items()
            ),
        ]
        fresh = Path(f"{self.settings['metrics_file']}.new")
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.chmod(0o644)
        fresh.rename(self.settings["metrics_file"])


@dataclass
class Follow:
    """A worker's part."""

    settings: Mapping[str, Any]

    def once(self) -> None:
        """Carry out an order that is for this node, young, and not carried out yet."""
        try:
            orders = json.loads(fetch(self.settings["orders"], self.settings["timeout_s"]))
            order = orders.get(self.settings["node"])
            if not order or order["age_s"] > _ORDER_HOLDS_S:
                return
            number = str(int(order["id"]))
        except _FAILED:
            return  # the head is away: nothing is known to be wrong here
        done = Path(self.settings["done_file"])
        if done.exists() and done.read_text(encoding="utf-8") == number:
            return
        done.write_text(number, encoding="utf-8")
        restart(self.settings["container"])


def main() -> None:
    settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.umask(0o022)
    part = _watch(settings) if settings["role"] == "watch" else Follow(settings)
    while True:
        try:
            part.once()
        except (OSError, subprocess.SubprocessError) as error:
            _say(f"{error}; trying again")
        time.sleep(settings["interval_s"])


def _watch(settings: Mapping[str, Any]) -> Watch:
    watch = Watch(
        settings,
        Ladder(
            after_s=settings["after_s"],
            start_s=settings["start_s"],
            workers_of=settings["workers_of"],
            since=time.monotonic(),
        ),
    )
    watch.orders.offer(settings["address"], settings["port"])
    return watch


if __name__ == "__main__":
    main()
