"""A host whose driver needs a reboot: drained, rebooted once, looked at, one host at a time."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc
from pydantic import JsonValue

from cli import steps
from components.reboots import rebooted
from remote import boot, returned, ssh
from remote.connection import Connection
from remote.end_boot import BOOT_ID, END_BOOT
from remote.errors import RackformError, Unreachable
from serving import drain, ray_serve
from serving.ray_api import Node, RefusedError
from serving.serve_status import Application, Details
from stack.errors import InputError
from stack.load import load_site
from stack.steps import Drain, Return, Step
from tests.unit.loopback_ssh import locked_text, new_key
from tests.unit.site_examples import example, real
from tests.unit.test_components_appliance import Engine, declare, revealed

HERE = Path(BOOT_ID).read_text(encoding="ascii").strip()
W1 = Connection(
    name="w1", address="192.0.2.2", private_key_file=Path("/key"), host_key="ssh-ed25519 AAAA"
)
HEAD = W1.model_copy(update={"name": "head", "address": "192.0.2.1"})
NVIDIA = {"driver_version": "580.159.04", "packages": {"nvidia-open": "580.159.04-1"}}


def rig(tmp_path: Path, **more: object) -> dict[str, Any]:
    key = tmp_path / "id"
    key.write_text("PRIVATE")
    raw: dict[str, Any] = real(
        {"nvidia": NVIDIA, "ssh": {"private_key_file": str(key)}, **more}, without=("switches",)
    )
    raw["images"] = {"vllm": "cpu"}
    return raw


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return declare(rig(tmp_path))


def test_nodes_are_rebooted_one_after_the_other(engine: Engine) -> None:
    declared = [name for name in engine.declared if name.endswith(("-drain", "-reboot", "-return"))]
    assert declared == [
        "w1-drain", "w1-reboot", "w1-return", "w2-drain", "w2-reboot", "w2-return",
    ]  # fmt: skip


def test_the_head_is_rebooted_last(tmp_path: Path) -> None:
    both = {"nodes.head.roles": ["head", "worker"],
            "nodes.head.gpus": {"count": 2, "model": "rtx-4090"}}  # fmt: skip
    assert rebooted(load_site(rig(tmp_path, **both))) == ["w1", "w2", "head"]


def test_a_preview_of_a_host_can_say_what_its_reboot_means(engine: Engine) -> None:
    assert engine.inputs("w1-host")["at_reboot"].startswith("one node at a time, in the order w1")
    assert "at_reboot" not in engine.inputs("head-host")


def test_a_reboot_is_run_when_another_boot_has_to_end_and_by_the_pinned_key(
    engine: Engine,
) -> None:
    reboot = engine.inputs("w1-reboot")
    assert reboot["triggers"] == ["w1-host-boot"]
    assert reboot["stdin"] == "w1-host-boot"
    assert reboot["connection"]["hostKey"].startswith("ssh-ed25519 ")


def test_a_key_with_a_passphrase_is_left_to_the_agent(tmp_path: Path) -> None:
    raw = rig(tmp_path)
    (tmp_path / "id").write_text(locked_text(new_key()))
    assert "privateKey" not in declare(raw).inputs("w1-reboot")["connection"]


def test_the_private_key_and_ray_s_token_are_secrets(engine: Engine) -> None:
    for name, field, secret in (
        ("w1-reboot", "connection", "PRIVATE"), ("w1-drain", "stdin", "ray-token"),
    ):  # fmt: skip
        declared = engine.declared[name].inputs[field]
        assert rpc._special_sig_key in declared
        assert secret in str(revealed(declared))


def test_what_serves_is_asked_anew_after_a_reboot(engine: Engine) -> None:
    (application,) = engine.of_type("ServeApplication").values()
    assert application["runs_on"]["w1-return"] == "all passed\n"


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    raw = rig(tmp_path)
    (tmp_path / "id").unlink()
    with pytest.raises(InputError, match=r"id can't be read .* w1 could not be rebooted by it"):
        declare(raw)


def test_a_twin_rehearses_a_driver_by_stand_ins_and_by_reboots_of_its_own_hosts(
    tmp_path: Path,
) -> None:
    (tmp_path / "id").write_text("PRIVATE")
    manager = {"fabric_manager": "580.159.04-1", "repository": {
        "uri": "https://nvidia.example/debian12", "key_file": "/nowhere/key.asc"}}  # fmt: skip
    raw: dict[str, Any] = example({
        "nvidia": {**NVIDIA, **manager}, "nodes.w2.gpus": {"count": 8, "link": "nvlink4"},
    })  # fmt: skip
    engine = declare(raw, tmp_path / "id")
    told = engine.inputs("w1-host")["deploys"]["nvidia_driver"]
    assert told["packages"] == NVIDIA["packages"]
    assert not {"repository", "fabric_manager"} & set(told)
    assert "driver" not in engine.inputs("head-machine")
    assert engine.inputs("w2-machine")["driver"] == {
        "driver_version": "580.159.04",
        "packages": {"nvidia-open": "580.159.04-1", "nvidia-fabricmanager-580": "580.159.04-1"},
    }
    assert engine.inputs("w1-reboot")["connection"]["host"] == "192.0.2.1", (
        "the machine's own, not the site's"
    )
    assert any("stand-ins without a driver" in note for note in load_site(raw).notes())


def test_a_site_without_a_declared_driver_is_never_rebooted(tmp_path: Path) -> None:
    raw = rig(tmp_path)
    del raw["nvidia"]
    assert rebooted(load_site(raw)) == []


def run_end_boot(tmp_path: Path, told: str) -> tuple[str, str]:
    """Run the script with programs that write down how they were called."""
    calls = tmp_path / "calls"
    calls.touch()
    for name, says in {"docker": "redis\nray-worker", "systemd-run": "", "sudo": ""}.items():
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\nprintf "%s\\n" "{says}"\n')
        program.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", "-c", END_BOOT], input=told, env={"PATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout, calls.read_text()


def test_only_the_named_boot_is_ended_and_what_ran_is_told(tmp_path: Path) -> None:
    said, calls = run_end_boot(tmp_path, HERE)
    assert "systemctl reboot" in calls
    assert "sudo" in calls or said.split() == ["redis", "ray-worker"]


@pytest.mark.parametrize("told", ["", "another-boot", "another-boot\n"])
def test_any_other_boot_goes_on(tmp_path: Path, told: str) -> None:
    _, calls = run_end_boot(tmp_path, told)
    assert "reboot" not in calls


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str | RackformError]:
    """What a host says when it is asked, one answer a question; the last one stays."""
    queue: list[str | RackformError] = []

    def run(*_: object, **__: object) -> ssh.Completed:
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, RackformError):
            raise answer
        return ssh.Completed(0, answer, "")

    monkeypatch.setattr(ssh, "run", run)
    monkeypatch.setattr(ssh, "forget", lambda _: None)
    for module in (boot, returned, drain):
        monkeypatch.setattr(module, "POLL_S", 0.0)
    return queue


def test_a_host_is_back_in_another_boot_and_not_while_it_shuts_down(
    answers: list[str | RackformError],
) -> None:
    answers += ["old\n", Unreachable("no route"), Unreachable("no route"), "new\n"]
    said: list[str] = []
    assert boot.wait_for_another(W1, "old", said.append) == "new"
    assert said == ["w1 is shutting down", "w1 does not answer yet"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [("old\n", "it still runs: see 'systemctl list-jobs'"), (Unreachable("cut"), "cut")],
)
def test_a_host_that_does_not_come_back_is_told_with_the_reason(
    answers: list[str | RackformError], answer: str | RackformError, why: str
) -> None:
    answers.append(answer)
    with pytest.raises(RackformError, match="w1 is not back") as error:
        boot.wait_for_another(W1, "old", lambda _: None, timeout_s=0)
    assert why in str(error.value)


BACK = Return(
    node=W1,
    ends_boot="old",
    driver_version="580.159.04",
    gpus=2,
    fabric_manager=True,
    interface="fab0",
    fabric_address="10.78.0.12",
    mtu_bytes=9000,
    containers=["ray-worker"],
)
LINK = {"ifname": "fab0", "mtu": 9000, "operstate": "UP", "addr_info": [{"local": "10.78.0.12"}]}
RIGHT = [
    "module 580.159.04",
    "gpu 580.159.04",
    "gpu 580.159.04",
    "fabric-manager",
    "container ray-worker",
    f"link {json.dumps([LINK])}",
]


def without(start: str, *more: str) -> list[str]:
    return [*(line for line in RIGHT if not line.startswith(start)), *more]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (RIGHT, None),
        (without("module"), "no driver is loaded where 580.159.04 is declared"),
        (without("module", "module 570.86.15"), "570.86.15 is loaded where 580.159.04"),
        (without("gpu", "gpu 580.159.04"), "nvidia-smi shows 1 GPUs by 580.159.04 where 2"),
        (without("gpu"), "nvidia-smi shows 0 GPUs by nothing"),
        (without("fabric-manager"), "Fabric Manager does not run"),
        (without("container"), "ray-worker ran before and does not now"),
        (without("link"), "fab0 has no address"),
        (without("link", f"link {json.dumps([{**LINK, 'mtu': 1500}])}"), "an MTU of 1500"),
        (without("link", f"link {json.dumps([{**LINK, 'addr_info': []}])}"), "10.78.0.12"),
    ],
)
def test_what_is_not_as_declared_after_a_reboot_is_named(seen: list[str], said: str | None) -> None:
    found = list(returned.differences(BACK, seen))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_host_that_came_back_with_its_old_driver_fails_the_update(
    answers: list[str | RackformError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returned, "SETTLE_S", 0)
    answers += ["new", "\n".join(without("module", "module 570.86.15"))]
    with pytest.raises(RackformError, match=r"w1 was rebooted, but 570\.86\.15 is loaded"):
        steps.run(Step.RETURN, BACK.model_dump_json())


def test_containers_may_take_their_time_to_come_back(answers: list[str | RackformError]) -> None:
    answers += ["new", "\n".join(without("container")), "\n".join(RIGHT)]
    told = steps.run(Step.RETURN, BACK.model_dump_json())
    assert told == "w1 runs driver 580.159.04 since boot new"


def test_without_a_boot_to_end_nothing_is_asked_of_the_host() -> None:
    assert "needed no reboot" in returned.wait(
        BACK.model_copy(update={"ends_boot": ""}), lambda _: None
    )


ORDER = Drain(
    node=W1,
    ends_boot="old",
    container="ray-worker",
    fabric_address="10.78.0.12",
    head=HEAD,
    dashboard_port=8265,
    ray_token="t",  # noqa: S106
    spare=False,
    requests_end_s=60,
)


class Ray:
    """A cluster of a head and w1, with one application."""

    def __init__(self) -> None:
        self.fails: RackformError | None = None
        self.serving, self.applications_left = [2, 1, 0], ["llm", ""]
        self.told: list[object] = []

    def nodes(self) -> list[Node]:
        if self.fails:
            raise self.fails
        return [
            Node(node_id="h", node_ip="10.78.0.11", state="ALIVE", is_head_node=True),
            Node(node_id="a", node_ip="10.78.0.12", state="ALIVE"),
        ]

    def serving_on(self, node_id: str) -> int:
        assert node_id == "a"
        return self.serving.pop(0)

    def applications(self, *, patient: bool = False) -> Details:
        left = self.applications_left.pop(0) if patient else self.applications_left[0]
        application = Application.model_validate({"name": left, "status": "RUNNING"})
        return Details(
            proxy_location="HeadOnly",
            http_options={"port": 8000},
            applications={left: application} if left else {},
        )

    def put(self, config: dict[str, JsonValue]) -> None:
        self.told.append(config)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, answers: list[str | RackformError]) -> Ray:
    answers.append("old")
    played = Ray()

    @contextlib.contextmanager
    def dashboard(*_: object) -> Iterator[Ray]:
        yield played

    monkeypatch.setattr(ray_serve, "dashboard", dashboard)
    return played


def drained(order: Drain = ORDER) -> str:
    return steps.run(Step.DRAIN, order.model_dump_json())


def test_without_a_spare_applications_go_and_the_proxies_stay_as_they_are(ray: Ray) -> None:
    assert drained().startswith("nothing is served until w1 is back")
    kept = {"proxy_location": "HeadOnly", "http_options": {"port": 8000}}
    assert ray.told == [{**kept, "applications": []}]
    assert ray.applications_left == []


def test_an_application_that_does_not_go_ends_the_update_before_the_reboot(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "MARGIN_S", -ORDER.requests_end_s - 1)
    ray.applications_left = ["llm", "llm"]
    with pytest.raises(RackformError, match=r"llm still runs .* for the reboot of w1"):
        drained()


def test_where_nothing_is_served_nothing_is_taken_away(ray: Ray) -> None:
    ray.applications_left = [""]
    assert "nothing is served, so that nothing is drained" in drained()
    assert ray.told == []


def test_with_a_spare_ray_is_told_and_replicas_move(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[str]] = []

    def run(_: Connection, command: Sequence[str], **__: object) -> ssh.Completed:
        told.append(command)
        return ssh.Completed(0, "old", "")

    monkeypatch.setattr(ssh, "run", run)
    spare = ORDER.model_copy(update={"spare": True})
    assert drained(spare) == "w1 is drained: other nodes serve"
    assert told[-1][:5] == ["docker", "exec", "ray-worker", "ray", "drain-node"]
    assert told[-1][told[-1].index("--address") + 1] == "10.78.0.11:6379"
    assert ray.told == []
    assert ray.serving == []


def test_a_cluster_that_does_not_answer_does_not_stand_in_the_way(ray: Ray) -> None:
    ray.fails = RackformError("Ray's dashboard does not answer (ConnectError: refused); see\nmore")
    assert drained().startswith("nothing to drain, since Ray does not answer (Ray's dashboard")


def test_a_cluster_that_refuses_the_token_does(ray: Ray) -> None:
    ray.fails = RefusedError("Ray's dashboard refuses the token")
    with pytest.raises(RefusedError):
        drained()


def test_a_host_that_was_rebooted_already_is_not_drained(ray: Ray) -> None:
    assert drained(ORDER.model_copy(update={"ends_boot": "older"})) == "w1 was rebooted already"
    assert drained(ORDER.model_copy(update={"ends_boot": ""})) == "w1 needs no reboot"
    assert ray.told == []


def test_an_order_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="no order for that step"):
        steps.run(Step.DRAIN, "{}")
