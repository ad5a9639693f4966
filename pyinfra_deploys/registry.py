"""The deploys there are, by name."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from pydantic import JsonValue, ValidationError

from pyinfra_deploys.base.settings import BaseSettings
from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.fabric_link.settings import FabricLinkSettings
from pyinfra_deploys.firewall.settings import FirewallSettings
from pyinfra_deploys.model import Settings
from pyinfra_deploys.nccl_env.settings import NcclEnvSettings
from pyinfra_deploys.nvidia_driver.settings import NvidiaDriverSettings
from pyinfra_deploys.restore.settings import RestoreSettings
from pyinfra_deploys.watchdog.settings import WatchdogSettings
from remote.errors import RackformError

WITHOUT_VALUE = {"missing", "value_error"}

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Deploy:
    """A deploy's settings; its function is loaded when asked for, since pyinfra is heavy."""

    name: str
    settings: type[Settings]

    def function(self) -> Callable[[Settings], None]:
        steps = import_module(f"pyinfra_deploys.{self.name}.steps")
        function: Callable[[Settings], None] = getattr(steps, self.name)
        return function


SETTINGS: dict[str, type[Settings]] = {
    "base": BaseSettings,
    "fabric_link": FabricLinkSettings,
    "firewall": FirewallSettings,
    "nvidia_driver": NvidiaDriverSettings,
    "nccl_env": NcclEnvSettings,
    "docker_engine": DockerEngineSettings,
    "watchdog": WatchdogSettings,
    "restore": RestoreSettings,
}
DEPLOYS: dict[str, Deploy] = {name: Deploy(name, model) for name, model in SETTINGS.items()}


def settings(name: str, values: Mapping[str, JsonValue]) -> Settings:
    """Return the checked settings of a deploy, or raise naming each field that is wrong."""
    known = DEPLOYS.get(name)
    if known is None:
        raise RackformError(f"there is no deploy {name}: use one of {', '.join(DEPLOYS)}")
    try:
        return known.settings.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join([name, *map(str, e['loc'])])}{_value(e['type'], e['input'])}: {e['msg']}"
            for e in error.errors()
        )
        raise RackformError(f"wrong settings: {wrong}; correct them in the site") from None


def _value(kind: str, value: object) -> str:
    return "" if kind in WITHOUT_VALUE else f" = {value!r}"


@cache
def sources(name: str) -> str:
    """Return the sha256 over a deploy's files and over what all deploys share."""
    if name not in DEPLOYS:
        raise RackformError(f"there is no deploy {name}: use one of {', '.join(DEPLOYS)}")
    folders = (HERE / name, HERE / "operations")
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".j2"}
    ]
    digest = hashlib.sha256()
    for path in sorted([*files, HERE / "templating.py", HERE / "model.py"]):
        digest.update(f"{path.relative_to(HERE)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
