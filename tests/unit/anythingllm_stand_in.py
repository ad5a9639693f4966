"""A stand-in for AnythingLLM: as much of its API as its set-up uses, as the real one answered.

Without both of its secrets it lets everybody in, as the real one does.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class AnythingLlmStandIn:
    def __init__(self, auth_token: str | None, jwt_secret: str | None) -> None:
        self.auth_token = auth_token
        self.open = not (auth_token and jwt_secret)
        self.sessions: set[str] = set()
        self.keys: list[dict[str, Any]] = []
        self.workspaces: list[dict[str, Any]] = []
        self.writes: list[str] = []
        """What changed something, in its order."""

    def answer(self, method: str, path: str, bearer: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/ping":
            return 200, {"online": True}
        if path == "/api/request-token":
            return self._request_token(body)
        if path.startswith("/api/v1/"):
            if bearer not in {key["secret"] for key in self.keys}:
                return 403, {"error": "No valid api key found."}
            return self._developers(method, path.removeprefix("/api/v1/"), body)
        if not self.open and bearer not in self.sessions:
            return 401, {"error": "No auth token found."}
        return self._system(method, path.removeprefix("/api/system/"), body)

    def _request_token(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body.get("password") != self.auth_token:
            return 401, {
                "valid": False,
                "token": None,
                "message": "[003] Invalid password provided",
            }
        session = secrets.token_hex(8)
        self.sessions.add(session)
        return 200, {"valid": True, "token": session, "message": None}

    def _system(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if (method, path) == ("GET", "api-keys"):
            return 200, {"apiKeys": self.keys, "error": None}
        if (method, path) == ("POST", "generate-api-key"):
            key = {"id": len(self.keys) + 1, "name": body.get("name"),
                   "secret": "-".join(secrets.token_hex(4).upper() for _ in range(4))}  # fmt: skip
            self.keys.append(key)
            self.writes.append("key")
            return 200, {"apiKey": key, "error": None}
        return 404, None

    def _developers(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if (method, path) == ("GET", "auth"):
            return 200, {"authenticated": True}
        if (method, path) == ("GET", "workspaces"):
            return 200, {"workspaces": self.workspaces}
        if (method, path) == ("POST", "workspace/new"):
            name = str(body["name"])
            taken = any(space["slug"] == name.lower() for space in self.workspaces)
            slug = f"{name.lower()}-{secrets.randbelow(10**8)}" if taken else name.lower()
            space = {"id": len(self.workspaces) + 1, "name": name, "slug": slug}
            self.workspaces.append(space)
            self.writes.append("workspace")
            return 200, {"workspace": space, "message": "Workspace created"}
        return 404, None


@contextmanager
def serving(stand_in: AnythingLlmStandIn) -> Iterator[int]:
    """Answer on a port of 127.0.0.1, which is yielded."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

        def _reply(self, body: dict[str, Any]) -> None:
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = stand_in.answer(self.command, self.path, bearer, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
