"""The appliance as the engine is told of it, with Pulumi's mocks in the engine's place."""

import asyncio
import importlib
import inspect
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest
from pulumi import runtime
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import source_pb2

from components.appliance import Appliance, ApplianceArgs
from components.passwords import hashed
from components.program import run as run_program
from planner.plan import plan
from stack.load import load_site, read_stack
from tests.unit.sites import changed

# Where in the program a resource is declared is asked by no test, and a tenth of declaring it.
runtime.resource._get_stack_trace = source_pb2.StackTrace


def revealed(value: Any) -> Any:
    """Return a value as the provider sees it, with what Pulumi marks as secret in the clear."""
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return revealed(value["value"])
        return {key: revealed(item) for key, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list) else value


PRINTED = {"anythingllm-setup": '{"api_key": "llm-key-token", "workspace": "cluster"}\n'}
"""What commands print that others take apart."""


@dataclass
class Engine(mocks.Mocks):
    """Records what is declared and answers with outputs that look made."""

    declared: dict[str, mocks.MockResourceArgs] = field(default_factory=dict)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.declared[args.name] = args
        made = {
            "pending": [],
            "revision": f"{args.name}-revision",
            "connection": {"name": args.name, "address": "192.0.2.1", "port": 22, "user": "root",
                           "private_key_file": "/key", "host_key": "ssh-ed25519 AAAA"},
            "machine": f"{args.name}-installation",
            "reboot": f"{args.name}-boot",
            "digest": "sha256:" + "d" * 64,
            "image_id": "sha256:" + "1" * 64,
            "reference": f"192.0.2.1:5000/{args.inputs.get('image')}@sha256:" + "d" * 64,
            "ca_certificate": "CA",
            "certificates": {name: {"certificate": f"{name} certificate", "key": f"{name} key"}
                             for name in ("registry", "edge")},
            "tokens": {name: f"{name}-token" for name in args.inputs.get("tokens", [])},
            "stdout": PRINTED.get(args.name, "all passed\n"),
        }  # fmt: skip
        return f"{args.name}-id", {**args.inputs, **made}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"the program calls no function, but called {args.token}")

    def inputs(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = revealed(dict(self.declared[name].inputs))
        return shown

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {
            name: self.inputs(name)
            for name, args in self.declared.items()
            if args.typ == f"rackform:index:{kind}"
        }


def declared(raw: dict[str, Any]) -> Engine:
    """Return what the program declares of a site, once for all tests that ask for it."""
    return _declared(json.dumps(raw))


@cache
def _declared(raw: str) -> Engine:
    return declare(json.loads(raw))


def declare(raw: dict[str, Any], private_key_file: Path = Path("/key")) -> Engine:
    """Run the program on a site and wait for every registration to arrive."""
    engine = Engine()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # pulumi's mocks want one before the program's own runs
    mocks.set_mocks(engine, project="rackform", stack="lab", preview=False)
    site = load_site(raw)

    @runtime.test  # type: ignore[untyped-decorator] # not typed there
    def run() -> None:
        Appliance(
            site.name,
            ApplianceArgs(
                site=site, plan=plan(site), private_key_file=private_key_file,
                authorized_key="ssh-ed25519 AAAA",
            ),
        )  # fmt: skip

    try:
        run()
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return engine


@pytest.fixture(scope="module")
def lab() -> Engine:
    return declared(changed("lab", "fabric.mtu_bytes", 9000))


def test_the_mtu_of_the_site_reaches_every_switch_port_and_every_host() -> None:
    engine = declared(changed("lab", "fabric.mtu_bytes", 4200))
    ports = engine.inputs("tor1-config")["ports"]
    assert {port["mtu_bytes"] for port in ports.values()} == {4200}
    hosts = engine.of_type("HostState")
    assert len(hosts) == 3
    for host in hosts.values():
        assert host["deploys"]["fabric_link"]["mtu_bytes"] == 4200


def test_the_vlan_of_a_switch_reaches_its_configuration_and_none_is_there_without(
    lab: Engine,
) -> None:
    assert "vlan" not in lab.inputs("tor1-config")
    joined = declared(changed("lab", "switches.tor1.vlan", 78)).inputs("tor1-config")
    assert {**joined, "vlan": None} == {**lab.inputs("tor1-config"), "vlan": None}
    assert joined["vlan"] == 78


def test_a_changed_mtu_changes_no_container_and_no_image(lab: Engine) -> None:
    other = declared(changed("lab", "fabric.mtu_bytes", 4200))
    for kind in ("Container", "OciImage", "ImagePull", "ServeApplication", "ModelWeights"):
        assert other.of_type(kind) == lab.of_type(kind), kind


def test_a_changed_mtu_changes_what_is_verified(lab: Engine) -> None:
    other = declared(changed("lab", "fabric.mtu_bytes", 4200))
    assert other.inputs("verification-run")["stdin"] != lab.inputs("verification-run")["stdin"]


def test_every_worker_brings_its_gpus_and_the_head_brings_none(lab: Engine) -> None:
    assert "--num-gpus=0" in lab.inputs("ray-head")["command"]
    for worker in ("w1", "w2"):
        assert "--num-gpus=2" in lab.inputs(f"ray-{worker}")["command"]


def test_ranks_on_real_hosts_have_the_cards_that_the_gate_tried(lab: Engine) -> None:
    real = declared(changed("homelab-4x2", "frontends", {}))
    tried = json.loads(real.inputs("nccl-gate-run")["stdin"])["nodes"]
    containers = {"n1": "ray-head", **{name: f"ray-{name}" for name in ("n2", "n3", "n4")}}
    for name, container in containers.items():
        assert tried[name]["rdma"]
        assert real.inputs(container)["devices"] == ["/dev/infiniband"]
    other = changed("homelab-4x2", "frontends", {})
    other["nodes"]["n2"]["rdma_devices"] = ["mlx5_1"]
    moved = declared(other)
    # the file that NCCL reads is mounted: a container that goes on would have the former one
    assert moved.inputs("ray-n2")["environment"] != real.inputs("ray-n2")["environment"]
    assert moved.inputs("ray-n3")["environment"] == real.inputs("ray-n3")["environment"]
    assert not any(lab.inputs(name).get("devices") for name in ("ray-head", "ray-w1", "ray-w2"))


def test_no_command_line_and_no_environment_holds_a_secret(lab: Engine) -> None:
    for name, container in lab.of_type("Container").items():
        shown = str(container["command"]) + str(container.get("environment"))
        assert "-token" not in shown, name


def test_a_file_that_holds_a_secret_is_closed_to_others(lab: Engine) -> None:
    for name, container in lab.of_type("Container").items():
        for path, file in container.get("files", {}).items():
            if "-token" in str(file["content"]) or " key" in str(file["content"]):
                assert file["mode"] == 0o400, (name, path)


def test_the_edge_passes_on_only_what_carries_a_key(lab: Engine) -> None:
    files = lab.inputs("edge-container")["files"]
    assert files["/etc/caddy/keys"]["content"] == '"Bearer api_default-token" default\n'
    assert "reverse_proxy 10.78.0.11:8000" in files["/etc/caddy/Caddyfile"]["content"]


def test_the_edge_s_caddyfile_holds_no_secret(lab: Engine) -> None:
    files = lab.inputs("edge-container")["files"]
    assert "-token" not in files["/etc/caddy/Caddyfile"]["content"]


def test_ray_s_dashboard_gets_its_token_from_the_edge_after_the_operator_s_password(
    lab: Engine,
) -> None:
    files = lab.inputs("edge-container")["files"]
    assert files["/etc/caddy/ray"]["content"] == 'header_up Authorization "Bearer ray-token"\n'
    assert files["/etc/caddy/operator"]["content"] == f"operator {hashed('operator-token')}\n"


def test_requests_are_counted_only_where_a_limit_is_set(lab: Engine) -> None:
    assert "edge-limits" not in lab.declared
    limited = declare(changed("lab", "edge", {"requests_per_minute": 30}))
    config = limited.inputs("edge-limits")["files"]["/etc/haproxy/haproxy.cfg"]["content"]
    assert "bind 127.0.0.1:9107\n" in config
    assert "sc0_gpc0_rate ge 30 " in config
    assert "-token" not in config


def test_the_certificate_of_the_edge_holds_for_every_name_that_leads_to_it() -> None:
    declared = changed("lab", "edge", {"host_names": ["llm.lan"]})
    declared["frontends"]["open_webui"]["host_name"] = "chat.lan"
    request = declare(declared).inputs("credentials-made")["certificates"]["edge"]
    assert request["dns_names"] == ["head", "llm.lan", "chat.lan"]


def test_a_front_end_that_comes_back_finds_its_data_under_the_same_password(lab: Engine) -> None:
    without = declare(changed("lab", "frontends", {}))
    for engine in (lab, without):
        assert "open_webui_password" in engine.inputs("credentials-made")["tokens"]


def test_a_certificate_of_one_s_own_is_not_asked_of_the_site_s_ca() -> None:
    tls = {"kind": "acme", "email": "ops@example.org"}
    declared = changed("lab", "edge", {"host_names": ["llm.example.org"], "tls": tls})
    engine = declare(declared)
    assert engine.inputs("credentials-made")["certificates"]["edge"]["dns_names"] == ["head"]
    assert engine.inputs("edge-container")["mounts"] == [
        {"source": "/var/lib/rackform/edge", "target": "/data", "read_only": False},
        {"source": "/etc/ssl/certs", "target": "/etc/ssl/certs", "read_only": True},
    ]


@pytest.mark.parametrize("environment", ["homelab-4x2", "datacenter"])
def test_real_machines_are_reached_by_their_pinned_host_keys(environment: str) -> None:
    raw = read_stack(environment)
    assert isinstance(raw, dict)
    raw["images"] = {"vllm": "cpu"}
    engine = declared(raw)
    assert not engine.of_type("LabNode")
    for host in engine.of_type("HostState").values():
        assert host["connection"]["host_key"].startswith("ssh-")


def _serving_environment(raw: dict[str, Any]) -> dict[str, str]:
    raw["images"] = {"vllm": "cpu"}
    (application,) = declared(raw).of_type("ServeApplication").values()
    (service,) = application["config"]["applications"]
    found: dict[str, str] = service["args"]["llm_configs"][0]["runtime_env"]["env_vars"]
    return found


def test_vllm_is_told_the_layers_only_where_they_are_not_its_own_partition() -> None:
    equal = read_stack("homelab-4x2")
    assert isinstance(equal, dict)
    assert "VLLM_PP_LAYER_PARTITION" not in _serving_environment(equal)
    uneven = changed("homelab-4x2", "nodes.n1.gpus.model", "rtx-6000-ada")
    uneven["models"]["chat"]["parallelism"] = {"tensor": 2, "pipeline": 4}
    layers = _serving_environment(uneven)["VLLM_PP_LAYER_PARTITION"].split(",")
    assert sum(map(int, layers)) == 80
    assert len(set(layers)) > 1


def test_the_preview_tells_the_plan_in_short(caplog: pytest.LogCaptureFixture) -> None:
    raw = read_stack("homelab-4x2")
    assert isinstance(raw, dict)
    raw["images"] = {"vllm": "cpu"}
    with caplog.at_level("INFO"):
        declare(raw)
    assert "llama-3.3-70b: tensor 2 x pipeline 4" in caplog.text
    assert "tokens/s predicted for 32 requests" in caplog.text


def test_a_site_that_cannot_work_is_refused_before_anything_is_declared() -> None:
    raw = changed("homelab-4x2", "models.chat.source", "hf:org/Llama-3.1-405B-AWQ")
    config = mock.Mock(spec=pulumi.Config)
    config.get_object.side_effect = {"site": raw}.get
    with pytest.raises(pulumi.RunError, match=r"202 GiB of weights, and 8 x rtx-4090"):
        run_program(config, "homelab-4x2")


def components() -> list[type[pulumi.ComponentResource]]:
    """Return every component of the package, found by importing all its modules."""
    folder = Path(inspect.getfile(Appliance)).parent
    for module in sorted(folder.glob("*.py")):
        importlib.import_module(f"components.{module.stem}")
    found = pulumi.ComponentResource.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("components.")]


@pytest.mark.parametrize("kind", components(), ids=lambda kind: kind.__name__)
def test_a_component_registers_every_output_that_it_annotates(
    kind: type[pulumi.ComponentResource],
) -> None:
    registered = inspect.getsource(kind)[inspect.getsource(kind).index("register_outputs(") :]
    outputs = {
        name
        for name, annotation in kind.__annotations__.items()
        if re.match(r"(dict\[str, )?pulumi\.output\.Output\[", str(annotation))
    }
    if "self.__annotations__" not in registered:
        assert {name for name in outputs if f'"{name}"' not in registered} == set()
