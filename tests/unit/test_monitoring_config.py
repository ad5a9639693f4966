"""What is rendered for Prometheus, Alertmanager and the exporters follows the site."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from commission.metrics import nccl_metrics
from commission.model import Baseline, Collective, NcclResult, Point
from monitoring import alertmanager, exporters, prometheus, status
from monitoring.files import smokeping
from planner.plan import plan
from pyinfra_deploys.base.settings import PACKAGES as BASE_PACKAGES
from remote.container_spec import TRUSTED
from stack import doors
from stack.load import load_site, read_stack
from stack.schema import Site
from tests.unit.monitored import ROUTES, lab_site

SITE, PLAN = lab_site()


def _jobs(site: Site = SITE) -> dict[str, dict[str, str]]:
    """Return job → node → where it is scraped."""
    gpus = [name for name, node in site.nodes.items() if node.gpu_count]
    tree = yaml.safe_load(prometheus.config(site, plan(site), gpus))
    return {
        job["job_name"]: {
            static["labels"]["node"]: static["targets"][0] for static in job["static_configs"]
        }
        for job in tree["scrape_configs"]
    }


def test_every_node_is_scraped_over_the_fabric() -> None:
    jobs = _jobs()
    assert jobs["node"] == {"head": "10.78.0.11:9100", "w1": "10.78.0.12:9100",
                            "w2": "10.78.0.13:9100"}  # fmt: skip
    assert set(jobs["smokeping"]) == {"head", "w1", "w2"}
    assert set(jobs["gpu"]) == {"w1", "w2"}
    assert jobs["ray"] == {"head": "10.78.0.11:8080", "w1": "10.78.0.12:8080",
                           "w2": "10.78.0.13:8080"}  # fmt: skip


def test_a_new_node_is_scraped_and_pinged_with_nothing_else_to_edit() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": "head"}
    raw["nodes"]["w3"] = {
        "address": "10.77.0.14", "fabric_address": "10.78.0.14", "roles": ["worker"],
        "gpus": {"count": 2},
    }  # fmt: skip
    raw["switches"]["tor1"]["ports"]["Ethernet4"] = "w3.fab0"
    site = load_site(raw)
    for job in ("node", "smokeping", "gpu"):
        assert "w3" in _jobs(site)[job], job
    told = exporters.smokeping(site, "head").files["/etc/rackform/settings.json"].content
    assert "10.78.0.14" in told
    relabels = prometheus.config(site, plan(site), [])
    assert "replacement: w3" in relabels


def test_simulated_metrics_say_that_they_are() -> None:
    tree = yaml.safe_load(prometheus.config(SITE, PLAN, ["w1"]))
    (gpu,) = [job for job in tree["scrape_configs"] if job["job_name"] == "gpu"]
    assert gpu["static_configs"][0]["labels"]["lab_simulated"] == "true"


def test_metrics_are_kept_as_long_and_as_large_as_the_site_says() -> None:
    site, planned = lab_site(retention_days=3, retention_gib=0.5)
    command = prometheus.prometheus(site, planned, gpus=[]).command
    assert "--storage.tsdb.retention.time=3d" in command
    assert "--storage.tsdb.retention.size=512MB" in command


def test_every_part_listens_on_the_fabric_alone() -> None:
    head, w1 = SITE.nodes["head"], SITE.nodes["w1"]
    parts = {
        doors.PROMETHEUS: (prometheus.prometheus(SITE, PLAN, gpus=[]), head),
        doors.ALERTMANAGER: (alertmanager.alertmanager(SITE, {}), head),
        doors.NODE_EXPORTER: (exporters.node_exporter(w1), w1),
        doors.BLACKBOX: (exporters.blackbox(SITE, "CA"), head),
    }
    for port, (part, node) in parts.items():
        assert f"--web.listen-address={node.fabric_address}:{port}" in part.command
        assert part.ready
        assert part.ready.target == [str(node.fabric_address), str(port)]
    for part in (exporters.gpu_simulator(w1), exporters.token_probe(SITE, PLAN)):
        settings = json.loads(part.files["/etc/rackform/settings.json"].content)
        assert settings["address"].startswith("10.78.0.")
    pings = exporters.smokeping(SITE, "w1").files["/etc/rackform/settings.json"].content
    listens = f"--web.listen-address={w1.fabric_address}:{doors.SMOKEPING}"
    assert listens in json.loads(pings)["command"]
    assert "--cluster.listen-address=" in parts[doors.ALERTMANAGER][0].command


@pytest.mark.parametrize(
    ("kind", "is_disk"),
    [("ext4", True), ("xfs", True), ("overlay", True), ("iso9660", False), ("squashfs", False)],
)
def test_only_what_can_fill_counts_as_a_disk(kind: str, *, is_disk: bool) -> None:
    command = exporters.node_exporter(SITE.nodes["w1"]).command
    (told,) = [each for each in command if each.startswith("--collector.filesystem.fs-types")]
    assert bool(re.fullmatch(told.partition("=")[2], kind)) is not is_disk


def test_pings_are_small_and_as_large_as_the_mtu_lets_through() -> None:
    told = exporters.smokeping(SITE, "w1").files["/etc/rackform/settings.json"].content
    metrics = 'rackform_fabric_mtu_bytes{device="fab0"} 9000\n'
    made = yaml.safe_load(smokeping.config(json.loads(told)["groups"], smokeping.declared(metrics)))
    assert [(group["size"], group["hosts"][0]) for group in made["targets"]] == [
        (64, "10.78.0.11"),
        (8972, "::ffff:10.78.0.11"),
        (64, "10.77.0.11"),
        (1472, "::ffff:10.77.0.11"),
    ]


def test_another_mtu_is_no_change_of_what_pings() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["fabric"]["mtu_bytes"] = 4200
    assert exporters.smokeping(load_site(raw), "w1") == exporters.smokeping(SITE, "w1")


def test_front_ends_are_probed_where_the_site_has_them() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": "head"}
    raw["frontends"] = {"open_webui": {"node": "head"}}
    text = prometheus.config(load_site(raw), PLAN, [])
    assert "http://10.78.0.11:3000/health" in text
    assert "https://10.77.0.11/v1/models" in text
    assert "3001" not in text


@pytest.mark.parametrize("locked", [{"open_webui"}, {"open_webui", "anythingllm"}])
def test_a_front_end_that_is_left_out_is_not_looked_for(
    locked: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "runs", locked.__contains__)
    site = load_site(read_stack("homelab-4x2"))
    text = prometheus.config(site, plan(site), [])
    (fronts,) = [each for each in status.subsystems(site, plan(site)) if each.name == "Front-ends"]
    for key, url in {
        "open_webui": "http://10.78.0.11:3000/health",
        "anythingllm": "http://10.78.0.12:3001/api/ping",
    }.items():
        assert (url in text) is (key in locked)
        assert (key.replace("_", "-") in fronts.expected) is (key in locked)


@pytest.mark.parametrize("locked", [set(), {"dcgm-exporter"}])
def test_the_status_page_says_what_gpus_lack_that_nothing_measures(
    locked: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "runs", locked.__contains__)
    site = load_site(read_stack("homelab-4x2"))
    silent = {each.name: each.silent for each in status.subsystems(site, plan(site))}
    for name in ("GPUs", "Circuits"):
        assert ("./rackform lock dcgm-exporter" in silent[name]) is not bool(locked)


def test_what_embeds_for_the_front_ends_is_looked_for_where_the_site_has_it() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["monitoring"] = {"node": "head"}
    for embeddings in ({"node": "w1"}, None):
        raw["frontends"]["embeddings"] = embeddings
        site = load_site(raw)
        url = "http://10.78.0.12:3003/v1/models"
        assert (url in prometheus.config(site, PLAN, [])) is (embeddings is not None)
        (fronts,) = [each for each in status.subsystems(site, PLAN) if each.name == "Front-ends"]
        assert ("embeddings" in fronts.expected) is (embeddings is not None)


def test_every_route_is_told_of_every_alert_and_of_its_end() -> None:
    tree = yaml.safe_load(alertmanager.config(ROUTES, {}))
    assert [route["receiver"] for route in tree["route"]["routes"]] == list(ROUTES)
    assert all(route["continue"] for route in tree["route"]["routes"])
    (hook,) = tree["receivers"][1]["webhook_configs"]
    assert hook == {"url": "http://10.77.0.1:9900/hook", "send_resolved": True}


def test_a_route_may_have_any_name_that_the_site_takes() -> None:
    site, _ = lab_site(routes={"nobody": {"kind": "webhook", "url": "http://10.77.0.1:9900/"}})
    assert site.monitoring
    tree = yaml.safe_load(alertmanager.config(site.monitoring.routes, {}))
    names = [receiver["name"] for receiver in tree["receivers"]]
    assert len(set(names)) == len(names) == 2


def test_ntfy_gets_words_and_no_json() -> None:
    tree = yaml.safe_load(alertmanager.config(ROUTES, {}))
    url = urlsplit(tree["receivers"][2]["webhook_configs"][0]["url"])
    asked = parse_qs(url.query)
    assert (url.netloc, url.path) == ("ntfy.example.org", "/rack")
    assert asked["tpl"] == ["1"]
    assert "{{.annotations.summary}}" in asked["message"][0]


def test_routes_over_tls_are_trusted_as_the_host_trusts() -> None:
    assert TRUSTED in alertmanager.alertmanager(SITE, {}).mounts
    assert "ca-certificates" in BASE_PACKAGES


@pytest.mark.parametrize(("port", "asks"), [(587, True), (25, True), (465, False)])
def test_mail_asks_for_starttls_unless_tls_is_there_from_the_start(
    port: int, *, asks: bool
) -> None:
    mail = ROUTES["mail"].model_copy(update={"smarthost": f"mail.example.org:{port}"})
    _, receiver = yaml.safe_load(alertmanager.config({"mail": mail}, {}))["receivers"]
    assert receiver["email_configs"][0]["require_tls"] is asks


def test_a_routes_secret_is_in_a_file_of_its_own_that_only_its_user_reads() -> None:
    site, _ = lab_site(
        routes={name: route.model_dump(exclude_none=True) for name, route in ROUTES.items()}
    )
    parts = alertmanager.alertmanager(site, {"phone": "«route phone»", "mail": "«route mail»"})
    tree = yaml.safe_load(parts.files["/etc/alertmanager/alertmanager.yml"].content)
    _, _, phone, mail = tree["receivers"]
    authorization = phone["webhook_configs"][0]["http_config"]["authorization"]
    (letter,) = mail["email_configs"]
    assert letter["auth_username"] == "rack@example.org"
    for path in (authorization["credentials_file"], letter["auth_password_file"]):
        assert parts.files[path].mode == 0o400
        assert parts.files[path].content.startswith("«route ")
    assert "«" not in parts.files["/etc/alertmanager/alertmanager.yml"].content
    assert "«" not in " ".join([*parts.command, *parts.environment.values()])


def test_an_address_that_is_a_secret_is_in_the_configuration_that_only_its_user_reads() -> None:
    site, _ = lab_site(routes={"chat": {"kind": "webhook"}})
    parts = alertmanager.alertmanager(site, {"chat": "«route chat»"})
    ((path, file),) = parts.files.items()
    assert path == "/etc/alertmanager/alertmanager.yml"
    assert file.mode == 0o400
    filled = file.content.replace("«route chat»", "https://h.example/x?sig=%2Fa&b=c:d")
    (hook,) = yaml.safe_load(filled)["receivers"][1]["webhook_configs"]
    assert hook == {"url": "https://h.example/x?sig=%2Fa&b=c:d", "send_resolved": True}


def test_the_edge_is_asked_by_each_of_its_names_too_since_its_certificate_may_differ() -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw |= {
        "monitoring": {"node": "head"},
        "edge": {"host_names": ["llm.example.org", "*.example.net"]},
        "frontends": {"open_webui": {"node": "head", "host_name": "chat.example.org"}},
    }
    site = load_site(raw)
    told = exporters.blackbox(site, "CA").files["/etc/blackbox/blackbox.yml"].content
    modules = yaml.safe_load(told)["modules"]
    asked = {name: modules[name]["http"] for name in set(modules) - {"edge", "front_end"}}
    assert {
        name: (http["tls_config"]["server_name"], http["headers"]["Host"])
        for name, http in asked.items()
    } == {
        "llm.example.org": ("llm.example.org", "llm.example.org"),
        "*.example.net": ("any.example.net", "any.example.net"),
        "chat.example.org": ("chat.example.org", "chat.example.org"),
    }
    assert asked["llm.example.org"]["valid_status_codes"] == [401]
    assert asked["chat.example.org"]["valid_status_codes"] == [200]
    (probes,) = [
        job
        for job in yaml.safe_load(prometheus.config(site, PLAN, []))["scrape_configs"]
        if job["job_name"] == "endpoint"
    ]
    probed = {each["labels"]["endpoint"]: each["targets"] for each in probes["static_configs"]}
    assert probed["chat.example.org"] == ["https://10.77.0.11/"]
    assert probed["*.example.net"] == ["https://10.77.0.11/v1/models"]


@pytest.mark.parametrize("port", [443, 4443])
def test_the_edge_is_probed_on_its_own_port(port: int) -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw |= {"monitoring": {"node": "head"}, "edge": {"port": port}}
    at = "10.77.0.11" if port == 443 else f"10.77.0.11:{port}"
    assert f"https://{at}/v1/models" in prometheus.config(load_site(raw), PLAN, [])


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ([], "10.77.0.11"),
        (["llm.example.org"], "llm.example.org"),
        (["*.example.org"], "10.77.0.11"),
        (["*.example.org", "llm.example.net"], "llm.example.net"),
    ],
)
def test_what_an_alert_links_to_can_be_opened(names: list[str], host: str) -> None:
    raw = read_stack("lab")
    assert isinstance(raw, dict)
    raw["edge"] = {"host_names": names}
    command = alertmanager.alertmanager(load_site(raw), {}).command
    assert f"--web.external-url=https://{host}:8445/alertmanager" in command


def _measured(gb_s: float) -> Baseline:
    point = Point(collective=Collective.ALL_REDUCE, size_bytes=1, time_us=1, busbw_gb_s=gb_s)
    run = NcclResult(nodes=("n1", "n2"), ranks=4, points=(point,))
    return Baseline(site="s", measured_at="now", gbit_s=100, rdma=True, nccl=(run,))


def test_commissioning_leaves_what_it_measured_beside_the_baseline() -> None:
    text = nccl_metrics(_measured(8), _measured(12))
    assert 'rackform_nccl_busbw_gb_s{nodes="n1, n2"} 8.0\n' in text
    assert 'rackform_nccl_baseline_busbw_gb_s{nodes="n1, n2"} 12.0\n' in text
    assert not nccl_metrics(_measured(8).model_copy(update={"nccl": ()}), _measured(12))
