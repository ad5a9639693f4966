"""Monitoring as the engine is told of it."""

from typing import Any
from unittest import mock

import pulumi
import pytest
import yaml

from components import monitoring
from components.closure import stack_images
from components.program import run
from components.secrets import of_routes
from stack.errors import InputError
from stack.load import load_site, read_stack
from tests.unit.monitored import lab_site
from tests.unit.test_components_appliance import Engine, declare


def _raw(stack: str, node: str, **more: object) -> dict[str, Any]:
    raw = read_stack(stack)
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": node, **more}
    return raw


def _containers(engine: Engine) -> set[str]:
    return {name for name in engine.of_type("Container") if name.startswith("monitoring-")}


@pytest.fixture(scope="module")
def lab() -> Engine:
    return declare(_raw("lab", "head"))


def test_a_site_that_asks_for_none_has_none() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    del raw["monitoring"]
    assert not _containers(declare(raw))
    assert ("monitoring", "default") not in stack_images(load_site(raw))


def test_each_node_gets_its_exporters_and_one_node_the_rest(lab: Engine) -> None:
    each = {
        f"monitoring-{node}-{what}"
        for node in ("head", "w1", "w2")
        for what in ("node-exporter", "smokeping")
    }
    gpus = {f"monitoring-{node}-gpu-exporter" for node in ("w1", "w2")}
    one = {
        f"monitoring-head-{what}"
        for what in ("prometheus", "alertmanager", "blackbox", "token-probe")
    }
    assert _containers(lab) == each | gpus | one


def test_what_runs_is_in_the_closure_and_is_verified(lab: Engine) -> None:
    assert ("monitoring", "default") in stack_images(load_site(_raw("lab", "head")))
    expected = str(lab.inputs("verification-run")["stdin"])
    for container in ("prometheus", "alertmanager", "node-exporter", "gpu-exporter"):
        assert f'"{container}"' in expected


def test_in_a_twin_the_gpu_exporter_is_a_simulator(lab: Engine) -> None:
    made = lab.inputs("monitoring-w1-gpu-exporter")
    assert made["command"][:2] == ["python3", "/etc/rackform/gpu_simulator.py"]
    assert not made.get("gpus")


def test_without_the_exporters_lock_real_gpus_are_left_out_and_the_preview_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda message, *_: told.append(message))
    raw = _raw("homelab-4x2", "n1")
    raw["images"] = {"vllm": "cpu"}
    engine = declare(raw)
    names = _containers(engine)
    assert "monitoring-n2-node-exporter" in names
    assert not [name for name in names if "gpu-exporter" in name]
    assert any("./rackform lock dcgm-exporter" in message for message in told)
    config = engine.inputs("monitoring-n1-prometheus")["files"]["/etc/prometheus/prometheus.yml"]
    jobs = {job["job_name"] for job in yaml.safe_load(config["content"])["scrape_configs"]}
    assert "gpu" not in jobs


def test_the_edge_is_offered_prometheus_and_alertmanager_behind_a_password_and_the_status_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[monitoring.Monitoring] = []
    real = monitoring.Monitoring.__init__

    def note(self: monitoring.Monitoring, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(monitoring.Monitoring, "__init__", note)
    declare(_raw("lab", "head"))
    found = {(r.name, r.upstream, r.port, r.path, r.password) for r in made[0].routes}
    assert found == {
        ("prometheus", "10.78.0.11:9090", 8445, "/prometheus", True),
        ("alertmanager", "10.78.0.11:9093", 8445, "/alertmanager", True),
        ("status", "10.78.0.11:9106", 443, "/status", False),
    }


MAIL = {"mail": {"kind": "email", "to": "a@example.org", "smarthost": "mail.example.org:587"}}


def test_a_secret_of_a_route_that_is_declared_is_taken() -> None:
    site, _ = lab_site(routes=MAIL)
    assert of_routes({"mail": "s3cret"}, site) == {"mail": "s3cret"}
    assert of_routes(None, site) == {}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (
            {"phone": "s3cret"},
            r"route_secrets\.phone is for no route of .* \(mail\)",
        ),
        ({"mail": ["s3cret"]}, r"route_secrets\.mail is no text"),
        ({"mail": ""}, r"route_secrets\.mail is no text"),
        ("s3cret", "has one value, but it is a mapping of routes"),
    ],
)
def test_a_secret_for_nothing_is_refused_and_not_told(raw: object, says: str) -> None:
    site, _ = lab_site(routes=MAIL)
    with pytest.raises(InputError, match=says) as refused:
        of_routes(raw, site)
    assert "s3cret" not in str(refused.value)


def test_a_login_without_its_password_is_refused() -> None:
    site, _ = lab_site(routes={"mail": {**MAIL["mail"], "user": "rack"}})
    assert of_routes({"mail": "s3cret"}, site)
    with pytest.raises(InputError, match=r"routes\.mail\.user = rack, but .* --secret") as refused:
        of_routes(None, site)
    assert "route_secrets.mail" in str(refused.value)


@pytest.mark.parametrize("secret", [None, "s3cret", "ftp://h/", 'https://h/"', "https://h/a b"])
def test_a_web_hook_without_an_address_needs_one_as_its_secret(secret: str | None) -> None:
    site, _ = lab_site(routes={"chat": {"kind": "webhook"}})
    raw = {"chat": secret} if secret else None
    with pytest.raises(InputError, match=r"routes\.chat has no url, .* whole address") as refused:
        of_routes(raw, site)
    assert "s3cret" not in str(refused.value)
    assert of_routes({"chat": "https://h.example:8/x?sig=%2Fa&b=c:d"}, site)


def test_a_secret_that_stands_in_the_clear_is_refused_and_not_told() -> None:
    raw = _raw("homelab-4x2", "n1")
    values = {"site": raw, "route_secrets": {"phone": "s3cret"}}
    config = mock.Mock(spec=pulumi.Config)
    config.get_object.side_effect = values.get
    with pytest.raises(pulumi.RunError, match="route_secrets is in the clear") as refused:
        run(config, "homelab-4x2")
    assert "s3cret" not in str(refused.value)
