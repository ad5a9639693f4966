"""A Prometheus on loopback that answers what it was told to, and counts what it was asked."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answers = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Expression → its series: labels and value; an expression that is not there has none."""


class FakePrometheus:
    """Change `answers`, `firing` or `status` while it runs."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.firing: list[dict[str, Any]] = []
        self.status = 200
        self.asked: list[str] = []
        self.url = ""

    def answer(self, target: str) -> tuple[int, bytes]:
        parts = urlsplit(target)
        if self.status != 200:
            return self.status, b"no"
        if parts.path.endswith("/api/v1/alerts"):
            self.asked.append("alerts")
            return 200, _success({"alerts": self.firing})
        expression = parse_qs(parts.query)["query"][0]
        self.asked.append(expression)
        result = [
            {"metric": labels, "value": [0, str(value)]}
            for labels, value in self.answers.get(expression, ())
        ]
        return 200, _success({"resultType": "vector", "result": result})


@contextmanager
def fake_prometheus(answers: Answers) -> Iterator[FakePrometheus]:
    fake = FakePrometheus(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = fake.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


def alert(name: str, summary: str, severity: str = "critical") -> dict[str, Any]:
    return {
        "state": "firing",
        "labels": {"alertname": name, "severity": severity},
        "annotations": {"summary": summary},
        "activeAt": "2026-11-26T11:20:00.123456789Z",
    }


def _success(data: object) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()
