"""The host worker's process: answers, errors, its own death. No host is needed for these."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue

from pyinfra_deploys.client import HostWorker
from remote.connection import Connection
from remote.errors import RackformError, Unreachable

NCCL: dict[str, dict[str, JsonValue]] = {"nccl_env": {"socket_interface": "fab0"}}


@pytest.fixture(scope="module")
def worker() -> Iterator[HostWorker]:
    with HostWorker() as it:
        it.start()
        yield it


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "id ed25519"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def closed(key: Path) -> Connection:
    """A machine that refuses every connection."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Connection(
        name="w1",
        address="127.0.0.1",
        port=port,
        private_key_file=key,
        host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk9JjMvV4O+L0lJzm4O0lZXrrb/ZXDkVP1swqDrPeGI",
    )


@pytest.fixture
def silent(closed: Connection) -> Iterator[Connection]:
    """A machine that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", closed.port)):
        yield closed


def test_a_machine_that_refuses_is_unreachable_with_the_reason(
    worker: HostWorker, closed: Connection
) -> None:
    with pytest.raises(
        Unreachable, match=r"w1 \(root@127\.0\.0\.1:\d+\) can't be reached: .*efused"
    ):
        worker.plan(closed, NCCL)


def test_a_missing_key_is_told(worker: HostWorker, closed: Connection) -> None:
    lost = closed.model_copy(update={"private_key_file": Path("/no/such/key")})
    with pytest.raises(
        RackformError, match="w1: the private key /no/such/key isn't there"
    ) as error:
        worker.plan(lost, NCCL)
    assert not isinstance(error.value, Unreachable), "a preview must not pass over it"


def test_wrong_settings_end_before_any_connection(worker: HostWorker, closed: Connection) -> None:
    with pytest.raises(RackformError, match=r"nccl_env\.socket_interface") as error:
        worker.plan(closed, {"nccl_env": {}})
    assert not isinstance(error.value, Unreachable)


def test_a_silent_machine_ends_with_the_time_that_was_given(
    worker: HostWorker, silent: Connection
) -> None:
    begun = time.monotonic()
    with pytest.raises(RackformError, match=r"w1: not done after 0\.5 s while connecting"):
        worker.plan(silent, NCCL, timeout_s=0.5)
    assert time.monotonic() - begun < 8


def test_requests_run_side_by_side(worker: HostWorker, closed: Connection) -> None:
    def hang_up_on_four(server: socket.socket) -> None:
        callers = [server.accept()[0] for _ in range(4)]
        for caller in callers:
            caller.close()

    def one(_: int) -> str:
        with pytest.raises(Unreachable) as error:
            worker.plan(closed, NCCL, timeout_s=20)
        return str(error.value)

    with socket.create_server(("127.0.0.1", closed.port)) as server, ThreadPoolExecutor(5) as pool:
        pool.submit(hang_up_on_four, server)
        assert len(list(pool.map(one, range(4)))) == 4


def test_a_worker_that_was_killed_is_started_anew_and_closed_for_good(closed: Connection) -> None:
    worker = HostWorker()
    worker.start()
    killed = worker._process
    assert killed
    killed.kill()
    killed.wait(timeout=5)
    with pytest.raises(Unreachable):
        worker.plan(closed, NCCL)
    started = worker._process
    assert started
    assert started.pid != killed.pid
    worker.close()
    assert started.poll() == 0


def test_a_worker_that_dies_under_a_request_is_told(closed: Connection) -> None:
    with HostWorker() as worker:
        worker.start()
        process = worker._process
        assert process
        threading.Timer(0.05, process.kill).start()
        with pytest.raises(RackformError, match="w1: the host worker ended"):
            worker.plan(closed, NCCL)
