"""Front-ends of a site as the engine is told of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.closure import closure, stack_images
from components.frontend import public_urls
from images import builder
from images.builder import declaration, lock_model
from images.builder.declaration import IMAGES
from images.builder.lock_model import UpstreamImage
from images.builder.store import Store
from stack.load import load_site
from tests.unit.sites import changed
from tests.unit.test_components_appliance import Engine, declare

BOTH = {"open_webui": {"node": "w1", "host_name": "chat.example"}, "anythingllm": {"node": "head"}}


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let AnythingLLM's image count as locked, which somebody who reaches its registry does."""
    pinned = UpstreamImage(version="1.16.0", digest="sha256:" + "a" * 64, size=1)
    definition = declaration.load("anythingllm", "default")
    lock = builder.Lock(
        definition=definition.checksum, declared=definition.declared, upstream=pinned
    )
    (tmp_path / "anythingllm").mkdir()
    for part in IMAGES.iterdir():
        if part.name != "anythingllm":
            (tmp_path / part.name).symlink_to(part)
    shutil.copy(IMAGES / "anythingllm" / "image.toml", tmp_path / "anythingllm")
    monkeypatch.setattr(declaration, "IMAGES", tmp_path)
    lock_model.write(definition, lock, Store(tmp_path / "store"))


def site(frontends: dict[str, Any]) -> dict[str, Any]:
    return changed("lab", "frontends", frontends)


@pytest.fixture
def both(locked: None) -> Engine:
    _ = locked
    return declare(site(BOTH))


def test_a_site_without_front_ends_has_none_of_their_images_and_containers() -> None:
    engine = declare(site({}))
    assert not [name for name in engine.declared if "webui" in name or "anything" in name]


def test_a_front_end_runs_on_its_node_and_listens_on_that_nodes_fabric(both: Engine) -> None:
    webui = both.inputs("open-webui-container")
    assert webui["connection"]["name"] == "w1-machine"
    assert webui["command"][-2:] == ["10.78.0.12", "3000"]
    assert webui["environment"]["OPENAI_API_BASE_URLS"] == "http://10.78.0.11:8000/v1"
    assert webui["environment"]["CORS_ALLOW_ORIGIN"] == (
        "https://10.77.0.11:8443;https://chat.example:8443;https://chat.example"
    )


def test_a_page_streams_by_every_name_under_which_the_edge_offers_it() -> None:
    raw = site({"open_webui": {"node": "head", "host_name": "chat.example", "port": 8500}})
    raw["edge"] = {"host_names": ["llm.example", "*.example.net"], "port": 4443}
    door = load_site(raw)
    assert door.frontends.open_webui
    assert public_urls(door, door.frontends.open_webui) == [
        "https://10.77.0.11:8500",
        "https://llm.example:8500",
        "https://chat.example:8500",
        "https://chat.example:4443",
    ]


def test_nothing_of_a_front_end_is_made_before_the_model_answers(both: Engine) -> None:
    order = list(both.declared)
    answered = order.index("serving-application")
    for name in ("open-webui-build", "open-webui-container", "anythingllm-build"):
        assert order.index(name) > answered, name


def test_no_command_line_and_no_environment_of_a_front_end_holds_a_secret(both: Engine) -> None:
    for name in ("open-webui-container", "anythingllm-container"):
        container = both.inputs(name)
        assert "-token" not in str(container["command"]) + str(container["environment"])
        held = [file for file in container["files"].values() if "-token" in str(file["content"])]
        assert {file["mode"] for file in held} == {0o400}


def test_the_set_up_of_anythingllm_gets_its_password_by_standard_input_alone(both: Engine) -> None:
    setup = both.inputs("anythingllm-setup")
    assert json.loads(setup["stdin"])["password"].startswith("anythingllm_auth_token")
    assert "token" not in setup["create"]
    assert not setup.get("environment")
    assert setup["addPreviousOutputInEnv"] is False


def test_a_front_end_whose_image_was_never_locked_is_left_out_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("WARNING"):
        engine = declare(site(BOTH))
    assert "run './rackform lock anythingllm'" in caplog.text
    assert not [name for name in engine.declared if name.startswith("anythingllm")]
    assert "open-webui-container" in engine.declared
    assert "verification-run" in engine.declared


def test_the_closure_holds_the_images_of_the_front_ends_that_can_be_had() -> None:
    names = [name for name, _ in stack_images(load_site(site(BOTH)))]
    assert "open-webui" in names
    assert "anythingllm" not in names
    assert "open-webui" not in [name for name, _ in stack_images(load_site(site({})))]


def test_another_name_of_a_front_end_changes_its_container_the_edge_and_what_asks_it_alone(
    both: Engine, locked: None
) -> None:
    _ = locked
    other = declare(site(BOTH | {"open_webui": {"node": "w1", "host_name": "talk.example"}}))
    differing = {
        name for name, inputs in both.of_type("Container").items() if other.inputs(name) != inputs
    }
    asking = {"monitoring-head-prometheus", "monitoring-head-blackbox"}
    assert differing == {"open-webui-container", "edge-container"} | asking


def test_front_ends_embed_by_the_sites_own_model_unless_they_name_another(locked: None) -> None:
    _ = locked
    other = {"url": "http://192.0.2.7:8001/v1", "model": "large"}
    both = {"embeddings": {"node": "w2"}, "open_webui": {"node": "w1"}}
    engine = declare(site(both | {"anythingllm": {"node": "head", "embeddings": other}}))
    webui = engine.inputs("open-webui-container")["environment"]
    assert webui["RAG_OPENAI_API_BASE_URL"] == "http://10.78.0.13:3003/v1"
    assert webui["RAG_EMBEDDING_MODEL"] == "embeddings"
    assert "BYPASS_EMBEDDING_AND_RETRIEVAL" not in webui
    llm = engine.inputs("anythingllm-container")["environment"]
    assert llm["EMBEDDING_BASE_PATH"] == other["url"]


def test_what_embeds_runs_from_vllms_image_with_its_weights_on_its_node() -> None:
    engine = declare(site({"embeddings": {"node": "w2"}}))
    container = engine.inputs("embeddings-container")
    assert container["connection"]["name"] == "w2-machine"
    assert container["image"] == engine.inputs("ray-head")["image"]
    assert not container.get("gpus")
    settings = json.loads(container["files"]["/etc/rackform/settings.json"]["content"])
    weights = engine.inputs("embeddings-weights")
    assert settings["folder"].endswith(weights["revision"][:12])
    assert settings["address"] == "10.78.0.13"


def test_the_closure_and_a_bundle_hold_the_weights_of_what_embeds() -> None:
    embedding = load_site(site({"embeddings": {"node": "w2"}}))
    assert "frontends.embeddings" in embedding.weights
    assert "frontends.embeddings" not in load_site(site({})).weights
    assert closure(embedding, {}).hash != closure(load_site(site({})), {}).hash
