"""A node of a real Ray cluster is drained while another has room: its replica moves.

The tests share one cluster and tell one story, in the order of the file: both workers are drained,
the second as soon as the first is back.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import pytest
from pydantic import JsonValue

from cli import steps
from images import builder
from remote import boot, ssh
from remote.connection import Connection
from remote.errors import RackformError
from serving import ray_serve
from serving.ray_api import RayApi
from serving.ray_node import DASHBOARD_PORT
from stack.paths import store_dir
from stack.steps import Drain, Step
from tests.lab.rooted_ray import ADDRESSES, TOKEN, RootedRay, networks

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("in_place_of_ssh"),
]

APPLICATION = """
import ray
from ray import serve


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1})
class Where:
    async def __call__(self, request) -> str:
        return ray.util.get_node_ip_address()


app = Where.bind()
"""
CONFIG: dict[str, JsonValue] = {
    "proxy_location": "HeadOnly",
    "http_options": {"host": ADDRESSES["head"], "port": 8000},
    "applications": [{"name": "where", "route_prefix": "/", "import_path": "where_am_i:app"}],
}
BOOT = "b1"
PATIENCE_S = 180


def connection(name: str) -> Connection:
    return Connection(
        name=name,
        address=ADDRESSES[name],
        private_key_file=store_dir() / "no-key",
        host_key="ssh-ed25519 AAAA",
    )


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootedRay]:
    digest = builder.build("vllm", "cpu", store_dir(), print).digest
    work = tmp_path_factory.mktemp("ray")
    cluster = RootedRay(digest, work, {"/data/where_am_i.py": APPLICATION})
    with networks():
        try:
            for name in ADDRESSES:
                cluster.start(name)
            cluster.here(lambda: _serve(cluster))
            yield cluster
        finally:
            cluster.stop_all()


def _serve(cluster: RootedRay) -> None:
    """Wait for all nodes, deploy, and wait for an answer."""
    with _dashboard() as api:
        _until(lambda: len(api.nodes()) == len(ADDRESSES), cluster)
        api.put(CONFIG)
        _until(lambda: _asked() in ADDRESSES.values(), cluster)


def _until(condition: Callable[[], bool], cluster: RootedRay) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(RackformError, httpx.HTTPError):
            if condition():
                return
        assert time.monotonic() < deadline, "\n".join(map(cluster.log, ADDRESSES))
        time.sleep(1)


def _dashboard(*_: object) -> RayApi:
    return RayApi(f"http://127.0.0.1:{DASHBOARD_PORT}", TOKEN)


def _asked() -> str:
    answer = httpx.get(f"http://{ADDRESSES['head']}:8000/", timeout=60, trust_env=False)
    return answer.text if answer.status_code == httpx.codes.OK else f"{answer.status_code}"


class Caller(threading.Thread):
    """Asks where the replica is, over and over; to be started in the head's network."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stopped, self.answers = threading.Event(), list[str]()

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            self.answers.append(_asked())


@pytest.fixture
def in_place_of_ssh(ray: RootedRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what would be run over SSH, in Ray's container, among the processes of that node."""

    def run(node: Connection, command: Sequence[str], **_: object) -> ssh.Completed:
        assert command[:2] == ["docker", "exec"]
        return ssh.Completed(0, ray.inside(node.name, command[3:]), "")

    monkeypatch.setattr(ssh, "run", run)
    monkeypatch.setattr(boot, "boot_id", lambda _: BOOT)
    monkeypatch.setattr(ray_serve, "dashboard", _dashboard)


def holder() -> str:
    """Return the node that the replica is on; asked in the head's network."""
    names = {address: name for name, address in ADDRESSES.items()}
    return names[_asked()]


def drained(name: str) -> tuple[str, list[str]]:
    """Drain a node while somebody asks; return what was told and where the answers came from."""
    order = Drain(
        node=connection(name),
        ends_boot=BOOT,
        container="ray-worker",
        fabric_address=ADDRESSES[name],
        head=connection("head"),
        dashboard_port=DASHBOARD_PORT,
        ray_token=TOKEN,
        spare=True,
        requests_end_s=30,
    )
    caller = Caller()
    caller.start()
    told = steps.run(Step.DRAIN, order.model_dump_json())
    time.sleep(1)
    caller.stopped.set()
    caller.join(60)
    return told, caller.answers


def expect_moved(ray: RootedRay, name: str, other: str) -> None:
    told, answers = ray.here(lambda: drained(name))
    assert told == f"{name} is drained: other nodes serve"
    assert set(answers) == {ADDRESSES[name], ADDRESSES[other]}, "a request failed"
    assert answers == sorted(answers, key=lambda answer: answer == ADDRESSES[other])


def test_a_replica_moves_off_a_drained_node_and_no_request_fails(ray: RootedRay) -> None:
    first = ray.here(holder)
    (second,) = {"w1", "w2"} - {first}
    expect_moved(ray, first, second)


def test_the_next_node_is_drained_as_soon_as_the_first_is_back(ray: RootedRay) -> None:
    second = ray.here(holder)
    (first,) = {"w1", "w2"} - {second}
    ray.stop(first)
    ray.start(first)
    expect_moved(ray, second, first)
