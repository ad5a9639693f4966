"""What the containers of Open WebUI and AnythingLLM are told, and what they are refused."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from frontends import anythingllm, open_webui
from provider.inputs import ContainerInputs
from remote.connection import Connection
from remote.container_spec import ContainerParts
from remote.errors import RackformError
from stack.paths import ROOT

_API = {"address": "10.78.0.11", "api": "http://10.78.0.11:8000/v1"}
WEBUI = open_webui.OpenWebUi.model_validate(
    _API
    | {"port": 3000, "public_urls": ["https://10.77.0.11:8443", "https://chat.example"]}
    | {"default_model": "small", "admin_email": "admin@rackform.example"}
    | {"admin_password": "admin-secret", "secret_key": "session-secret"}
)
LLM = anythingllm.AnythingLlm.model_validate(
    _API
    | {"port": 3001, "model": "small", "max_model_len": 2048}
    | {"auth_token": "auth-secret", "jwt_secret": "jwt-secret"}
    | {"signing_key": "sig-secret", "signing_salt": "salt-secret"}
)
PARTS = {"open-webui": open_webui.open_webui(WEBUI), "anythingllm": anythingllm.anythingllm(LLM)}


@pytest.fixture
def launcher() -> ModuleType:
    """Return the program that starts Open WebUI in its container."""
    file = ROOT / "frontends" / "files" / "open_webui_start.py"
    spec = importlib.util.spec_from_file_location("open_webui_start", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PARTS)
def test_secrets_are_in_files_that_only_their_owner_reads(name: str) -> None:
    parts = PARTS[name]
    shown = " ".join(parts.command) + json.dumps(parts.environment) + str(parts.ready)
    assert "-secret" not in shown
    holding = [file for file in parts.files.values() if "-secret" in file.content]
    assert holding
    assert {file.mode for file in holding} == {0o400}


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_fit_a_container_resource(name: str) -> None:
    ContainerInputs(
        connection=Connection(
            name="head", address="a", private_key_file=Path("/k"), host_key="ssh-ed25519 A"
        ),
        name=name,
        image="r/i@sha256:0",
        image_id=f"sha256:{0:064}",
        **PARTS[name].model_dump(),
    )


@pytest.mark.parametrize("secret", ["auth_token", "jwt_secret", "signing_key", "signing_salt"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_anythingllm_without_a_secret_is_refused(secret: str, empty: str) -> None:
    with pytest.raises(RackformError, match=r"anythingllm: [A-Z_]+ is empty, and without it"):
        anythingllm.anythingllm(LLM.model_copy(update={secret: empty}))


@pytest.mark.parametrize("secret", ["admin_password", "secret_key"])
def test_open_webui_without_a_secret_is_refused(secret: str) -> None:
    with pytest.raises(RackformError, match=r"open-webui: WEBUI_.* is empty"):
        open_webui.open_webui(WEBUI.model_copy(update={secret: ""}))


def test_open_webui_obeys_its_environment_and_lets_nobody_sign_up() -> None:
    environment = PARTS["open-webui"].environment
    assert environment["ENABLE_PERSISTENT_CONFIG"] == "false"
    assert environment["ENABLE_SIGNUP"] == "false"
    assert environment["CORS_ALLOW_ORIGIN"] == "https://10.77.0.11:8443;https://chat.example"
    assert environment["OPENAI_API_BASE_URLS"] == "http://10.78.0.11:8000/v1"


def test_a_request_offers_no_tools_which_vllm_would_refuse() -> None:
    params = json.loads(PARTS["open-webui"].environment["DEFAULT_MODEL_PARAMS"])
    assert params == {"function_calling": "legacy"}


def test_both_listen_on_the_fabric_alone() -> None:
    assert PARTS["open-webui"].command[-2:] == ["10.78.0.11", "3000"]
    listen = PARTS["anythingllm"].environment["RACKFORM_LISTEN"]
    assert listen == "3001=10.78.0.11 8888=127.0.0.1"


def _with_embeddings() -> dict[str, ContainerParts]:
    told = {"embeddings_api": "http://192.0.2.7:8001/v1", "embedding_model": "small-embed"}
    return {
        "open-webui": open_webui.open_webui(WEBUI.model_copy(update=told)),
        "anythingllm": anythingllm.anythingllm(LLM.model_copy(update=told)),
    }


def test_documents_are_given_whole_unless_something_embeds_them() -> None:
    assert PARTS["open-webui"].environment["BYPASS_EMBEDDING_AND_RETRIEVAL"] == "true"
    assert "EMBEDDING_ENGINE" not in PARTS["anythingllm"].environment
    embedding = _with_embeddings()
    webui, llm = embedding["open-webui"].environment, embedding["anythingllm"].environment
    assert "BYPASS_EMBEDDING_AND_RETRIEVAL" not in webui
    assert webui["RAG_OPENAI_API_BASE_URL"] == "http://192.0.2.7:8001/v1"
    assert llm["EMBEDDING_BASE_PATH"] == "http://192.0.2.7:8001/v1"
    assert {webui["RAG_EMBEDDING_MODEL"], llm["EMBEDDING_MODEL_PREF"]} == {"small-embed"}


def test_anythingllm_leaves_half_of_the_models_length_for_the_question() -> None:
    limits = {"GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT": "2048", "GENERIC_OPEN_AI_MAX_TOKENS": "1024"}
    assert limits.items() <= PARTS["anythingllm"].environment.items()


def test_the_launcher_takes_each_secret_by_the_name_of_its_file(
    launcher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBUI_NAME_OF_A_FILE", "other")
    (tmp_path / "WEBUI_NAME_OF_A_FILE").write_text("from a file\n")
    launcher.take_secrets(tmp_path)
    assert os.environ["WEBUI_NAME_OF_A_FILE"] == "from a file"


def test_open_webui_is_not_ready_while_nothing_answers(launcher: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert launcher.ready("127.0.0.1", str(free.getsockname()[1])) is False


_TWO_SERVERS = """
const http = require("node:http");
const [open, inner] = [http.createServer(), http.createServer()];
open.listen(Number(process.argv[1]), () => inner.listen(process.argv[2], () => {
  console.log(JSON.stringify([open.address().address, inner.address().address]));
  open.close(); inner.close();
}));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node, which AnythingLLM runs on")
def test_a_node_program_that_names_no_address_listens_where_it_is_told() -> None:
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = [str(free.getsockname()[1]) for free in (one, two)]
    hook = ROOT / "frontends" / "files" / "listen.js"
    done = subprocess.run(
        ["node", "--require", hook, "-e", _TWO_SERVERS, *ports],
        env=os.environ | {"RACKFORM_LISTEN": f"{ports[0]}=127.0.0.2 {ports[1]}=127.0.0.3"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["127.0.0.2", "127.0.0.3"]
