"""What the container of Open WebUI runs. Pure.

Its settings come from its environment at every start and nowhere else: without
`ENABLE_PERSISTENT_CONFIG=false` it would keep in its database what it was first started with.
Users, chats and files are in the data folder.
"""

from pathlib import Path

from pydantic import Field

from frontends.refusals import refuse_empty
from remote import host_folders
from remote.container_spec import ContainerParts, Frozen, HostFile, Mount, Readiness

NAME = "open-webui"
USER = "995:995"
"""The user of images/open-webui, who owns the data."""
DATA = f"{host_folders.DATA}/open-webui"
LAUNCHER = "/etc/rackform/open_webui_start.py"
PYTHON = "/opt/venv/bin/python3"
SECRETS = "/run/secrets"
READY_S = 180
"""It starts in 28 to 64 s on two busy cores."""


class OpenWebUi(Frozen):
    """What one Open WebUI is told of the appliance around it."""

    address: str = Field(description="fabric address of its node")
    port: int
    public_urls: list[str] = Field(min_length=1, description="https://…, as browsers reach it")
    api: str = Field(description="base URL of the cluster's OpenAI API: http://…/v1")
    default_model: str
    embeddings_api: str | None = Field(
        default=None, description="base URL of an OpenAI API that embeds; without one none is used"
    )
    embedding_model: str = ""
    admin_email: str
    admin_password: str = Field(description="the first administrator's (secret)")
    secret_key: str = Field(description="what its sessions are signed with (secret)")


def open_webui(webui: OpenWebUi) -> ContainerParts:
    """Render the container.

    Raises:
        RackformError: a secret is empty, and without it anybody could make sessions or sign in.

    """
    secrets = {"WEBUI_ADMIN_PASSWORD": webui.admin_password, "WEBUI_SECRET_KEY": webui.secret_key}
    refuse_empty(NAME, secrets)
    launcher = (Path(__file__).parent / "files" / "open_webui_start.py").read_text(encoding="utf-8")
    where = [webui.address, str(webui.port)]
    return ContainerParts(
        command=[PYTHON, LAUNCHER, "serve", *where],
        environment=_site(webui) | _embeddings(webui) | _CLOSED | _QUIET,
        files={
            LAUNCHER: HostFile(content=launcher, mode=0o444),
            **{f"{SECRETS}/{name}": HostFile(content=value) for name, value in secrets.items()},
        },
        mounts=[Mount(source=DATA, target="/data", read_only=False)],
        user=USER,
        # -S and -E: asked several times a second, and needs only the standard library
        ready=Readiness(
            kind="exec", target=[PYTHON, "-S", "-E", LAUNCHER, "ready", *where], timeout_s=READY_S
        ),
    )


def _site(webui: OpenWebUi) -> dict[str, str]:
    return {
        "CORS_ALLOW_ORIGIN": ";".join(webui.public_urls),
        "DEFAULT_MODELS": webui.default_model,
        # else each request offers tools, which vLLM refuses unless it was given a parser for them
        "DEFAULT_MODEL_PARAMS": '{"function_calling": "legacy"}',
        "OPENAI_API_BASE_URLS": webui.api,
        # the fabric's API asks for no key, and an empty one would be sent as "Bearer "
        "OPENAI_API_KEYS": "none",
        "WEBUI_ADMIN_EMAIL": webui.admin_email,
        "WEBUI_ADMIN_NAME": webui.admin_email.partition("@")[0],
        "WEBUI_URL": webui.public_urls[0],
        # where it copies its own pictures at every start: the image's folder is not its user's
        "STATIC_DIR": "/data/static",
    }


def _embeddings(webui: OpenWebUi) -> dict[str, str]:
    """Return how documents reach the model: by what is found in them, else whole."""
    # named in any case: its own engine is not in the image
    engine = {"RAG_EMBEDDING_ENGINE": "openai"}
    if webui.embeddings_api is None:
        return engine | {"BYPASS_EMBEDDING_AND_RETRIEVAL": "true"}
    return engine | {
        "RAG_EMBEDDING_MODEL": webui.embedding_model,
        "RAG_OPENAI_API_BASE_URL": webui.embeddings_api,
        "RAG_OPENAI_API_KEY": "none",
    }


_CLOSED = {
    "ENABLE_PERSISTENT_CONFIG": "false",
    # an environment that wins would open it again
    "ENABLE_SIGNUP": "false",
    "BYPASS_MODEL_ACCESS_CONTROL": "true",  # whoever may sign in may use every model
    "WEBUI_AUTH_COOKIE_SECURE": "true",
    "WEBUI_SESSION_COOKIE_SECURE": "true",
    "ENABLE_OLLAMA_API": "false",
}

_QUIET = {
    # nothing asks the internet
    "OFFLINE_MODE": "true",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "ENABLE_COMMUNITY_SHARING": "false",
    "ENABLE_WEB_SEARCH": "false",
    # and what the cluster computes is what a person asked: each of these is a request of its own
    "ENABLE_AUTOCOMPLETE_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "ENABLE_RETRIEVAL_QUERY_GENERATION": "false",
    "ENABLE_SEARCH_QUERY_GENERATION": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "ENABLE_TITLE_GENERATION": "false",
}
