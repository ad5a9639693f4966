"""The edge as its image ships it, on the loopback in front of upstreams that a test controls."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from components.passwords import hashed
from edge import limits, parts
from edge.caddyfile import FOLDER, Door
from images import builder
from images.builder.toolbox import Toolbox
from provider.credentials import issue, make_ca
from provider.inputs import CertificateRequest
from stack.paths import store_dir

HERE = "127.0.0.1"
KEYS = {"me": "key-of-me", "family": "key-of-family"}
PASSWORD = "the-operators"  # noqa: S105 - of this test's operator
RAY_TOKEN = "rays-token"  # noqa: S105 - of this test's Ray


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body_bytes: int


@dataclass
class Upstream:
    """Something behind the edge: it notes what reaches it, and answers as it is told to."""

    port: int = field(default_factory=free_port)
    status: int = 200
    post_status: int | None = None
    """How a POST is answered, where that is another status."""
    kind: str = "application/json"
    pieces: tuple[bytes, ...] = (b"done",)
    pause_s: float = 0
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is set, a GET is read and never answered."""
    asked: list[Asked] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"{HERE}:{self.port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer((HERE, self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def posts(self) -> list[Asked]:
        return [each for each in self.asked if each.method == "POST"]


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            upstream.asked.append(Asked(self.command, self.path, headers, len(body)))
            if self.command == "GET" and upstream.silent.is_set():
                time.sleep(30)
                return
            posted = upstream.post_status if self.command == "POST" else None
            self.send_response(posted or upstream.status)
            self.send_header("Content-Type", upstream.kind)
            self.end_headers()
            for piece in upstream.pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(upstream.pause_s)

        do_POST = do_GET  # noqa: N815 - the base class looks for this name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Stay silent."""

    return Handler


@dataclass(frozen=True)
class Edge:
    door: Door
    trust: ssl.SSLContext
    log: Path

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        port: int | None = None,
        name: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Ask the edge by its address, or by a name as if that led to it."""
        port = port or self.door.port
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= {"Host": f"{name}:{port}"} if name else {}
        headers |= more.pop("headers", {})
        with httpx.Client(verify=self.trust, trust_env=False, timeout=30) as client:
            extensions = {"sni_hostname": name} if name else {}
            url = f"https://{HERE}:{port}{path}"
            return client.request(method, url, headers=headers, extensions=extensions, **more)


@contextmanager
def running(door: Door, folder: Path, requests_per_minute: int | None = None) -> Iterator[Edge]:
    """Run Caddy, and HAProxy where requests are limited, for the length of the block."""
    ca, ca_key = make_ca("test")
    names = [*door.host_names, *(o.host_name for o in door.offers if o.host_name)]
    wanted = {
        "tls": CertificateRequest(
            dns_names=names if door.tls == "internal" else [], addresses=[HERE]
        ),
        "own": CertificateRequest(dns_names=names),
    }
    leaves = {kind: issue(kind, request, ca, ca_key) for kind, request in wanted.items()}
    secrets = parts.Secrets(
        keys=KEYS,
        operator_hash=hashed(PASSWORD),
        ray_token=RAY_TOKEN,
        certificates={kind: (leaf.certificate, leaf.key) for kind, leaf in leaves.items()},
    )
    for path, file in parts.edge(door, secrets).files.items():
        text = file.content.replace(FOLDER, str(folder))
        (folder / Path(path).name).write_text(text, encoding="utf-8")
    commands = [("caddy", ["run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"])]
    if requests_per_minute and door.limits_port:
        config = folder / "haproxy.cfg"
        config.write_text(limits.limits(requests_per_minute, door.limits_port), encoding="utf-8")
        commands.append(("../sbin/haproxy", ["-db", "-f", str(config)]))
    log = folder / "log"
    with log.open("wb") as out:
        processes = [_start(program, arguments, folder, out) for program, arguments in commands]
        try:
            _wait_for(door.port, log)
            yield Edge(door, ssl.create_default_context(cadata=ca), log)
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGTERM)
                process.wait(20)


def _start(program: str, arguments: list[str], folder: Path, out: Any) -> subprocess.Popen[bytes]:
    built = builder.build("edge", "default", store_dir(), print)
    command = Toolbox(builder.unpack(built.digest, store_dir())).command(program, *arguments)
    environment = {"HOME": str(folder), "XDG_DATA_HOME": f"{folder}/data"}
    return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)


def _wait_for(port: int, log: Path) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((HERE, port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8")[-2000:])
