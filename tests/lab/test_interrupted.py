"""An `up` that is cut off, at any point and in any way, is finished by the next one."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import JsonValue

from cli.access import access
from remote.connection import Connection
from stack.paths import ROOT
from tests.lab.appliance import STACK, on, pulumi, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(2400)]

_PHASES = {
    "secrets": "made Credentials",
    "images": "made OciImage",
    "machines": "made LabNode",
    "hosts": "made HostState",
    "registry": "made Container registry-container",
    "pulls": "made ImagePull vllm-pull",
    "containers": "made Container ray-head",
    "model": "still ServeApplication",
}
"""Phase → what `up` says in it, in the order in which they come; front-ends are pulled last."""


def cut_off(phases: Sequence[str], how: signal.Signals) -> str | None:
    """Run `up` and end it in the first of these phases that it comes to; None: it was through.

    SIGINT goes to the command alone, SIGKILL to the engine and its plugins too, as when the
    machine runs out of memory.
    """
    command = subprocess.Popen(
        [ROOT / "rackform", "up"], cwd=ROOT, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert command.stderr
    said = []
    for line in command.stderr:
        said.append(line)
        if phase := next((phase for phase in phases if _PHASES[phase] in line), None):
            victims = [command.pid] if how is signal.SIGINT else _family(command.pid)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(victim, how)
            rest = command.communicate()[1]
            assert command.returncode, f"the signal was passed over:\n{rest}"
            return phase
    assert command.wait() == 0, "".join(said)
    return None


def _family(pid: int) -> list[int]:
    """Return a process and all that it has started, itself first."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = [(int(child), int(parent)) for child, parent in map(str.split, listed.splitlines())]
    family = [pid]
    for each in family:
        family += [child for child, parent in parents if parent == each]
    return family


def deployment() -> dict[str, Any]:
    exported = pulumi("stack", "export", "--show-secrets", "--stack", STACK)
    assert exported.status == 0, exported.text
    state: dict[str, Any] = json.loads(exported.out)["deployment"]
    return state


def credentials(state: dict[str, Any]) -> JsonValue:
    """Return the secrets that the stack has made, None where it has made none yet."""
    made = [each for each in state["resources"] if each["type"] == "rackform:index:Credentials"]
    outputs: JsonValue = made[0]["outputs"] if made else None
    return outputs


def test_a_destroyed_stack_comes_up_again_although_it_is_cut_off_in_every_phase(
    nodes: dict[str, Connection],
) -> None:
    assert set(nodes) == {"head", "w1", "w2"}
    done = pulumi("destroy", "--yes", "--skip-preview", "--non-interactive", "--stack", STACK)
    assert done.status == 0, done.text

    secrets = None
    phases = list(_PHASES)
    cut: str | None = ""
    for number, phase in enumerate(phases):
        for how in (signal.SIGINT, signal.SIGKILL):
            before = cut
            # What was done before the cut is not done again: the next thing is waited for.
            cut = cut_off(phases[number:], how)
            # Ray goes on with the model on its own, so only after that may `up` be through.
            assert cut or before in (None, phases[-1]), f"up was through before its {phase}"
            # Plain Pulumi may not read what a kill has left; the next interrupted up has mended it.
            if how is signal.SIGINT and phase != "secrets":
                kept = credentials(deployment())
                assert kept, f"cut off at its {phase}, the stack has lost its secrets"
                assert kept == (secrets or kept)
                secrets = kept

    assert "Paris" in up()["answer"]
    state = deployment()
    assert credentials(state) == secrets
    names = [each["urn"] for each in state["resources"]]
    assert len(names) == len(set(names))
    assert not state.get("pending_operations")
    assert not [each for each in state["resources"] if each.get("delete")]
    for node, expected in access(STACK).outputs.expectations.hosts.items():
        there = on(node, "docker ps --all --format '{{.Names}}'").out.split()
        assert sorted(there) == sorted(expected.containers)
