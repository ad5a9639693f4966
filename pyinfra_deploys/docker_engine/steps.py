"""The operations of `docker_engine`."""

import json
from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import OperationError
from pyinfra.context import host

from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.facts import Programs
from pyinfra_deploys.operations.files import edit_file, write_file
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service
from pyinfra_deploys.operations.systems import this_system

DAEMON = "/etc/docker/daemon.json"
UNIT = "docker.service"
OTHER_ENGINES = ["docker-ce", "moby-engine"]
"""Docker Engine under the names that docker.com and Microsoft give its package."""
TOOLKIT = "nvidia-container-runtime-hook"
"""What Docker looks for when it starts: without it there is no such device as a GPU."""
_LOGS = "json-file"


def daemon_json(present: str, settings: DockerEngineSettings) -> str:
    """Return /etc/docker/daemon.json: what is there with our keys over it.

    It holds no key that a machine's unit gives as a flag.

    Raises:
        OperationError: what is there is no JSON object.

    """
    try:
        kept = json.loads(present) if present.strip() else {}
    except ValueError as error:
        raise OperationError(f"{DAEMON} is not JSON ({error}): correct or remove it") from None
    if not isinstance(kept, dict):
        raise OperationError(f"{DAEMON} holds no JSON object: correct or remove it")
    # The options of another log driver would keep the engine from starting.
    logs = kept.get("log-opts", {}) if kept.get("log-driver", _LOGS) == _LOGS else {}
    ours = {"max-file": str(settings.log_max_files), "max-size": settings.log_max_size}
    content: dict[str, object] = {
        **kept,
        "live-restore": settings.live_restore,
        "log-driver": _LOGS,
        "log-opts": {**logs, **ours},
    }
    if settings.nvidia_runtime:
        nvidia = {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}
        content["runtimes"] = {**kept.get("runtimes", {}), **nvidia}
    return present if content == kept else json.dumps(content, indent=2, sort_keys=True) + "\n"


def expect_toolkit() -> None:
    """Raise OperationError where Docker couldn't give a GPU to any container."""
    if not host.get_fact(Programs, names=[TOOLKIT]):
        raise OperationError(
            f"{TOOLKIT} isn't there, by which Docker gives GPUs to containers: add "
            "nvidia-container-toolkit to nvidia.packages, or install it on the host"
        )


@deploy("docker_engine")
def docker_engine(settings: DockerEngineSettings) -> None:
    if settings.expects_toolkit:
        expect_toolkit()
    # Configuration first: an engine that is installed after it starts with it.
    daemon = edit_file(
        name="Docker's configuration",
        path=DAEMON,
        edit=partial(daemon_json, settings=settings),
        reader=UNIT,
    )
    if settings.registry and settings.ca_certificate:
        # Read at each pull: no restart.
        write_file(
            name="Trust in the site's registry",
            path=f"/etc/docker/certs.d/{settings.registry}/ca.crt",
            content=settings.ca_certificate,
        )
    package = install_packages(
        name="Docker Engine",
        packages=[settings.package] if settings.package else list(this_system().docker),
        units=["containerd.service", UNIT, "docker.socket"],
        unless=OTHER_ENGINES,
    )
    reconfigured, installed = changed(daemon), changed(package)
    run_service(
        name=UNIT,
        unit=UNIT,
        restart_if=lambda: reconfigured() and not installed(),
        # So it knows of live-restore before it ends, and containers of others run on.
        reload_first=True,
    )
