"""`rackform plan`: its status, its JSON, its changes, and that no file makes it fall over."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from cli.__main__ import main
from cli.plan import screen
from cli.plan_site import planned_site
from planner.catalog import gpus
from planner.plan import PlanError, plan
from planner.proposal import Proposal, propose
from stack.errors import InputError
from stack.load import load_site
from stack.paths import ROOT
from tests.unit.planned_sites import LLAMA_8B, LLAMA_70B_AWQ, LLAMA_405B_AWQ, on_circuit, rack

KEYS = {
    "fits", "verdict", "reasons", "tensor_parallel_size", "pipeline_parallel_size",
    "layers_by_stage", "max_concurrency", "kv_cache_tokens", "memory_gib_by_rank", "predicted",
    "rejected", "power", "warnings",
}  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rackform", "plan", *map(str, arguments)])
    return main()


def written(folder: Path, site: dict[str, Any]) -> Path:
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(site), encoding="utf-8")
    return file


def test_it_ends_with_0_where_it_fits_1_where_not_and_2_for_bad_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, "--site", written(tmp_path, rack(1, 1, "rtx-4090", LLAMA_8B))) == 0
    too_large = rack(1, 1, "rtx-4090", LLAMA_405B_AWQ)
    assert run(monkeypatch, "--site", written(tmp_path, too_large)) == 1
    assert run(monkeypatch, "--site", written(tmp_path, {**too_large, "twin": "maybe"})) == 2
    assert run(monkeypatch, "--site", tmp_path / "nowhere.yaml") == 2
    assert run(monkeypatch, "--stack", "nowhere") == 2
    assert run(monkeypatch, "--concurrency", "0") == 2


def test_the_json_has_every_key_and_comes_back_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = on_circuit(rack(2, 1, "rtx-4090", LLAMA_70B_AWQ), volts=240, amps=20)
    file = written(tmp_path, {**site, "models": {"chat": {**site["models"]["chat"]}}})
    load = ("--concurrency", 2, "--input-tokens", 100, "--output-tokens", 20)
    run(monkeypatch, "--site", file, "--json", *load, "--set", "nodes.n0.gpus.count=2",
        "--set", "nodes.n1.gpus.count=2")  # fmt: skip
    text = capsys.readouterr().out
    told = json.loads(text)
    assert told.keys() >= KEYS
    assert told["predicted"].keys() >= {
        "ttft_ms", "tpot_ms", "output_tok_s", "interval", "validated",
    }  # fmt: skip
    assert all(each.keys() == {"split", "why"} for each in told["rejected"])
    assert told["power"]["circuits"][0]["circuit"] == "a"
    assert told["load"]["concurrency"] == 2
    assert told["gpus_by_node"] == {"n0": 2, "n1": 2}
    assert Proposal.model_validate_json(text).model_dump_json(indent=2) + "\n" == text


def test_a_change_is_as_if_it_stood_in_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, rack(1, 1, "rtx-4090", LLAMA_8B))
    changes = ["nodes.n0.gpus.count=4", 'switches.tor1.ports["Ethernet1/1"]=n0.fab0',
               "switches.tor1.os=eos", "switches.tor1.address=10.77.9.9", "twin=true",
               "nodes.n0.roles[1]=worker"]  # fmt: skip
    site, asked = planned_site("lab", file, None, changes)
    assert site.nodes["n0"].gpu_count == 4
    assert list(site.plugs()) == [("tor1", "Ethernet1/1", "n0", "fab0")]
    assert asked is None


@pytest.mark.parametrize(
    "change", ["", "nodes", "=4", "nodes.n0.gpus.count", "nodes..n0=1", "a=[",
               "nodes.n0.roles[7]=x", "name.first=x", "nodes.n0.gpus.count.more=1"],
)  # fmt: skip
def test_a_change_that_is_none_is_bad_input(tmp_path: Path, change: str) -> None:
    file = written(tmp_path, rack(1, 1, "rtx-4090", LLAMA_8B))
    with pytest.raises(InputError, match="--set"):
        planned_site("lab", file, None, [change])


def test_any_model_can_be_asked_for_in_place_of_the_sites(tmp_path: Path) -> None:
    file = written(tmp_path, rack(1, 2, "h200", LLAMA_8B))
    for model in ("qwen3-32b", "hf:Qwen/Qwen3-32B", "Qwen/Qwen3-32B"):
        site, asked = planned_site("lab", file, model, [])
        assert propose(site, model=asked).architecture == "qwen3-32b"
    site, asked = planned_site("lab", file, "chat", [])
    assert propose(site, model=asked).architecture == "llama-3.1-8b"


def test_a_model_that_is_asked_for_and_unknown_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, rack(1, 2, "h200", LLAMA_8B))
    assert run(monkeypatch, "--site", file, "--model", "qwen3-33b") == 2
    assert "write one of qwen3-32b" in capsys.readouterr().err
    assert run(monkeypatch, "--site", file, "--model", "/absent/config.json") == 2


def test_somebody_who_owns_nothing_is_told_to_buy_one_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, rack(1, 4, "rtx-4090", LLAMA_70B_AWQ))
    for options, verdict in (((), "use_what_you_own"), (("--own-nothing",), "buy_a_bigger_gpu")):
        run(monkeypatch, "--site", file, "--json", *options)
        assert json.loads(capsys.readouterr().out)["verdict"] == verdict


def test_a_stack_file_is_a_site_too() -> None:
    site, _ = planned_site("lab", ROOT / "stack" / "Pulumi.homelab-4x2.yaml", None, [])
    assert site.name == "homelab"


def test_the_lab_is_counted_and_fits() -> None:
    site, _ = planned_site("lab", None, None, [])
    found = propose(site)
    assert found.fits
    assert (found.tensor_parallel_size, found.pipeline_parallel_size) == (2, 2)
    assert any("gpus.model is not given" in each for each in found.warnings)


def test_a_picture_that_cannot_be_written_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written(tmp_path, rack(1, 1, "rtx-4090", LLAMA_8B))
    assert run(monkeypatch, "--site", file, "--picture", tmp_path / "no" / "plan.svg") == 2
    assert run(monkeypatch, "--site", file, "--picture", tmp_path / "plan.svg") == 0
    assert (tmp_path / "plan.svg").read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00\xff\xfe", b"- 1\n", b"config: [", b"config:\n", b"config: {other: 1}\n",
        b"&a [*a]\n", b"nodes: &n {n0: *n}\n", b"name: 2020-13-45\n", b"? [a]\n: b\n",
        b"[" * 500, b"name: " + b"9" * 6000, b"!!python/object:os.system {}\n", b"\xef\xbb\xbf{}",
        b"name: .nan\nnodes: .inf\n", b"1: 2\nnull: 3\n2020-01-01: {2020-01-02: x}\n",
    ],
    ids=range(16),
)  # fmt: skip
def test_any_file_is_a_site_or_bad_input(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "site.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError):
        planned_site("lab", file, None, [])


CARDS = st.sampled_from([*gpus(), "rtx-9999", None])
PARTS = st.tuples(
    st.lists(st.tuples(CARDS, st.integers(1, 9), st.booleans()), min_size=1, max_size=4),
    st.sampled_from([LLAMA_8B, LLAMA_70B_AWQ, LLAMA_405B_AWQ, "hf:x/deepseek-v3", "hf:x/unknown",
                     "file:/nowhere"]),
    st.sampled_from([(1, "none"), (33, "none"), (100, "roce"), (400, "infiniband")]),
    st.fixed_dictionaries({"volts": st.integers(100, 480), "amps": st.integers(1, 400)}),
    st.fixed_dictionaries(
        {
            "max_model_len": st.integers(16, 200_000),
            "gpu_memory_utilization": st.floats(0.05, 1),
            "replicas": st.fixed_dictionaries({"max": st.integers(1, 3)}),
            "load": st.fixed_dictionaries({"concurrency": st.integers(1, 64)}),
            "parallelism": st.one_of(
                st.just("auto"),
                st.fixed_dictionaries({"tensor": st.integers(1, 9), "pipeline": st.integers(1, 4)}),
            ),
        }
    ),
)  # fmt: skip


def _site(
    nodes: list[tuple[str | None, int, bool]],
    source: str,
    network: tuple[float, str],
    circuit: dict[str, int],
    model: dict[str, object],
) -> dict[str, Any]:
    revision = {"revision": "0" * 64} if source.startswith("file:") else {}
    site = on_circuit(
        rack(len(nodes), 1, "l4", source, network=network, **model, **revision), **circuit
    )
    for node, (gpu, count, owned) in zip(site["nodes"].values(), nodes, strict=True):
        node["gpus"] = {"count": count, "owned": owned} | ({"model": gpu} if gpu else {})
    return {**site, "images": {"vllm": "cpu"}}


@given(PARTS.map(lambda parts: _site(*parts)))
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_any_site_is_planned_or_refused_in_words(raw: dict[str, Any]) -> None:
    try:
        site = load_site(raw)
        found = propose(site)
    except InputError:
        return
    text = found.model_dump_json()
    assert Proposal.model_validate_json(text) == found
    assert list(_negative(json.loads(text))) == []
    Console(file=io.StringIO(), width=100).print(screen(found))
    try:
        assert plan(site).models
    except PlanError:
        assert not found.fits
    else:
        assert found.fits


def _negative(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in _negative(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [each for inner in value for each in _negative(inner, f"{path}[]")]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return [path] if number and not value >= 0 else []  # type: ignore[operator] # a number


@pytest.mark.parametrize(("nodes", "gpus", "seconds"), [(4, 2, 1.0), (64, 8, 5.0)])
def test_a_whole_process_is_quick(tmp_path: Path, nodes: int, gpus: int, seconds: float) -> None:
    card = "rtx-4090" if nodes == 4 else "h100-sxm"
    file = written(tmp_path, rack(nodes, gpus, card, LLAMA_70B_AWQ, load={"concurrency": 16}))
    before = os.times()
    command = [sys.executable, "-P", "-m", "cli", "plan", "--site", str(file), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, cwd=ROOT, env=environment)
    after = os.times()
    assert done.returncode == 0, done.stderr
    # Its own processor time: what else the machine does is no part of it.
    assert (
        after.children_user
        + after.children_system
        - before.children_user
        - (before.children_system)
        < seconds
    )
