"""The stacks that ship as templates preview although none of their machines is there."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.paths import ROOT
from tests.lab.appliance import Done, run_there

pytestmark = pytest.mark.root

TEMPLATES = {"homelab-4x2": 4, "datacenter": 5}
"""Stack → its machines."""


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the name of a template; its file is given back as it was."""
    name: str = request.param
    file = ROOT / "stack" / f"Pulumi.{name}.yaml"
    before = file.read_text(encoding="utf-8")
    yield name
    file.write_text(before, encoding="utf-8")


def previewed(template: str, backend: Path) -> Done:
    """Preview with a backend of its own, where no packet gets further than this machine."""
    engine = f"""
        eval "$(./rackform env)"
        export PULUMI_BACKEND_URL={shlex.quote(f"file://{backend}")}
        pulumi stack select --create {template} --non-interactive &&
        exec pulumi preview --stack {template} --diff --non-interactive
    """
    return run_there(["unshare", "--net", "sh", "-c", f"ip link set lo up; {engine}"])


def test_a_template_previews_against_machines_that_are_not_there(
    template: str, tmp_path: Path
) -> None:
    shown = previewed(template, tmp_path)
    assert shown.status == 0, shown.text
    assert "Traceback" not in shown.text
    assert shown.text.count("rackform:index:HostState: (create)") == TEMPLATES[template]
    assert "the template's example, so the machine will be refused" in shown.text
    assert "the template's example, so nothing will be found there" in shown.text
    assert "rackform:index:ServeApplication: (create)" in shown.text
