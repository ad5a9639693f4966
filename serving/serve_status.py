"""What Ray Serve reports, read and compared with what is declared. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, JsonValue

RETRY = re.compile(r"Retrying(?: (\d+) more time\(s\))?")
"""Serve's own words while it tries a replica anew (deployment_state.py of Ray 2.60)."""

REPLICA_TRIES = 3


class Reported(BaseModel):
    """Parts of Ray's answers; what we do not read may change."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Replica(Reported):
    replica_id: str = ""
    state: str = ""
    node_id: str | None = None
    actor_id: str | None = None
    log_file_path: str | None = None


class Deployment(Reported):
    name: str
    status: str
    message: str = ""
    replicas: list[Replica] = []
    recent_dead_replicas: list[Replica] = []

    @property
    def telling_replicas(self) -> list[Replica]:
        """The last one that died and those that are there: whose logs tell most."""
        return [*self.recent_dead_replicas[-1:], *self.replicas[-2:]]


class Application(Reported):
    name: str
    status: str
    message: str = ""
    deployed_app_config: dict[str, JsonValue] | None = None
    deployments: dict[str, Deployment] = {}

    @staticmethod
    def find(details: "Details", name: str) -> "Application | None":
        return details.applications.get(name)


class Details(Reported):
    """GET /api/serve/applications/."""

    proxy_location: str | None = None
    http_options: dict[str, JsonValue] | None = None
    applications: dict[str, Application] = {}

    @property
    def runs(self) -> bool:
        """Whether Serve's controller is there, with or without applications."""
        return self.http_options is not None or bool(self.applications)

    def proxy_differs(self, config: Mapping[str, JsonValue]) -> bool:
        """Tell whether Serve runs with another proxy than declared; False while it does not run."""
        if self.http_options is None:
            return False
        return bool(
            differences("http_options", config.get("http_options") or {}, self.http_options)
            or config.get("proxy_location", self.proxy_location) != self.proxy_location
        )


@dataclass(frozen=True)
class Failure:
    key: str
    """Equal for two reports of one cause."""
    text: str
    count: int
    """How many replicas have failed so far, as far as Serve tells."""
    final: bool


def changes(config: Mapping[str, JsonValue], details: Details) -> list[str]:
    """Return a sentence for each declared value that Serve does not have.

    Serve adds its defaults to what it was given, so that only what is declared is compared.
    """
    found: list[str] = []
    if details.proxy_differs(config):
        found.append("the proxy's address or place: changed, Ray Serve is started anew")
    applications = config.get("applications")
    declared = applications if isinstance(applications, list) else []
    names = set()
    for application in declared:
        if not isinstance(application, dict):
            continue
        name = str(application.get("name"))
        names.add(name)
        running = details.applications.get(name)
        if running is None:
            found.append(f"application {name}: not deployed")
        else:
            found += differences(name, application, running.deployed_app_config or {})
    found += [f"application {name}: not declared" for name in details.applications.keys() - names]
    return found


def differences(path: str, declared: JsonValue, running: JsonValue) -> list[str]:
    """Return `path: running → declared` for each declared value that differs, at any depth."""
    if isinstance(declared, dict) and isinstance(running, dict):
        return [
            sentence
            for key, value in sorted(declared.items())
            for sentence in differences(f"{path}.{key}", value, running.get(key))
        ]
    both = isinstance(declared, list) and isinstance(running, list)
    if both and len(declared) == len(running):  # type: ignore[arg-type] # both are lists
        pairs = enumerate(zip(declared, running, strict=True))  # type: ignore[arg-type] # as above
        return [s for i, (a, b) in pairs for s in differences(f"{path}[{i}]", a, b)]
    return [] if declared == running else [f"{path}: {running!r} → {declared!r}"]


def failure(application: Application) -> Failure | None:
    """Return why the application or one of its deployments failed, or None while none has."""
    for deployment in application.deployments.values():
        retry = RETRY.search(deployment.message)
        final = deployment.status == "DEPLOY_FAILED"
        if final or retry:
            left = int(retry[1]) if retry and retry[1] else None
            count = 1 if left is None else max(1, REPLICA_TRIES - left)
            text = plain(deployment.message.partition("Error:\n")[2] or deployment.message)
            return Failure(f"{deployment.name} {first_line(text)}", text, count, final)
    if application.status == "DEPLOY_FAILED":
        text = plain(application.message)
        return Failure(text, text, 1, final=True)
    return None


def plain(text: str) -> str:
    """Return the text without a terminal's colours, which Ray writes into its messages."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def last_lines(text: str, count: int) -> str:
    """Return the end of a text, led by … where something is left out."""
    lines = text.strip().splitlines()
    return "\n".join(lines if len(lines) <= count else ["…", *lines[-count:]])


def first_line(text: str) -> str:
    """Return the last line of a traceback, which names the error, or else the first line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died)\b.*", line)]
    return (errors[-1] if errors else lines[0] if lines else "")[:300]
