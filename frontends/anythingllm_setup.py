"""Give AnythingLLM its workspace and its API key by its own API; what is there is kept.

Reads a `Setup` as JSON from standard input and prints a `Made` as JSON: secrets are in no argument
and no environment.
"""

import sys

import httpx
from pydantic import Field, JsonValue, ValidationError

from frontends.anythingllm import NAME
from remote import ssh
from remote.connection import Connection
from remote.container_spec import Frozen
from remote.errors import RackformError

TIMEOUT_S = 30


class Setup(Frozen):
    """Where it answers, and what it shall have."""

    connection: Connection = Field(description="its node")
    address: str = Field(description="where it listens, as its node sees it")
    port: int
    password: str = Field(description="its AUTH_TOKEN (secret)")
    workspace: str
    key_name: str


class Made(Frozen):
    api_key: str = Field(description="of its developers' API (secret)")
    workspace: str = Field(description="the workspace's slug")
    changed: list[str] = Field(description="what was not there before")


def make(setup: Setup, base_url: str) -> Made:
    """See that key and workspace are there.

    Raises:
        RackformError: it refuses the password, or answers otherwise than its API says.

    """
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_S, trust_env=False) as client:
        session = _session(client, setup.password)
        key, changed = _usable_key(client, session, setup.key_name), list[str]()
        if key is None:
            made = _call(client, "POST", "/api/system/generate-api-key", session,
                         {"name": setup.key_name})  # fmt: skip
            key = _text(made, "apiKey", "secret")
            changed.append("API key")
        spaces = _call(client, "GET", "/api/v1/workspaces", key)
        slug = _slug(spaces, setup.workspace)
        if slug is None:
            new = _call(client, "POST", "/api/v1/workspace/new", key, {"name": setup.workspace})
            slug = _text(new, "workspace", "slug")
            changed.append("workspace")
        return Made(api_key=key, workspace=slug, changed=changed)


def _session(client: httpx.Client, password: str) -> str:
    answer = client.post("/api/request-token", json={"password": password})
    token = answer.json().get("token") if answer.is_success else None
    if not token:
        raise RackformError(
            f"{NAME} refuses the password that the site's credentials hold: it was changed in its"
            " page, so restart its container, which lays the declared one again"
        )
    return str(token)


def _usable_key(client: httpx.Client, session: str, name: str) -> str | None:
    listed = _call(client, "GET", "/api/system/api-keys", session).get("apiKeys")
    for row in listed if isinstance(listed, list) else []:
        secret = row.get("secret") if isinstance(row, dict) and row.get("name") == name else None
        if isinstance(secret, str):
            asked = client.get("/api/v1/auth", headers=_bearer(secret))
            if asked.status_code == httpx.codes.OK:
                return secret
    return None


def _slug(answer: dict[str, JsonValue], name: str) -> str | None:
    spaces = answer.get("workspaces")
    for space in spaces if isinstance(spaces, list) else []:
        if isinstance(space, dict) and space.get("name") == name:
            return str(space["slug"])
    return None


def _call(
    client: httpx.Client,
    method: str,
    path: str,
    bearer: str,
    body: dict[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    answer = client.request(method, path, json=body, headers=_bearer(bearer))
    if not answer.is_success:
        raise RackformError(
            f"{NAME} answered {answer.status_code} to {method} {path}: see its log with"
            f" 'docker logs {NAME}' on its node"
        )
    found: dict[str, JsonValue] = answer.json()
    return found


def _text(answer: dict[str, JsonValue], *path: str) -> str:
    value: JsonValue = answer
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise RackformError(
            f"{NAME} answered without {'.'.join(path)}: this version of it speaks another API than"
            " the one that was locked"
        )
    return value


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def main() -> None:
    try:
        setup = Setup.model_validate_json(sys.stdin.read())
    except ValidationError as error:
        # pydantic's own message repeats the input, in which there are secrets
        sys.exit(f"{NAME}: its set-up was given wrongly: {error.errors(include_input=False)}")
    try:
        with ssh.tunnel(setup.connection, setup.address, setup.port) as port:
            made = make(setup, f"http://127.0.0.1:{port}")
    except (RackformError, httpx.HTTPError) as error:
        sys.exit(f"{NAME} was not set up: {error}")
    sys.stdout.write(made.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
