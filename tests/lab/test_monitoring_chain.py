"""From a measurement to the web hook: the image's own programs, the rendered settings, no twin."""

import json
from collections.abc import Iterator

import pytest

from images import builder
from monitoring import alertmanager, exporters, prometheus
from monitoring.place import PROMETHEUS_PATH
from planner.models import Plan
from remote import host_folders
from stack.paths import store_dir
from stack.schema import Site
from tests.lab.bench import Bench, wait_until
from tests.lab.webhook import RECEIVER, told, was_told
from tests.unit.monitored import lab_site

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

_HOOK_PORT = 9900
_SERVE = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Serve(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        for token in ("4", " 5"):
            data = '{"choices":[{"delta":{"content":"%s"}}]}' % token
            self.wfile.write(b"data: " + data.encode() + b"\\n\\n")
        self.wfile.write(b"data: [DONE]\\n\\n")
ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Serve).serve_forever()
"""


@pytest.fixture(scope="module")
def lab() -> tuple[Site, Plan]:
    hook = {"kind": "webhook", "url": f"http://10.77.0.1:{_HOOK_PORT}/"}
    return lab_site(routes={"hook": hook})


@pytest.fixture(scope="module")
def bench(lab: tuple[Site, Plan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    site, planned = lab
    digest = builder.build("monitoring", "default", store_dir(), print).digest
    nodes = site.nodes.values()
    addresses = [str(a) for node in nodes for a in (node.address, node.fabric_address)]
    work = tmp_path_factory.mktemp("bench")
    with Bench(builder.unpack(digest, store_dir()), work, [*addresses, "10.77.0.1"]) as bench:
        bench.script("hook", RECEIVER, "10.77.0.1", str(_HOOK_PORT), str(work / "told"))
        bench.script("serve", _SERVE, "10.78.0.11", str(site.ray.serve_port))
        bench.start("alertmanager", alertmanager.alertmanager(site, {}))
        bench.start("prometheus", prometheus.prometheus(site, planned, gpus=list(site.workers)))
        bench.start("blackbox", exporters.blackbox(site, ""))
        bench.start("tokens", exporters.token_probe(site, planned))
        declared = bench.folder(host_folders.METRICS) / "fabric.prom"
        declared.write_text('rackform_fabric_mtu_bytes{device="fab0"} 9000\n')
        for name, node in site.nodes.items():
            bench.start(f"node-{name}", exporters.node_exporter(node))
            bench.start(f"smokeping-{name}", exporters.smokeping(site, name))
            if node.gpu_count:
                bench.start(f"gpu-{name}", exporters.gpu_simulator(node))
        yield bench


def _targets(bench: Bench, site: Site) -> dict[tuple[str, str], str]:
    """Return (job, node) → health."""
    answer = bench.get(f"http://{prometheus.address(site)}{PROMETHEUS_PATH}/api/v1/targets")
    active = json.loads(answer)["data"]["activeTargets"] if answer else []
    return {(t["labels"]["job"], t["labels"]["node"]): t["health"] for t in active}


def _value(bench: Bench, site: Site, query: str) -> list[dict[str, str]]:
    url = f"http://{prometheus.address(site)}{PROMETHEUS_PATH}/api/v1/query?query={query}"
    answer = bench.get(url)
    return [sample["metric"] for sample in json.loads(answer)["data"]["result"]] if answer else []


def test_every_part_is_scraped(bench: Bench, lab: tuple[Site, Plan]) -> None:
    site, _ = lab
    ours = {"prometheus", "alertmanager", "node", "smokeping", "gpu", "tokens", "endpoint"}

    def all_up() -> bool:
        found = _targets(bench, site)
        here = {health for (job, _), health in found.items() if job in ours}
        return here == {"up"} and {job for job, _ in found} == ours | {"ray"}

    wait_until(all_up, 120, f"{_targets(bench, site)}\n{bench.log()}")


def test_pings_name_the_peer_the_network_and_the_size(bench: Bench, lab: tuple[Site, Plan]) -> None:
    site, _ = lab

    def named() -> set[tuple[str, ...]]:
        samples = _value(bench, site, "rackform:loss_ratio")
        return {tuple(s[k] for k in ("node", "peer", "network", "size")) for s in samples}

    pairs = {(a, b) for a in site.nodes for b in site.nodes if a != b}
    expected = {
        (*pair, network, size)
        for pair in pairs
        for network in ("fabric", "management")
        for size in ("small", "large")
    }
    wait_until(lambda: named() == expected, 90, str(named()))


def test_the_probe_gets_real_tokens(bench: Bench, lab: tuple[Site, Plan]) -> None:
    site, planned = lab
    wait_until(lambda: bool(_value(bench, site, "token_probe_success==1")), 60, bench.log())
    (found,) = _value(bench, site, "token_probe_success")
    assert found["model"] == planned.models[0].served_name


def test_the_interfaces_counters_are_there(bench: Bench, lab: tuple[Site, Plan]) -> None:
    site, _ = lab
    assert _value(bench, site, "node_filesystem_avail_bytes")
    assert _value(bench, site, "node_memory_MemAvailable_bytes")


def test_a_hot_gpu_is_told_and_its_cooling_too_within_90_s_each(bench: Bench) -> None:
    file = bench.work / "told"
    values = bench.folder(exporters.SIMULATOR_DATA) / "gpu0.json"
    values.write_text('{"DCGM_FI_DEV_GPU_TEMP": 91}')
    raised = wait_until(
        lambda: was_told(file, "GpuTooHot", "firing", node="w1", gpu="0"), 90, bench.log()
    )
    (alert, *_) = [each for each in told(file) if each["labels"]["alertname"] == "GpuTooHot"]
    assert alert["labels"]["lab_simulated"] == "true"
    assert alert["annotations"]["summary"].endswith("is at 91 °C, above 85 °C.")
    assert alert["annotations"]["runbook"] == "docs/runbooks/gpu-too-hot.md"
    values.unlink()
    cleared = wait_until(
        lambda: was_told(file, "GpuTooHot", "resolved", node="w1", gpu="0"), 90, bench.log()
    )
    print(f"raised after {raised:.0f} s, cleared after {cleared:.0f} s")  # noqa: T201 - for -s


def test_a_silent_engine_is_told_although_its_health_check_is_well(
    bench: Bench, lab: tuple[Site, Plan]
) -> None:
    _, planned = lab
    file, model = bench.work / "told", planned.models[0].served_name
    _serve(bench, _SERVE.replace('("4", " 5")', "()"))
    wait_until(
        lambda: was_told(file, "EngineWithoutTokens", "firing", model=model), 90, bench.log()
    )
    _serve(bench, _SERVE)
    wait_until(
        lambda: was_told(file, "EngineWithoutTokens", "resolved", model=model), 90, bench.log()
    )


def _serve(bench: Bench, program: str) -> None:
    """Put another engine in the place of the one that runs."""
    running = bench.processes.pop("serve")
    running.kill()
    running.wait()
    bench.script("serve", program, "10.78.0.11", "8000")
