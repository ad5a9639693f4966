"""The operations of `docker_engine`."""

import json

from pyinfra.api.deploy import deploy

from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.operations.change import changed
from pyinfra_deploys.operations.files import write_file
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.service import run_service


def daemon_json(settings: DockerEngineSettings) -> str:
    """Return /etc/docker/daemon.json. It holds no key that a machine's unit gives as a flag."""
    content: dict[str, object] = {
        "live-restore": settings.live_restore,
        "log-driver": "json-file",
        "log-opts": {"max-file": str(settings.log_max_files), "max-size": settings.log_max_size},
    }
    if settings.nvidia_runtime:
        content["runtimes"] = {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


@deploy("docker_engine")
def docker_engine(settings: DockerEngineSettings) -> None:
    # Configuration first: an engine that is installed after it starts with it.
    daemon = write_file(
        name="Docker's configuration", path="/etc/docker/daemon.json", content=daemon_json(settings)
    )
    if settings.registry and settings.ca_certificate:
        # Read at each pull: no restart.
        write_file(
            name="Trust in the site's registry",
            path=f"/etc/docker/certs.d/{settings.registry}/ca.crt",
            content=settings.ca_certificate,
        )
    package = install_packages(name="Docker Engine", packages=[settings.package])
    reconfigured, installed = changed(daemon), changed(package)
    run_service(
        name="docker.service",
        unit="docker.service",
        restart_if=lambda: reconfigured() and not installed(),
    )
