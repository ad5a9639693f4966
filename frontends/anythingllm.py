"""What the container of AnythingLLM runs: its makers' image, told of the cluster's model. Pure.

It reads `/app/server/.env` beside its environment and writes its settings back there. Secrets are
in that file alone; it is laid anew at every start, so that what the site declares holds again.
"""

from pathlib import Path

from pydantic import Field

from frontends.refusals import refuse_empty
from remote import host_folders
from remote.container_spec import ContainerParts, Frozen, HostFile, Mount, Readiness

NAME = "anythingllm"
USER = "1000:1000"
"""The user of its makers' image, who owns the data."""
DATA = f"{host_folders.DATA}/anythingllm"
STORAGE = "/app/server/storage"
COLLECTOR_PORT = 8888
SECRETS = "/run/secrets/anythingllm.env"
LISTEN = "/etc/rackform/listen.js"
HEALTH = "/usr/local/bin/docker-healthcheck.sh"
"""The image's own health check asks localhost, where nothing listens."""
READY_S = 180

_START = (
    f"install -m 600 {SECRETS} /app/server/.env"
    " && exec /bin/bash /usr/local/bin/docker-entrypoint.sh"
)


class AnythingLlm(Frozen):
    """What one AnythingLLM is told of the appliance around it."""

    address: str = Field(description="fabric address of its node")
    port: int
    api: str = Field(description="base URL of the cluster's OpenAI API: http://…/v1")
    model: str
    max_model_len: int = Field(description="longest request with its answer, in tokens")
    embeddings_api: str | None = Field(
        default=None, description="base URL of an OpenAI API that embeds; without one none does"
    )
    embedding_model: str = ""
    auth_token: str = Field(description="the password of its page (secret)")
    jwt_secret: str = Field(description="what its sessions are signed with (secret)")
    signing_key: str = Field(description="what it encrypts with (secret)")
    signing_salt: str = Field(description="and its salt (secret)")


def anythingllm(llm: AnythingLlm) -> ContainerParts:
    """Render the container.

    Raises:
        RackformError: a secret is empty. Without AUTH_TOKEN or JWT_SECRET it asks for no password.

    """
    secrets = {
        "AUTH_TOKEN": llm.auth_token,
        "JWT_SECRET": llm.jwt_secret,
        "SIG_KEY": llm.signing_key,
        "SIG_SALT": llm.signing_salt,
    }
    refuse_empty(NAME, secrets)
    where = f"http://{llm.address}:{llm.port}/api/ping"
    listen = (Path(__file__).parent / "files" / "listen.js").read_text(encoding="utf-8")
    return ContainerParts(
        command=["/bin/bash", "-c", _START],
        environment=_server(llm) | _model(llm) | _embeddings(llm),
        files={
            SECRETS: HostFile(content="".join(f"{k}='{v}'\n" for k, v in secrets.items())),
            LISTEN: HostFile(content=listen, mode=0o444),
            HEALTH: HostFile(content=f"exec curl --fail --silent {where}\n", mode=0o555),
        },
        mounts=[Mount(source=DATA, target=STORAGE, read_only=False)],
        user=USER,
        ready=Readiness(kind="exec", target=["/bin/bash", HEALTH], timeout_s=READY_S),
    )


def _server(llm: AnythingLlm) -> dict[str, str]:
    listen = {llm.port: llm.address, COLLECTOR_PORT: "127.0.0.1"}
    return {
        "STORAGE_DIR": STORAGE,
        "SERVER_PORT": str(llm.port),
        "COLLECTOR_PORT": str(COLLECTOR_PORT),
        "VECTOR_DB": "lancedb",
        "DISABLE_TELEMETRY": "true",
        "NODE_OPTIONS": f"--require {LISTEN}",
        "RACKFORM_LISTEN": " ".join(f"{port}={address}" for port, address in listen.items()),
        # its Chromium would ask for SYS_ADMIN to read web pages
        "ANYTHINGLLM_CHROMIUM_ARGS": "--no-sandbox,--disable-setuid-sandbox",
    }


def _model(llm: AnythingLlm) -> dict[str, str]:
    return {
        "LLM_PROVIDER": "generic-openai",
        "GENERIC_OPEN_AI_BASE_PATH": llm.api,
        "GENERIC_OPEN_AI_MODEL_PREF": llm.model,
        "GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT": str(llm.max_model_len),
        # room for the question: both count against the model's length
        "GENERIC_OPEN_AI_MAX_TOKENS": str(llm.max_model_len // 2),
        "GENERIC_OPEN_AI_API_KEY": "none",
    }


def _embeddings(llm: AnythingLlm) -> dict[str, str]:
    if llm.embeddings_api is None:
        return {}
    return {
        "EMBEDDING_ENGINE": "generic-openai",
        "EMBEDDING_BASE_PATH": llm.embeddings_api,
        "EMBEDDING_MODEL_PREF": llm.embedding_model,
        "EMBEDDING_MODEL_MAX_CHUNK_LENGTH": "1000",
        "GENERIC_OPEN_AI_EMBEDDING_API_KEY": "none",
    }
