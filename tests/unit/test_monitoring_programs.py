"""The programs that run in the monitoring image: the GPU simulator and the token probe."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitoring.files import gpu_simulator, token_probe
from monitoring.gpu_fields import FIELDS, counters_csv, simulated

TOKEN = b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n'
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def _simulator(folder: Path) -> gpu_simulator.Simulator:
    return gpu_simulator.Simulator({"fields": simulated(), "gpus": 2, "folder": str(folder)})


def _values(text: str, metric: str) -> list[float]:
    return [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith(f"{metric}{{")
    ]


def test_the_simulator_has_the_exporters_names_and_types_and_says_what_it_is(
    tmp_path: Path,
) -> None:
    lines = _simulator(tmp_path).exposition().splitlines()
    for each in FIELDS:
        assert f"# TYPE {each.name} {each.kind}" in lines
        assert f"{each.name}, {each.kind}, {each.help}\n" in counters_csv()
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == 2 * len(FIELDS)
    for sample in samples:
        assert 'modelName="SIMULATED"' in sample
        assert 'UUID="GPU-SIM-' in sample


def test_a_file_sets_the_values_of_one_card_until_it_is_removed(tmp_path: Path) -> None:
    simulator = _simulator(tmp_path)
    (tmp_path / "gpu1.json").write_text(json.dumps({"DCGM_FI_DEV_GPU_TEMP": 91}))
    assert _values(simulator.exposition(), "DCGM_FI_DEV_GPU_TEMP") == [41, 91]
    (tmp_path / "gpu1.json").unlink()
    assert _values(simulator.exposition(), "DCGM_FI_DEV_GPU_TEMP") == [41, 41]


@pytest.mark.parametrize("text", ["", "[1]", '{"DCGM_FI_DEV_GPU_TEMP": "hot"}'])
def test_a_file_that_cannot_be_read_is_passed_over_and_told(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gpu0.json").write_text(text)
    assert _values(_simulator(tmp_path).exposition(), "DCGM_FI_DEV_GPU_TEMP") == [41, 41]
    assert "gpu0.json is passed over" in capsys.readouterr().err


@contextmanager
def _serve(*pieces: bytes, status: int = 200, delay_s: float = 0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/-/healthz" else 404)
            self.end_headers()

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["model"] == "m"
            assert asked["stream"]
            self.send_response(status)
            self.end_headers()
            time.sleep(delay_s)
            for piece in pieces:
                self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _tried(api: str, timeout_s: float = 5) -> str:
    probe = token_probe.Probe(api, "m", timeout_s)
    probe.once()
    return token_probe.exposition([probe])


def test_tokens_are_a_success_with_its_times() -> None:
    with _serve(ROLE, TOKEN, TOKEN, DONE) as api:
        text = _tried(api)
    assert 'token_probe_success{model="m"} 1.0' in text
    assert 'token_probe_failures_in_a_row{model="m"} 0.0' in text
    assert 'token_probe_health{model="m"} 1.0' in text
    assert 0 < _values(text, "token_probe_seconds_to_first_token")[0] < 5
    assert 'token_probe_last_error{model="m",error="empty"} 0.0' in text


@pytest.mark.parametrize(
    ("pieces", "status", "error"),
    [
        ((ROLE, DONE), 200, "empty"),
        ((), 200, "empty"),
        ((), 503, "http"),
        ((b"data: {}\n\n",), 200, "broken"),
        ((b"data: nonsense\n\n",), 200, "broken"),
    ],
)
def test_an_answer_without_tokens_is_a_failure_with_its_reason(
    pieces: tuple[bytes, ...], status: int, error: str
) -> None:
    with _serve(*pieces, status=status) as api:
        text = _tried(api)
    assert 'token_probe_success{model="m"} 0.0' in text
    assert f'token_probe_last_error{{model="m",error="{error}"}} 1.0' in text
    assert 'token_probe_health{model="m"} 1.0' in text


def test_an_engine_that_hangs_is_a_timeout() -> None:
    with _serve(TOKEN, DONE, delay_s=1) as api:
        assert 'token_probe_last_error{model="m",error="timeout"} 1.0' in _tried(api, 0.2)


def test_where_nothing_listens_health_fails_too() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        text = _tried(f"http://127.0.0.1:{free.getsockname()[1]}")
    assert 'token_probe_last_error{model="m",error="refused"} 1.0' in text
    assert 'token_probe_health{model="m"} 0.0' in text


def test_failures_are_counted_in_a_row() -> None:
    with _serve(DONE) as api:
        probe = token_probe.Probe(api, "m", 5)
        assert not probe.once()
        assert not probe.once()
    assert 'token_probe_failures_in_a_row{model="m"} 2.0' in token_probe.exposition([probe])
    with _serve(TOKEN, DONE) as api:
        probe.api = api
        assert probe.once()
    assert 'token_probe_failures_in_a_row{model="m"} 0.0' in token_probe.exposition([probe])
