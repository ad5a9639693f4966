"""Rules and configurations, judged by the programs of the monitoring image; no twin is needed."""

from pathlib import Path

import pytest

from images import builder
from images.builder.toolbox import Toolbox
from monitoring import alertmanager, exporters, prometheus
from monitoring.rule import rules_yaml, to_yaml
from monitoring.rules import alerts, groups
from remote.container_spec import ContainerParts
from remote.errors import RackformError
from stack.paths import store_dir
from tests.unit.alert_cases import CASES, monitored_site
from tests.unit.monitored import ROUTES, lab_site
from tests.unit.promtool_cases import promtool_test

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def image() -> Toolbox:
    digest = builder.build("monitoring", "default", store_dir(), print).digest
    return Toolbox(builder.unpack(digest, store_dir()))


def _content(parts: ContainerParts, name: str) -> str:
    (found,) = [file.content for path, file in parts.files.items() if path.endswith(f"/{name}")]
    return found


def test_every_alert_is_raised_by_its_fault_and_by_nothing_else(
    image: Toolbox, tmp_path: Path
) -> None:
    site, planned = monitored_site()
    (tmp_path / "rules.yml").write_text(rules_yaml(groups(site, planned)))
    cases = promtool_test(CASES, alerts(site, planned), "rules.yml")
    (tmp_path / "cases.yml").write_text(to_yaml(cases))
    assert "SUCCESS" in image.run("promtool", "test", "rules", str(tmp_path / "cases.yml"))


def test_a_case_that_expects_the_wrong_words_fails(image: Toolbox, tmp_path: Path) -> None:
    """The test above can fail."""
    site, planned = monitored_site()
    (tmp_path / "rules.yml").write_text(rules_yaml(groups(site, planned)))
    cases = promtool_test(CASES[:1], alerts(site, planned), "rules.yml")
    told, other = to_yaml(cases), to_yaml(cases).replace("above 85 °C", "above 86 °C", 1)
    assert other != told
    (tmp_path / "cases.yml").write_text(other)
    with pytest.raises(RackformError, match="promtool failed"):
        image.run("promtool", "test", "rules", str(tmp_path / "cases.yml"))


@pytest.mark.parametrize(("nodes", "known"), [(("n1", "n2"), True), (("n1",), False)])
def test_a_circuits_load_is_told_where_every_node_of_it_is_known(
    nodes: tuple[str, ...],
    known: bool,  # noqa: FBT001 - of a case
    image: Toolbox,
    tmp_path: Path,
) -> None:
    site, planned = monitored_site()
    (tmp_path / "rules.yml").write_text(rules_yaml(groups(site, planned)))
    cards = [
        {"series": f'DCGM_FI_DEV_POWER_USAGE{{node="{node}",gpu="0"}}', "values": "300x30"}
        for node in nodes
    ]
    told = {"expr": 'count(rackform:circuit_watts{circuit="a"})', "eval_time": "90s",
            "exp_samples": [{"labels": "{}", "value": 1}] if known else []}  # fmt: skip
    test = {"interval": "10s", "input_series": cards, "promql_expr_test": [told]}
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": "10s", "tests": [test]}
    (tmp_path / "cases.yml").write_text(to_yaml(cases))
    assert "SUCCESS" in image.run("promtool", "test", "rules", str(tmp_path / "cases.yml"))


@pytest.mark.parametrize("stack", ["lab", "homelab-4x2"])
def test_prometheus_takes_its_configuration(stack: str, image: Toolbox, tmp_path: Path) -> None:
    site, planned = lab_site() if stack == "lab" else monitored_site()
    parts = prometheus.prometheus(site, planned, gpus=list(site.workers))
    (tmp_path / "rules.yml").write_text(_content(parts, "rules.yml"))
    told = _content(parts, "prometheus.yml").replace("/etc/prometheus/", f"{tmp_path}/")
    (tmp_path / "prometheus.yml").write_text(told)
    checked = image.run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert "1 rule files found" in checked
    assert "SUCCESS" in image.run("promtool", "check", "rules", str(tmp_path / "rules.yml"))


def test_alertmanager_takes_its_configuration_with_every_kind_of_route(
    image: Toolbox, tmp_path: Path
) -> None:
    file = tmp_path / "alertmanager.yml"
    routes = {**ROUTES, "nobody": ROUTES["chat"]}
    file.write_text(alertmanager.config(routes, {"mail": "s", "phone": "s"}))
    assert f"{len(routes) + 1} receivers" in image.run("amtool", "check-config", str(file))


def test_the_blackbox_exporter_takes_its_configuration(image: Toolbox, tmp_path: Path) -> None:
    site, _ = lab_site()
    file = tmp_path / "blackbox.yml"
    file.write_text(_content(exporters.blackbox(site, "CA"), "blackbox.yml"))
    image.run("prometheus-blackbox-exporter", "--config.check", f"--config.file={file}")
