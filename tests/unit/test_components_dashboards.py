"""What shows people how the appliance does, as the engine is told of it."""

from typing import Any

import pytest

from components import grafana
from components.closure import stack_images
from images import builder
from monitoring.grafana import DASHBOARDS
from stack.load import load_site
from tests.unit.sites import changed
from tests.unit.test_components_appliance import declare

MONITORED = changed("lab", "monitoring", {"node": "w1"})
FAKE = builder.Expected(
    input_hash="1" * 64,
    digest=None,
    image_id=None,
    packages={},
    files={},
    lock_sha256="2" * 64,
)


@pytest.fixture
def _locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Grafana's image a lock."""
    expected = builder.expected

    def fake(name: str, *rest: Any) -> builder.Expected:
        return FAKE if name == "grafana" else expected(name, *rest)

    monkeypatch.setattr(builder, "expected", fake)
    monkeypatch.setattr(grafana, "has_lock", lambda _: True)


def test_the_status_page_runs_on_the_monitoring_node_in_the_image_of_monitoring() -> None:
    page = declare(MONITORED).inputs("status-page-container")
    assert page["command"][0] == "python3"
    assert page["image"].startswith("192.0.2.1:5000/monitoring@")
    assert page["ready"]["target"] == ["10.78.0.12", "9106"]
    assert page["connection"]["name"] == "w1-machine"


def test_without_monitoring_neither_is_declared() -> None:
    engine = declare(changed("lab", "monitoring", None))
    assert not {"status-page-container", "grafana-container"} & set(engine.declared)


def test_without_a_lock_grafana_is_left_out_and_the_preview_tells_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = declare(MONITORED)
    assert "grafana-container" not in engine.declared
    assert "status-page-container" in engine.declared
    assert "Grafana is left out" in caplog.text
    assert "./rackform lock grafana" in caplog.text
    assert ("grafana", "default") not in stack_images(load_site(MONITORED))


@pytest.mark.usefixtures("_locked")
def test_grafana_is_closed_stays_at_home_and_shows_every_dashboard() -> None:
    made = declare(MONITORED).inputs("grafana-container")
    environment, files = made["environment"], made["files"]
    assert environment["GF_SERVER_HTTP_ADDR"] == "10.78.0.12"
    assert environment["GF_SERVER_ROOT_URL"] == "https://10.77.0.11:8445/grafana/"
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    password = files[environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]]
    assert password == {"content": "grafana-token", "mode": 0o400}
    assert "grafana-token" not in str(environment)
    shown = {path.rpartition("/")[2] for path in files if path.endswith(".json")}
    assert shown == {path.name for path in DASHBOARDS.glob("*.json")}
    assert "overview.json" in shown
    datasource = files["/etc/grafana/provisioning/datasources/rackform.yaml"]["content"]
    assert "url: http://10.78.0.12:9090/prometheus\n" in datasource
