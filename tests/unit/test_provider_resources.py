"""Each resource over the plain package that does its work, with that package's calls recorded."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import pytest

from fabric.protocol import Applied, Look, Neighbour
from provider import (
    container,
    image_pull,
    lab_machine,
    lab_node,
    model_weights,
    oci_image,
    switch_config,
)
from provider.check import draft
from provider.inputs import (
    ContainerInputs,
    ImagePullInputs,
    Inputs,
    LabNodeInputs,
    ModelWeightsInputs,
    OciImageInputs,
    SwitchConfigInputs,
)
from provider.outputs import (
    ContainerOutputs,
    ImagePullOutputs,
    LabNodeOutputs,
    ModelWeightsOutputs,
    OciImageOutputs,
    SwitchConfigOutputs,
)
from provider.resource import Draft, State
from provider.values import UNKNOWN, Plain
from remote.connection import Connection
from remote.errors import Unreachable
from tests.unit.provider_fakes import RecordingContext

HEX = "a" * 64
HEAD = Connection(
    name="head", address="10.77.0.11", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
)
T = TypeVar("T", bound=Inputs)


def drafted(inputs: T, **changed: Plain) -> Draft[T]:
    fields: Mapping[str, Plain] = {**inputs.model_dump(mode="json"), **changed}
    return draft(type(inputs), fields)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


NODE = LabNodeInputs(
    site="lab", name="head", base_digest=f"sha256:{HEX}", address="10.77.0.11/24",
    cables={"fab0": "tor1.Ethernet1"}, memory_gib=2, gpus=0, authorized_key="ssh-ed25519 B",
)  # fmt: skip
NODE_STATE = State("head", NODE, LabNodeOutputs(connection=HEAD, machine="m1"))


class TestLabNode:
    @pytest.fixture
    def found(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        found = SimpleNamespace(power="on", problems=(), spec=NODE)
        monkeypatch.setattr("provider.lab_node.nodes.read", lambda *_: found)
        monkeypatch.setattr("provider.lab_node.nodes.create", lambda *_: HEAD)
        monkeypatch.setattr("provider.lab_node.lab_machine.private_key", lambda _: Path("/k"))
        return found

    def test_a_node_that_is_off_is_to_be_powered_on(self, found: SimpleNamespace) -> None:
        found.power = "off"
        read = lab_node.LabNode().read(NODE_STATE, RecordingContext())
        assert read is not None
        assert read.outputs.pending == ["power on"]

    def test_a_node_that_is_gone_is_read_as_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("provider.lab_node.nodes.read", lambda *_: None)
        assert lab_node.LabNode().read(NODE_STATE, RecordingContext()) is None

    def test_powering_on_keeps_the_installation(self, found: SimpleNamespace) -> None:
        _ = found
        kind, ctx = lab_node.LabNode(), RecordingContext()
        assert kind.update(NODE_STATE, NODE, ctx).machine == "m1"
        assert kind.preview(NODE_STATE, drafted(NODE), ctx)["machine"] == "m1"

    def test_another_base_image_is_another_installation(self, found: SimpleNamespace) -> None:
        _ = found
        kind, ctx = lab_node.LabNode(), RecordingContext()
        other = NODE.model_copy(update={"base_digest": "sha256:" + "b" * 64})
        assert kind.update(NODE_STATE, other, ctx).machine != "m1"
        assert "machine" not in kind.preview(NODE_STATE, drafted(other), ctx)

    def test_a_base_image_that_is_not_built_yet_leaves_the_installation_unknown(
        self, found: SimpleNamespace
    ) -> None:
        _ = found
        new = drafted(NODE, base_digest=UNKNOWN)
        known = lab_node.LabNode().preview(NODE_STATE, new, RecordingContext())
        assert "machine" not in known
        assert "connection" in known


SWITCH = SwitchConfigInputs(
    connection=HEAD,
    os="eos",
    ports={f"Ethernet{n}": {"mtu_bytes": 9000, "description": "w"} for n in (10, 2, 1)},
)


class FakeSwitch:
    def __init__(self) -> None:
        self.lines = ["interface Ethernet1", "+ mtu 9000"]
        self.asked = 0
        self.heard: dict[str, list[Neighbour]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def look(self, _: object) -> Look:
        self.asked += 1
        left = [f"vlan {number}" for number in range(14)]
        return Look(pending=self.lines, left_alone=left, under_way=[], neighbours=self.heard)

    def apply(self, _: object, confirm_timeout_s: int) -> Applied:
        assert confirm_timeout_s == 120
        changed, self.lines = self.lines, []
        return Applied(changed=changed, under_way=[], neighbours=self.heard)


class TestSwitchConfig:
    @pytest.fixture
    def switch(self, monkeypatch: pytest.MonkeyPatch) -> FakeSwitch:
        fake = FakeSwitch()
        monkeypatch.setattr("provider.switch_config.open_switch", lambda *_: fake)
        return fake

    def test_the_lines_that_differ_are_asked_once_and_previewed(self, switch: FakeSwitch) -> None:
        kind, ctx = switch_config.SwitchConfig(), RecordingContext()
        state = State("head", SWITCH, SwitchConfigOutputs())
        assert kind.read(state, ctx).outputs.pending == switch.lines
        kind.preview(state, drafted(SWITCH), ctx)
        would, left = ctx.messages
        assert would == "would configure on head:\n    interface Ethernet1\n    + mtu 9000"
        assert left.startswith("left as it is on head:\n    vlan 0\n")
        assert left.endswith("vlan 11\n    and 2 lines more")
        assert switch.asked == 1

    def test_swapped_cables_are_named_in_the_preview_and_after_the_change(
        self, switch: FakeSwitch
    ) -> None:
        plugs = {"Ethernet1": "head.fab0", "Ethernet2": "w1.fab0"}
        ports = {port: {"mtu_bytes": 9000, "description": end} for port, end in plugs.items()}
        inputs = SwitchConfigInputs.model_validate(
            {"connection": HEAD.model_dump(), "os": "eos", "ports": ports}
        )
        switch.heard = {
            "Ethernet1": [Neighbour(system_name="w1", port_id="fab0")],
            "Ethernet2": [Neighbour(system_name="head", port_id="fab0")],
        }
        kind, ctx = switch_config.SwitchConfig(), RecordingContext()
        kind.preview(None, drafted(inputs), ctx)
        swapped = "warning: the cables in head's Ethernet1 and Ethernet2 are swapped"
        assert ctx.messages[0].startswith(swapped)
        kind.create(inputs, ctx)
        assert sum(message.startswith(swapped) for message in ctx.messages) == 2

    def test_after_a_commit_nothing_is_due(self, switch: FakeSwitch) -> None:
        kind, ctx = switch_config.SwitchConfig(), RecordingContext()
        state = State("head", SWITCH, SwitchConfigOutputs())
        kind.read(state, ctx)
        kind.update(state, SWITCH, ctx)
        assert kind.read(state, ctx).outputs.pending == []
        assert switch.lines == []

    def test_ports_are_configured_in_the_order_of_their_numbers(self) -> None:
        assert list(switch_config.desired(SWITCH).ports) == ["Ethernet1", "Ethernet2", "Ethernet10"]


BOX = ContainerInputs(
    connection=HEAD, name="redis", image=f"r/redis@sha256:{HEX}", image_id=f"sha256:{HEX}",
    command=["redis-server"], machine="m1",
)  # fmt: skip
BOX_STATE = State("head/redis", BOX, ContainerOutputs(container_id="c1"))


class TestContainer:
    def test_what_differs_is_previewed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "provider.container.containers.pending", lambda *_: ["command: changed"]
        )
        ctx = RecordingContext()
        container.Container().preview(BOX_STATE, drafted(BOX), ctx)
        assert ctx.messages == ["would replace it: command: changed"]

    def test_a_host_that_is_installed_anew_is_not_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("provider.container.containers.pending", raising(AssertionError()))
        ctx = RecordingContext()
        container.Container().preview(BOX_STATE, drafted(BOX, machine="m2"), ctx)
        assert ctx.messages == ["would start on a new host"]

    def test_a_container_that_moves_leaves_its_old_node(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        removed: list[str] = []
        monkeypatch.setattr(
            "provider.container.containers.remove",
            lambda host, name: removed.append(f"{host.name}/{name}"),
        )
        running = SimpleNamespace(container_id="c2")
        monkeypatch.setattr("provider.container.containers.ensure", lambda *_: running)
        w1 = HEAD.model_copy(update={"name": "w1", "address": "10.77.0.12"})
        moved = BOX.model_copy(update={"connection": w1})
        made = container.Container().update(BOX_STATE, moved, RecordingContext())
        assert (removed, made.container_id) == (["head/redis"], "c2")

    def test_a_container_that_can_not_be_removed_says_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "provider.container.containers.remove", raising(Unreachable("no answer"))
        )
        with pytest.raises(Unreachable, match="bring head back"):
            container.Container().delete(BOX_STATE, RecordingContext())

    def test_an_archive_is_streamed_from_the_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(digest: str, store: Path, out: io.BufferedWriter) -> None:
            _ = store
            out.write(digest.encode() * 300_000)

        monkeypatch.setattr("provider.container.builder.docker_archive", write)
        assert b"".join(container.docker_archive("sha256:1")) == b"sha256:1" * 300_000

    def test_an_archive_that_breaks_is_not_taken_for_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("provider.container.builder.docker_archive", raising(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            list(container.docker_archive("sha256:1"))


IMAGE = OciImageInputs(
    image="redis", variant="default", lock_sha256=HEX, packages={"a": "1", "b": "1"}, files={}
)
IMAGE_STATE = State(
    "redis/default",
    IMAGE,
    OciImageOutputs(digest="sha256:1", image_id="sha256:2", reference="r", size_bytes=7),
)


class TestOciImage:
    def expect(self, monkeypatch: pytest.MonkeyPatch, digest: str | None) -> None:
        expected = SimpleNamespace(
            digest=digest,
            image_id="sha256:2",
            packages={"a": "2", "b": "1"},
            input_hash=HEX,
        )
        monkeypatch.setattr("provider.oci_image.builder.expected", lambda *_, **__: expected)

    def test_a_preview_names_the_packages_that_change(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.expect(monkeypatch, None)
        ctx = RecordingContext()
        known = oci_image.OciImage().preview(IMAGE_STATE, drafted(IMAGE), ctx)
        assert ctx.messages == ["a 1 → 2", "would build redis/default from 2 packages"]
        assert "digest" not in known

    def test_what_the_store_has_is_known_in_a_preview(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.expect(monkeypatch, "sha256:1")
        known = oci_image.OciImage().preview(None, drafted(IMAGE), RecordingContext())
        assert known["digest"] == "sha256:1"
        assert known["reference"] == "rackform/redis@sha256:1"
        assert known["size_bytes"] is UNKNOWN

    def test_the_reference_names_the_registry_once_that_is_known(self) -> None:
        registry: Plain = {"address": "10.77.0.11:5000", "password": UNKNOWN}
        assert (
            oci_image.reference("redis", "sha256:1", registry) == "10.77.0.11:5000/redis@sha256:1"
        )
        assert oci_image.reference("redis", "sha256:1", UNKNOWN) is UNKNOWN

    def test_blobs_that_are_missing_are_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("provider.oci_image.builder.check", lambda *_: ["blob 1 is missing"])
        found = oci_image.OciImage().read(IMAGE_STATE, RecordingContext())
        assert found.outputs.pending == ["blob 1 is missing"]

    def test_many_changed_packages_are_counted(self) -> None:
        lines = oci_image.package_changes({"a": "1"}, {f"p{n:02}": "1" for n in range(20)})
        assert len(lines) == 13
        assert lines[-1] == "and 9 more packages"


WEIGHTS = ModelWeightsInputs(
    source="file:/m", revision=HEX, nodes=[HEAD], fabric_addresses={"head": "10.78.0.11"}
)
WEIGHTS_STATE = State(
    "m", WEIGHTS, ModelWeightsOutputs(path="/srv/models/m", files={"x": HEX}, size_bytes=1)
)


class TestModelWeights:
    def test_files_that_a_node_lacks_are_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "provider.model_weights.spread.pending", lambda *_: {"head": ["x"], "w1": []}
        )
        found = model_weights.ModelWeights().read(WEIGHTS_STATE, RecordingContext())
        assert found.outputs.pending == ["head: x"]

    def test_another_node_leaves_the_path_known(self) -> None:
        new = drafted(WEIGHTS, machines={"head": "m2"})
        known = model_weights.ModelWeights().preview(WEIGHTS_STATE, new, RecordingContext())
        assert known["path"] == "/srv/models/m"


PULL = ImagePullInputs(
    digest="sha256:" + "d" * 64,
    image_id="sha256:" + "1" * 64,
    reference="192.0.2.1:5000/vllm@sha256:" + "d" * 64,
    registry={"address": "192.0.2.1:5000", "ca_certificate": "CA", "user": "u", "password": "p"},
    nodes=[HEAD, HEAD.model_copy(update={"name": "w1"})],
    twin=True,
)


def test_nodes_that_lack_an_image_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    has = {("head", PULL.image_id)}
    monkeypatch.setattr(
        "remote.container_images.present", lambda node, image_id: (node.name, image_id) in has
    )
    state = State("pull", PULL, ImagePullOutputs())
    found = image_pull.ImagePull().read(state, RecordingContext())
    assert found.outputs.pending == ["w1 lacks the image"]


def test_a_twins_node_is_seeded_and_pulls_only_what_seeding_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    monkeypatch.setattr("remote.container_images.present", lambda node, _: node.name == "head")
    monkeypatch.setattr(
        "lab.nodes.seed_images", lambda _, names, digests: calls.append(("seed", names, digests))
    )
    monkeypatch.setattr(
        "remote.container_images.pull", lambda node, *_: calls.append(("pull", node.name))
    )
    image_pull.ImagePull().create(PULL, RecordingContext())
    assert calls == [("seed", ["w1"], [PULL.digest]), ("pull", "w1")]


def test_a_twins_docker_engine_is_asked_only_while_nobody_stops_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[bool] = []

    def look(node: Connection, *_: object) -> bool:
        held.append(lab_machine.docker_engine(node.name).locked())
        return False

    monkeypatch.setattr("remote.container_images.present", look)
    monkeypatch.setattr("remote.container_images.pull", look)
    monkeypatch.setattr("lab.nodes.seed_images", lambda *_: None)
    image_pull.ImagePull().create(PULL, RecordingContext())
    assert held == [True] * 4
