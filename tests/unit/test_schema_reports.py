"""All errors at once, and none that is only another's consequence; notes; the stacks that ship."""

from pathlib import Path

import pytest

from planner.plan import plan
from remote.errors import RackformError
from stack.errors import InputError
from stack.load import SiteError, load_site, read_stack
from tests.unit.site_examples import errors_of, example, real

STACKS = ("lab", "homelab-4x2", "datacenter")


def test_errors_of_every_kind_are_told_together_sorted_by_path() -> None:
    site = example(
        {
            "fabric.mtu_byte": 4200,
            "fabric.mtu_bytes": 9216,
            "nodes.w1.fabric_address": "10.79.0.12",
            "nodes.w2.gpus.count": "two",
            "edge.node": "haed",
        },
        without=("models.chat.revision",),
    )
    with pytest.raises(SiteError) as refused:
        load_site(site)
    lines = str(refused.value).splitlines()
    assert lines[0] == "6 errors in rackform:site"
    assert [line.strip().split(" ")[0] for line in lines[1:]] == [
        "edge.node",
        "fabric.mtu_byte",
        "fabric.mtu_bytes",
        "models.chat.revision",
        "nodes.w1.fabric_address",
        "nodes.w2.gpus.count",
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nodes", 4),
        ("nodes.w1", None),
        ("nodes.w1.address", "x"),
        ("nodes.w1.roles", []),
        ("nodes.head", 4),
        ("nodes.head.roles", ["heda"]),
        ("nodes.w1.gpus", 2),
        ("nodes.w1.gpus.count", 0),
        ("nodes.w1.interface", "a b"),
        ("switches", []),
        ("switches.tor1", 1),
        ("switches.tor1.os", "junos"),
        ("switches.tor1.ports", []),
        ("switches.tor1.ports.Ethernet1", 1),
        ("fabric", 1),
        ("fabric.subnet", "x"),
        ("fabric.link", "fast"),
        ("management", 1),
        ("management.subnet", "x"),
        ("management.controller", "x"),
        ("models", []),
        ("models.chat.parallelism", 7),
        ("models.chat.replicas.min", 0),
        ("power", 3),
        ("power.circuits.a", 3),
        ("name", 3),
        ("edge.api_keys", []),
        ("images.vllm", "rocm"),
    ],
)
def test_one_wrong_value_is_one_error(path: str, value: object) -> None:
    changes = {"nodes.w2.circuit": "a", "power.circuits.a": {"volts": 240, "amps": 20}}
    assert len(errors_of(example({**changes, path: value}))) == 1


def test_a_wrong_twin_is_one_error_in_a_site_of_real_machines_too() -> None:
    assert len(errors_of(example({"twin": "maybe"}))) == 1
    assert len(errors_of(real({"twin": "maybe"}))) == 1


@pytest.mark.parametrize("raw", [None, "site", 4, [], True])
def test_a_site_that_is_no_mapping_is_refused(raw: object) -> None:
    assert errors_of(raw)[0].startswith("rackform:site ")


def test_an_empty_site_is_refused_with_all_that_it_needs() -> None:
    assert [error.split(" ")[0] for error in errors_of({})] == ["fabric", "models", "name", "nodes"]


def test_a_refused_site_is_an_input_error() -> None:
    assert issubclass(SiteError, InputError)
    assert issubclass(SiteError, RackformError)


def test_front_ends_and_monitoring_have_an_effect() -> None:
    changes = {"frontends.open_webui.node": "head", "monitoring.node": "head"}
    assert load_site(example(changes)).notes() == ()
    assert load_site(example()).notes() == ()


def test_a_front_end_whose_image_has_no_lock_is_told_to_be_left_out() -> None:
    site = load_site(example({"frontends.anythingllm.node": "head"}))
    (note,) = site.notes()
    assert note.startswith("frontends.anythingllm: left out, as its image has no lock: run ")
    assert note.endswith("the rest goes on")


def test_documents_that_nothing_of_the_site_embeds_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stack.notes.runs", lambda _: True)
    alone = {"frontends.anythingllm.node": "head"}
    (note,) = load_site(example(alone)).notes()
    assert note.startswith(
        "frontends.anythingllm: without embeddings it fetches a model of its own"
    )
    assert load_site(example({**alone, "frontends.embeddings.node": "head"})).notes() == ()


def test_an_edge_that_cannot_offer_rays_dashboard_is_told() -> None:
    (note,) = load_site(example({"edge.node": "w1"})).notes()
    assert note.startswith("edge.node: w1 does not reach Ray's dashboard")


def test_rdma_in_a_twin_is_told_to_have_no_effect_on_its_hosts() -> None:
    site = load_site(example({"fabric.link.rdma": "roce"}))
    assert any(note.startswith("fabric.link.rdma: without effect") for note in site.notes())
    assert not any("fabric.link" in note for note in load_site(real()).notes())


def test_a_power_limit_that_nothing_sets_yet_is_told_with_the_command() -> None:
    notes = load_site(real({"nodes.w1.gpus.power_limit_w": 300})).notes()
    assert any("run 'nvidia-smi -pl 300' on w1" in note for note in notes)


def test_a_power_limit_of_all_gpus_has_its_effect_and_no_note() -> None:
    changes = {
        "nvidia.driver_version": "580.159.04",
        "nvidia.packages": {"nvidia-open": "580.159.04-1"},
        "nvidia.power_limit_w": 300,
    }
    notes = load_site(real(changes)).notes()
    assert not any("power_limit_w" in note for note in notes)


def test_memory_of_a_real_machine_is_told_to_be_without_effect() -> None:
    notes = load_site(real({"nodes.w1.memory_gib": 4})).notes()
    assert any(note.startswith("nodes.w1.memory_gib: without effect") for note in notes)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_that_ships_is_valid_and_has_a_plan_also_as_a_twin(stack: str) -> None:
    raw = read_stack(stack)
    assert isinstance(raw, dict)
    for twin in (raw["twin"], True):
        site = load_site({**raw, "twin": twin})
        assert plan(site).head == site.head


def test_the_lab_is_a_twin_that_needs_tensor_and_pipeline_ranks() -> None:
    site = load_site(read_stack("lab"))
    (model,) = plan(site).models
    assert site.twin
    assert site.notes() == ()
    assert (model.tensor, model.pipeline) == (2, 2)


@pytest.mark.parametrize("stack", STACKS[1:])
def test_what_is_an_example_in_a_template_is_told(stack: str) -> None:
    site = load_site(read_stack(stack))
    examples = len(site.nodes) + len(site.switches) + len(site.models)
    assert sum("the template's example" in note for note in site.notes()) == examples


def test_an_unknown_stack_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="choose one of datacenter, homelab-4x2, lab"):
        read_stack("nowhere")


def test_a_host_that_a_stack_file_names_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "stack" / "Pulumi.x.yaml"
    file.parent.mkdir()
    hosts = ("      w1: {address: 10.77.0.12}", "      w1: {address: 10.77.0.13}")
    file.write_text("\n".join(["config:", "  rackform:site:", "    nodes:", *hosts]))
    with pytest.raises(InputError) as refused:
        read_stack("x", tmp_path)
    assert str(refused.value) == (
        f"{file}, line 5: w1 stands there twice (first in line 4), but a name means one thing:"
        " rename one, or remove it"
    )


def test_a_stack_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "Pulumi.x.yaml").write_text("config: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"Pulumi\.x\.yaml is not YAML"):
        read_stack("x", tmp_path)


@pytest.mark.parametrize("text", ["", "config:\n", "- 1\n", "config: {other: 1}\n"])
def test_a_stack_file_without_a_site_has_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "Pulumi.x.yaml").write_text(text, encoding="utf-8")
    assert read_stack("x", tmp_path) is None
