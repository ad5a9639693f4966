"""The provider under the real engine: what a person sees of a preview, an up, drift and errors.

It needs the engine that `./rackform env` gives, and neither root nor a twin.
"""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack.paths import ROOT

SECRET = "hunter2-hunter2"  # noqa: S105 - what must never show

PROJECT = """\
name: bench
runtime: python
options: {refresh: always}
plugins: {providers: [{name: rackform, path: ./provider}]}
"""
EXECUTABLE = """\
#!/bin/sh
exec {root}/.venv/bin/python -P {folder}/fakes.py "$@"
"""
FAKES = """\
import pathlib, time
from provider.inputs import Inputs
from provider.outputs import Outputs
from provider.resource import Resource, State
from provider.server import main
from remote.errors import RackformError, Unreachable

WORLD = pathlib.Path(__file__).parent / "world"

class FakeInputs(Inputs):
    name: str
    mtu: int
    password: str

class Fake(Resource[FakeInputs, Outputs]):
    inputs, outputs = FakeInputs, Outputs
    def preview(self, old, new, ctx):
        ctx.info(f"would run: ip link set {new.fields['name']} mtu {new.fields['mtu']}")
        return {"pending": []}
    def create(self, inputs, ctx):
        if inputs.mtu > 9214:
            raise RackformError(f"{inputs.mtu} with {inputs.password}: the port takes 9214 at most")
        time.sleep(1)
        (WORLD / inputs.name).write_text(str(inputs.mtu))
        return inputs.name, Outputs()
    def read(self, state, ctx):
        found = (WORLD / state.id).read_text()
        if found == "unreachable":
            raise Unreachable(f"{state.id} does not answer")
        due = [] if found == str(state.inputs.mtu) else [f"mtu {found}"]
        return State(state.id, state.inputs, Outputs(pending=due))
    def update(self, state, inputs, ctx):
        return self.create(inputs, ctx)[1]
    def delete(self, state, ctx):
        (WORLD / state.id).unlink()

main({"rackform:index:Fake": Fake})
"""
PROGRAM = """\
import pulumi
from components.resources import RackformResource

class Fake(RackformResource):
    def __init__(self, resource, **inputs):
        super().__init__(resource, inputs, [], None)

mtu = pulumi.Config().get_int("mtu") or 1500
for number in range(4):
    Fake(f"w{number}-link", name=f"w{number}", mtu=mtu, password=pulumi.Output.secret("SECRET"))
""".replace("SECRET", SECRET)


@dataclass(frozen=True)
class Bench:
    folder: Path

    def pulumi(self, *arguments: str, status: int = 0) -> str:
        settings = {
            "PULUMI_BACKEND_URL": f"file://{self.folder}/state",
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            "RACKFORM_STATE": str(self.folder / "rackform"),
            "PYTHONPATH": str(ROOT),
        }
        assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        shell = (
            f'eval "$(./rackform env)" && unset PULUMI_CONFIG_PASSPHRASE_FILE PULUMI_STACK &&'
            f" cd {shlex.quote(str(self.folder))} && export {assignments} && exec pulumi"
            f" {shlex.join(arguments)} --non-interactive"
        )
        done = subprocess.run(
            ["sh", "-c", shell], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def world(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "world").iterdir()}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("engine")
    for name in ("provider", "state", "world"):
        (folder / name).mkdir()
    (folder / "Pulumi.yaml").write_text(PROJECT)
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "fakes.py").write_text(FAKES)
    executable = folder / "provider" / "pulumi-resource-rackform"
    executable.write_text(EXECUTABLE.format(root=shlex.quote(str(ROOT)), folder=folder))
    executable.chmod(0o755)
    made = Bench(folder)
    made.pulumi("stack", "init", "bench")
    return made


def test_the_engine_shows_previews_drift_secrets_and_errors(bench: Bench) -> None:
    """One story, since each step stands on the one before it."""
    planned = bench.pulumi("preview")
    assert "would run: ip link set w0 mtu 1500" in planned
    assert bench.world() == {}

    made = bench.pulumi("up", "--yes", "--skip-preview")
    assert "5 created" in made  # the stack itself is one
    assert bench.world() == dict.fromkeys(("w0", "w1", "w2", "w3"), "1500")
    kept = (bench.folder / "state/.pulumi/stacks/bench/bench.json").read_text()
    assert SECRET not in kept + made + planned

    assert "5 unchanged" in bench.pulumi("up", "--yes", "--skip-preview")

    (bench.folder / "world/w1").write_text("9000")
    (bench.folder / "world/w2").write_text("unreachable")
    steps = json.loads(bench.pulumi("preview", "--json", "--refresh"))["steps"]
    changing = {step["urn"].rpartition("::")[2] for step in steps if step["op"] == "update"}
    assert changing == {"w1-link"}
    shown = bench.pulumi("preview")
    assert "not reachable: assuming no change since the last up (w2 does not answer)" in shown

    (bench.folder / "world/w2").write_text("1500")
    bench.pulumi("up", "--yes", "--skip-preview")
    assert bench.world()["w1"] == "1500"

    bench.pulumi("config", "set", "mtu", "9999")
    refused = bench.pulumi("up", "--yes", "--skip-preview", status=1)
    assert "error: 9999 with [secret]: the port takes 9214 at most" in refused
    assert "Traceback" not in refused

    bench.pulumi("config", "set", "mtu", "9000")
    assert "mtu: 1500 => 9000" in bench.pulumi("preview", "--diff").replace("  ", " ")
    bench.pulumi("destroy", "--yes", "--skip-preview")
    assert bench.world() == {}


def test_resources_are_made_side_by_side(bench: Bench) -> None:
    """Four creates of one second each end within the time of two."""
    bench.pulumi("config", "set", "mtu", "1500")
    bench.pulumi("up", "--yes", "--skip-preview")
    times = sorted(path.stat().st_mtime for path in (bench.folder / "world").iterdir())
    assert times[-1] - times[0] < 1
    bench.pulumi("destroy", "--yes", "--skip-preview")
