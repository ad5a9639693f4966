"""The ways to bring hosts to their declared state: each converges all of them and ends."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from bench.nodes import Host
from pyinfra_deploys import registry
from pyinfra_deploys.client import HostWorker
from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.docker_engine.steps import daemon_json
from pyinfra_deploys.templating import render
from remote import ssh
from remote.errors import RackformError
from stack.paths import ROOT

HERE = Path(__file__).resolve().parent
LIMIT_S = 600


class Contender(Protocol):
    name: str

    def converge(self, hosts: Mapping[str, Host]) -> float:
        """Bring every host to its state; return the seconds from start to end of the command."""


class Worker:
    """The host worker alone, started for each run, as the provider uses it."""

    name = "host worker alone"

    def converge(self, hosts: Mapping[str, Host]) -> float:
        begun = time.monotonic()
        with HostWorker() as worker, ThreadPoolExecutor(len(hosts)) as pool:
            worker.start()
            list(pool.map(lambda h: worker.apply(h.connection, h.deploys), hosts.values()))
        return time.monotonic() - begun


class Pulumi:
    """`pulumi up` with refresh, on a project that holds the hosts' state and nothing else."""

    name = "`pulumi up`"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        project = folder / "project"
        project.mkdir(parents=True)
        (folder / "backend").mkdir()
        shutil.copy(HERE / "pulumi" / "__main__.py", project)
        settings = {
            "name": "bench",
            "runtime": "python",
            "options": {"refresh": "always"},
            "plugins": {"providers": [{"name": "rackform", "path": str(ROOT / "provider")}]},
        }
        (project / "Pulumi.yaml").write_text(json.dumps(settings))
        self._pulumi("stack init bench")

    def converge(self, hosts: Mapping[str, Host]) -> float:
        said = {
            name: {"connection": h.connection.model_dump(mode="json"), "deploys": h.deploys}
            for name, h in hosts.items()
        }
        (self.folder / "hosts.json").write_text(json.dumps(said))
        begun = time.monotonic()
        self._pulumi("up --yes --skip-preview --stack bench")
        return time.monotonic() - begun

    def _pulumi(self, command: str) -> None:
        environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{self.folder}/backend",
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            "BENCH_HOSTS": str(self.folder / "hosts.json"),
            "PYTHONPATH": str(ROOT),
        }
        _run(
            ["pulumi", *command.split(), "--non-interactive"], self.folder / "project", environment
        )


class Ansible:
    """The playbook with forks, pipelining and kept connections."""

    name = "Ansible"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        folder.mkdir(parents=True)
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if uv is None:
            raise RackformError("uv is missing: './rackform env' makes it, beside .venv's python")
        python = ["--python", str(folder / "venv")]
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")], folder)
        wanted = ["--require-hashes", "-r", str(HERE / "requirements.txt")]
        _run([uv, "pip", "install", "-q", *python, *wanted], folder)

    def converge(self, hosts: Mapping[str, Host]) -> float:
        known_hosts = self.folder / "known_hosts"
        known_hosts.write_text(ssh.known_hosts([h.connection for h in hosts.values()]))
        inventory = {
            name: {
                "ansible_host": h.connection.address,
                "ansible_user": h.connection.user,
                "ansible_ssh_private_key_file": str(h.connection.private_key_file),
                "ansible_ssh_common_args": (
                    f'-o UserKnownHostsFile="{known_hosts}" -o StrictHostKeyChecking=yes'
                ),
                **variables(h),
            }
            for name, h in hosts.items()
        }
        (self.folder / "inventory.json").write_text(json.dumps({"all": {"hosts": inventory}}))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(HERE / "playbook" / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
        }
        playbook = str(HERE / "playbook" / "site.yml")
        command = [str(self.bin / "ansible-playbook"), "-i", str(self.folder / "inventory.json")]
        begun = time.monotonic()
        _run([*command, playbook], self.folder, environment)
        return time.monotonic() - begun


def variables(host: Host) -> dict[str, JsonValue]:
    """Return a host's settings with their defaults, and the texts that no template makes."""
    checked = {name: registry.settings(name, values) for name, values in host.deploys.items()}
    said: dict[str, dict[str, JsonValue]] = {
        name: settings.model_dump(mode="json") for name, settings in checked.items()
    }
    listed = "ray_non_carry_over_env_vars.json.j2"
    said["nccl_env"]["non_carry_over_text"] = render("nccl_env", listed, checked["nccl_env"])
    docker = DockerEngineSettings.model_validate(host.deploys["docker_engine"])
    said["docker_engine"]["daemon_text"] = daemon_json("", docker)
    return dict(said)


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise RackformError(f"{' '.join(command)} ended with status {done.returncode}:\n{said}")
