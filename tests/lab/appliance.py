"""The product as a person uses it: commands in, text and exit status out."""

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.paths import ROOT

STACK = "lab"


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def rackform(*arguments: str, timeout_s: float = 1200, root: Path = ROOT, stdin: str = "") -> Done:
    """Run `./rackform` and wait for it."""
    return run_there([str(root / "rackform"), *arguments], timeout_s, root, stdin)


def pulumi(*arguments: str, timeout_s: float = 600) -> Done:
    """Run plain `pulumi` in the environment that `./rackform env` gives a shell."""
    shell = f'eval "$(./rackform env)" && exec pulumi {shlex.join(arguments)}'
    return run_there(["sh", "-c", shell], timeout_s)


def run_there(
    command: list[str], timeout_s: float = 600, root: Path = ROOT, stdin: str = ""
) -> Done:
    """Run a command at the top of a checkout, and wait for it."""
    done = subprocess.run(
        command,
        cwd=root,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def up() -> dict[str, Any]:
    """Bring the stack up and return what `--json` ends with."""
    done = rackform("up", "--json")
    assert done.status == 0, done.text
    report: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return report


def preview() -> tuple[dict[str, str], str]:
    """Return what a preview would do, resource → operation, and its whole text."""
    planned = pulumi("preview", "--json", "--stack", STACK, "--non-interactive")
    assert planned.status == 0, planned.text
    steps = json.loads(planned.out)["steps"]
    operations = {
        step["urn"].rsplit("::", 1)[-1]: step["op"]
        for step in steps
        if step["op"] not in {"same", "refresh"}
    }
    shown = pulumi("preview", "--diff", "--stack", STACK, "--non-interactive")
    assert shown.status == 0, shown.text
    return operations, shown.text


def configure(path: str, value: str) -> None:
    done = pulumi("config", "set", "--path", f"rackform:site.{path}", value, "--stack", STACK)
    assert done.status == 0, done.text


def on(node: str, command: str, timeout_s: float = 60) -> Done:
    """Run a command on a machine of the twin, as somebody does by hand."""
    return rackform("ssh", node, command, timeout_s=timeout_s)
