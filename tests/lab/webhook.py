"""A web hook that notes what Alertmanager posts to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECEIVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[3], "ab") as out:
            out.write(body.strip() + b"\\n")
        self.send_response(200)
        self.end_headers()
HTTPServer((sys.argv[1], int(sys.argv[2])), Hook).serve_forever()
"""
"""Arguments: address, port, the file to which each post adds a line."""


def told(file: Path) -> Iterator[dict[str, Any]]:
    """Give every alert that was posted, the oldest first."""
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            yield from json.loads(line)["alerts"]


def was_told(file: Path, alert: str, status: str, **labels: str) -> bool:
    return any(
        each["status"] == status
        and each["labels"]["alertname"] == alert
        and labels.items() <= each["labels"].items()
        for each in told(file)
    )
