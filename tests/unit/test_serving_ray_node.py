import json
from pathlib import Path

import pytest

from provider.inputs import ContainerInputs
from remote.connection import Connection
from remote.container_spec import ContainerParts
from serving import ray_node

TOKEN, PASSWORD = "ray-token-secret", "redis-password-secret"
NODE = ray_node.RayNode(address="10.78.0.12", token=TOKEN, gpus=2)
HEAD = NODE.model_copy(update={"address": "10.78.0.11", "gpus": 0})


def head() -> ContainerParts:
    return ray_node.ray_head(HEAD, redis_address="10.78.0.11:6390", redis_password=PASSWORD)


def worker() -> ContainerParts:
    return ray_node.ray_worker(NODE, head_address="10.78.0.11")


def every_part() -> dict[str, ContainerParts]:
    redis = ray_node.redis("10.78.0.11", PASSWORD)
    return {"redis": redis, "head": head(), "worker": worker()}


@pytest.mark.parametrize("name", ["redis", "head", "worker"])
def test_secrets_are_in_files_that_only_their_owner_reads(name: str) -> None:
    parts = every_part()[name]
    for secret in (TOKEN, PASSWORD):
        assert secret not in " ".join(parts.command)
        assert secret not in json.dumps(parts.environment)
        for file in parts.files.values():
            assert secret not in file.content or file.mode == 0o400


@pytest.mark.parametrize("name", ["redis", "head", "worker"])
def test_the_parts_fit_a_container_resource(name: str) -> None:
    ContainerInputs(
        connection=Connection(
            name="w1", address="a", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
        ),
        name=name,
        image="r/i@sha256:0",
        image_id=f"sha256:{0:064}",
        **every_part()[name].model_dump(),
    )


def test_token_authentication_is_on_everywhere() -> None:
    for parts in (head(), worker()):
        assert parts.environment["RAY_AUTH_MODE"] == "token"
        assert parts.files[parts.environment["RAY_AUTH_TOKEN_PATH"]].content == TOKEN


def test_the_dashboard_listens_on_the_heads_loopback_only() -> None:
    assert "--dashboard-host=127.0.0.1" in head().command
    assert not any("dashboard-host" in argument for argument in worker().command)


def test_a_worker_waits_for_the_head_and_joins_it() -> None:
    command = worker().command
    assert command[command.index("--wait-for") + 1] == "10.78.0.11:6379"
    assert "--address=10.78.0.11:6379" in command
    assert "--num-gpus=2" in command


def test_vllm_and_ray_agree_on_the_fabric_address() -> None:
    assert worker().environment["VLLM_HOST_IP"] == "10.78.0.12"
    assert "--node-ip-address=10.78.0.12" in worker().command


def test_every_port_lies_below_the_ephemeral_range_and_none_is_used_twice() -> None:
    fixed = [p for o, p in ray_node.PORTS.items() if not o.endswith("worker-port")]
    fixed += [ray_node.GCS_PORT, ray_node.REDIS_PORT, ray_node.DASHBOARD_PORT]
    assert len(set(fixed)) == len(fixed)
    assert max([*fixed, *ray_node.PORTS.values()]) < 32768


def test_the_twin_alone_gets_the_twins_environment() -> None:
    metal = ray_node.ray_worker(
        NODE.model_copy(update={"gpu_kind": "h200"}), head_address="10.78.0.11"
    )
    assert ray_node.TWIN_ENVIRONMENT.keys() <= worker().environment.keys()
    assert not ray_node.TWIN_ENVIRONMENT.keys() & metal.environment.keys()


def test_with_rdma_ranks_reach_the_hosts_cards_and_lock_memory() -> None:
    told = NODE.model_copy(update={"rdma": "mlx5_0 NCCL_IB_TC=106"})
    rdma = ray_node.ray_worker(told, head_address="10.78.0.11")
    assert rdma.devices == ["/dev/infiniband"]
    assert rdma.ulimits["memlock"] == -1
    assert worker().devices == []
    assert "memlock" not in worker().ulimits
