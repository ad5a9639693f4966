"""`rackform doctor`: how it asks, on loopback; what it prints; with which status it ends."""

import contextlib
import io
import json
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Self

import pytest
from rich.console import Console

from cli import doctor as command
from cli import doctor_facts as gathering
from cli.__main__ import main
from cli.doctor import Report, told
from doctor.model import Check, Facts, Result, Status
from fabric.protocol import SwitchState
from provider.credentials import issue, make_ca
from provider.inputs import CertificateRequest
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError, Unreachable
from serving.ray_api import RefusedError
from stack.load import load_site
from stack.schema import Site
from tests.unit.doctor_facts import facts, node, switched
from tests.unit.loopback_ssh import Loopback, serving
from tests.unit.site_examples import example


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(example())


def over_ssh(loopback: Loopback, folder: Path, name: str = "head") -> Connection:
    key = folder / "id"
    key.write_text(loopback.private_key())
    key.chmod(0o600)
    return Connection(
        name=name,
        address="127.0.0.1",
        port=loopback.port,
        user="rack",
        private_key_file=key,
        host_key=loopback.public_host_key,
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rackform", "doctor", *arguments])
    return main()


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch, site: Site) -> dict[str, Facts]:
    """Let the command judge the facts that a test puts under 'facts', of the example's site."""
    holder = {"facts": facts(site)}
    monkeypatch.setattr(command, "read_stack", lambda _: example())
    monkeypatch.setattr(command, "gather", lambda *_: holder["facts"])
    return holder


@pytest.mark.usefixtures("gathered")
def test_a_healthy_stack_ends_with_status_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    assert "stack lab: all right" in capsys.readouterr().out


def test_what_is_wrong_ends_with_status_1_and_is_told_for_programs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gathered: dict[str, Facts],
    site: Site,
) -> None:
    gathered["facts"] = facts(site, w1=node(site, "w1", containers=()))
    assert run(monkeypatch, "--json", "containers") == 1
    report = Report.model_validate(json.loads(capsys.readouterr().out))
    assert not report.ok
    (bad,) = [each for each in report.results if each.status is Status.WRONG]
    assert (bad.check, bad.where) == (Check.CONTAINERS, "w1 ray-worker")
    assert {each.check for each in report.results} == {Check.NODES, Check.STACK, Check.CONTAINERS}


@pytest.mark.usefixtures("gathered")
def test_a_check_that_is_none_ends_with_status_2_and_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "continers") == 2
    assert "did you mean containers?" in capsys.readouterr().err


def test_a_stack_of_which_nothing_was_made_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "read_stack", lambda _: example())
    monkeypatch.setattr(gathering, "machines", lambda _: {})
    assert run(monkeypatch, "--stack", "lab") == 1
    assert "run ./rackform up --stack lab" in capsys.readouterr().err


def test_the_report_prints_what_was_measured_what_is_expected_and_what_to_do() -> None:
    results = (
        Result(check=Check.MTU, where="w1.fab0", status=Status.WRONG, measured="MTU 1500 [x]",
               expected="9000 bytes", remedy="./rackform up"),
        Result(check=Check.RAY, where="cluster", status=Status.OK, measured="3 alive"),
    )  # fmt: skip
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(told(Report(stack="lab", ok=False, seconds=2.5, results=results)))
    text = console.export_text()
    assert "MTU 1500 [x]" in text
    assert "expected: 9000 bytes" in text
    assert "to do: ./rackform up" in text
    assert "stack lab: wrong: mtu (1 ok, 1 wrong, 0 not checked; 2.5 s)" in text


def test_a_node_that_answers_is_asked_and_one_that_does_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    with serving() as loopback, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        there = over_ssh(loopback, tmp_path)
        gone = there.model_copy(update={"name": "w1", "port": nobody.getsockname()[1]})
        monkeypatch.setattr(gathering, "machines", lambda _: {"head": there, "w1": gone})
        found = gathering.gather("lab", site, [Check.NODES, Check.CLOCKS])
    head, off, missing = (found.nodes[name] for name in ("head", "w1", "w2"))
    assert head.reachable
    assert head.machine
    assert "lo" in head.interfaces
    assert head.clock
    assert abs(head.clock.off_s) <= head.clock.uncertain_s + 0.1
    assert (head.containers, head.reaches_head, found.service) == (None, None, None)
    assert "w1 (rack@127.0.0.1" in off.reason
    assert "has not been made yet" in missing.reason


def test_a_kept_connection_to_a_host_that_is_off_is_given_up_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connection = Connection(
        name="w1", address="192.0.2.1", private_key_file=tmp_path, host_key="unused"
    )
    answers: list[Exception | None] = [RackformError("not done after 10 s"), None]
    forgotten: list[str] = []

    def answer(*_: object, **__: object) -> None:
        if error := answers.pop(0):
            raise error

    monkeypatch.setattr(ssh, "run", answer)
    monkeypatch.setattr(ssh, "forget", lambda each: forgotten.append(each.name))
    gathering._reach(connection)
    assert forgotten == ["w1"]
    answers += [Unreachable("no route"), Unreachable("no route")]
    with pytest.raises(Unreachable):
        gathering._reach(connection)


def test_a_switch_is_read_and_one_that_does_not_answer_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connection = Connection(
        name="tor1", address="192.0.2.1", private_key_file=tmp_path, host_key="unused"
    )
    state = switched().state

    class Open:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> SwitchState | None:
            return state

    monkeypatch.setattr(gathering, "open_switch", lambda *_: Open())
    assert gathering._switch("eos", connection).state == state
    assert "not been made" in gathering._switch("eos", None).reason

    def refused(*_: object) -> None:
        raise Unreachable("switch tor1 refuses")

    monkeypatch.setattr(gathering, "open_switch", refused)
    assert gathering._switch("eos", connection).reason == "switch tor1 refuses"


@contextlib.contextmanager
def answering(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        port: int = server.socket.getsockname()[1]
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Redis(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert self.request.recv(64) == b"PING\r\n"
        self.request.sendall(b"-NOAUTH Authentication required.\r\n")


def through(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let every tunnel lead to one port of this machine."""
    monkeypatch.setattr(ssh, "tunnel", lambda *_: contextlib.nullcontext(port))


def test_redis_is_asked_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: Site
) -> None:
    head = Connection(
        name="head", address="192.0.2.1", private_key_file=tmp_path, host_key="unused"
    )
    with answering(socketserver.TCPServer(("127.0.0.1", 0), Redis)) as port:
        through(monkeypatch, port)
        assert gathering._redis(head, "10.78.0.11", site).startswith("-NOAUTH")
    assert gathering._redis(head, "10.78.0.11", site) == ""


class Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == "Bearer right"
        nodes = [
            {"node_ip": "10.78.0.11", "state": "ALIVE", "resources_total": {"CPU": 4}},
            {"node_ip": "10.78.0.12", "state": "DEAD", "resources_total": {"GPU": 2.0}},
        ]
        body = json.dumps({"data": {"result": {"result": nodes}}}).encode()
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_ray_s_nodes_are_read_from_its_dashboard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = Connection(
        name="head", address="192.0.2.1", private_key_file=tmp_path, host_key="unused"
    )
    with answering(HTTPServer(("127.0.0.1", 0), Dashboard)) as port:
        through(monkeypatch, port)
        found = gathering._ray(head, 8265, "right")
        with pytest.raises(RefusedError):
            gathering._ray(head, 8265, "wrong")
    assert [(each.address, each.alive, each.gpus) for each in found] == [
        ("10.78.0.11", True, 0),
        ("10.78.0.12", False, 2),
    ]


@contextlib.contextmanager
def over_tls(folder: Path, made: Mapping[str, str]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, text in made.items():
        (folder / name).write_text(text)
    context.load_cert_chain(folder / "crt", folder / "key")

    class Server(socketserver.TCPServer):
        def get_request(self) -> tuple[ssl.SSLSocket, object]:
            plain, address = super().get_request()
            return context.wrap_socket(plain, server_side=True), address

        def handle_error(self, *_: object) -> None: ...

    with answering(Server(("127.0.0.1", 0), socketserver.BaseRequestHandler)) as port:
        yield port


def test_a_certificate_tells_its_days_to_whoever_trusts_its_ca(tmp_path: Path) -> None:
    ca, key = make_ca("example")
    leaf = issue("edge", CertificateRequest(dns_names=[], addresses=["127.0.0.1"]), ca, key)
    other, _ = make_ca("other")
    with over_tls(tmp_path, {"crt": leaf.certificate, "key": leaf.key}) as port:
        good = gathering._certificate("edge", "127.0.0.1", port, ca)
        strange = gathering._certificate("edge", "127.0.0.1", port, other)
    assert good.days
    assert 820 < good.days < 826
    assert (strange.days, "certificate verify failed" in strange.error) == (None, True)
    assert "refused" in gathering._certificate("edge", "127.0.0.1", port, ca).error
