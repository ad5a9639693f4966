"""What `./rackform up` promises, on the running twin, in the order in which a person meets it.

The tests share one appliance and each leaves it as it found it: they run in the order of the file.
"""

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest

from remote.connection import Connection
from tests.lab.appliance import STACK, configure, on, preview, pulumi, rackform, up

pytestmark = [pytest.mark.twin, pytest.mark.timeout(1800)]

_LOAD_ONE_PROCESS = """
import json, os
from vllm import LLM, SamplingParams
engine = LLM("/models/{folder}", dtype="float32", max_model_len=2048, enforce_eager=True)
asked = [[{{"role": "user", "content": prompt}}] for prompt in {prompts}]
greedy = SamplingParams(temperature=0, max_tokens=24)
answers = engine.chat(asked, greedy)
print("ANSWERS " + json.dumps([list(answer.outputs[0].token_ids) for answer in answers]))
"""
_PROMPTS = ["What is the capital of France?", "Write a short poem about the sea."]


def _client(report: dict[str, Any]) -> openai.OpenAI:
    key = Path(report["api_key_file"]).read_text(encoding="utf-8").strip()
    trust = ssl.create_default_context(cafile=report["ca_file"])
    return openai.OpenAI(
        base_url=report["endpoint"],
        api_key=key,
        http_client=httpx2.Client(verify=trust, trust_env=False, timeout=180),
    )


def test_the_report_names_all_that_a_client_needs(report: dict[str, Any]) -> None:
    assert set(report) == {
        "stack", "closure", "endpoint", "ca_file", "api_key_file", "model", "answer", "seconds",
    }  # fmt: skip
    assert "Paris" in report["answer"]
    assert report["seconds"]["total"] >= report["seconds"]["answer"] > 0


def test_the_openai_client_streams_a_completion_through_the_edge(report: dict[str, Any]) -> None:
    stream = _client(report).chat.completions.create(
        model=report["model"],
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=24,
        temperature=0,
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 3, "the answer came in one piece"
    assert "Paris" in "".join(pieces)


@pytest.mark.parametrize("key", [None, "wrong"])
def test_without_the_key_the_edge_answers_401(report: dict[str, Any], key: str | None) -> None:
    answer = httpx.get(
        f"{report['endpoint']}/models",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        verify=ssl.create_default_context(cafile=report["ca_file"]),
        trust_env=False,
    )
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_chat_streams_the_answer_to_standard_output(report: dict[str, Any]) -> None:
    done = rackform("chat", "What is the capital of France?")
    assert done.status == 0, done.text
    assert "Paris" in done.out
    assert report["model"]


def test_greedy_tokens_are_those_of_one_vllm_process(report: dict[str, Any]) -> None:
    """TP and PP change how the model is computed, not what: float32, greedy, same weights."""
    folder = on("w1", "ls /srv/models").out.split()[0]
    script = _LOAD_ONE_PROCESS.format(folder=folder, prompts=json.dumps(_PROMPTS))
    image = on("w1", "docker inspect --format '{{.Image}}' ray-worker").out.strip()
    alone = on(
        "w1",
        "docker run --rm -i --network none --ulimit nofile=20000:20000 --entrypoint python3"
        " -e RACKFORM_CPU_AS_GPU=0 -e VLLM_ENABLE_V1_MULTIPROCESSING=0"
        " -e VLLM_CPU_KVCACHE_SPACE=1 -e VLLM_CPU_OMP_THREADS_BIND=nobind"
        f" -v /srv/models:/models:ro {image} - <<'PYTHON'\n{script}\nPYTHON",
        timeout_s=400,
    )
    line = next((line for line in alone.out.splitlines() if line.startswith("ANSWERS ")), None)
    assert line, alone.text
    client = _client(report)
    for prompt, expected in zip(_PROMPTS, json.loads(line.removeprefix("ANSWERS ")), strict=True):
        served = client.chat.completions.create(
            model=report["model"],
            messages=[{"role": "user", "content": prompt}],
            max_tokens=24,
            temperature=0,
            extra_body={"return_token_ids": True},
        )
        assert served.choices[0].token_ids == expected, prompt  # type: ignore[attr-defined] # vLLM's own field


def test_a_second_up_changes_nothing(report: dict[str, Any]) -> None:
    done = rackform("up", "--json")
    assert done.status == 0, done.text
    assert "nothing to change" in done.err
    assert json.loads(done.out.splitlines()[-1])["closure"] == report["closure"]


def test_the_status_tells_every_node_and_container(report: dict[str, Any]) -> None:
    done = rackform("status", "--json")
    assert done.status == 0, done.text
    status = json.loads(done.out)
    assert status["closure"] == report["closure"]
    assert sorted(status["nodes"]) == ["head", "w1", "w2"]
    for node in status["nodes"].values():
        assert node["reachable"]
        assert all(container["as_declared"] for container in node["containers"])


def test_an_mtu_is_previewed_on_the_switch_and_every_host_and_nowhere_else(
    report: dict[str, Any],
) -> None:
    assert report
    configure("fabric.mtu_bytes", "4200")
    operations, text = preview()
    checks = {"nccl-gate-run", "verification-run"}
    assert set(operations) - checks == {
        "tor1-config", "head-host", "w1-host", "w2-host",
    }  # fmt: skip
    assert checks <= set(operations)
    assert text.count("+ mtu 4200") == 3
    assert text.count("+MTUBytes=4200") == 3


def test_after_the_up_packets_of_the_new_mtu_pass_and_larger_ones_do_not(
    report: dict[str, Any], nodes: dict[str, Connection]
) -> None:
    assert report
    up()
    fits, too_large = 4200 - 28, 4200 - 27
    assert on("w1", f"ping -c 2 -W 2 -M do -s {fits} 10.78.0.13").status == 0
    assert on("w1", f"ping -c 1 -W 2 -M do -s {too_large} 10.78.0.13").status != 0
    assert len(nodes) == 3


def test_a_host_changed_by_hand_is_named_and_repaired_alone(report: dict[str, Any]) -> None:
    assert report
    assert on("w1", "ip link set fab0 mtu 1500").status == 0
    operations, text = preview()
    assert set(operations) == {"w1-host", "nccl-gate-run", "verification-run"}
    assert "fab0 now" in text
    done = rackform("up")
    assert done.status == 0, done.text
    assert on("w1", "cat /sys/class/net/fab0/mtu").out.strip() == "4200"
    assert preview()[0] == {}


def test_a_switch_port_changed_by_hand_is_named_and_repaired_alone(report: dict[str, Any]) -> None:
    assert report
    by_hand = "enable\nconfigure\ninterface Ethernet3\nmtu 1500\nend\nexit\n"
    done = rackform("ssh", "tor1", stdin=by_hand)
    assert done.status == 0, done.text
    operations, text = preview()
    assert set(operations) == {"tor1-config", "nccl-gate-run", "verification-run"}
    assert "interface Ethernet3" in text
    assert "interface Ethernet2" not in text
    assert rackform("up").status == 0
    assert preview()[0] == {}


def test_a_port_that_another_program_took_is_told_and_the_next_up_succeeds(
    report: dict[str, Any],
) -> None:
    assert report
    squatter = "systemd-run --quiet --unit=squatter python3 -m http.server 443 --bind 10.77.0.11"
    assert on("head", f"docker stop edge && {squatter}").status == 0
    done = rackform("up")
    assert done.status == 1
    assert "port 443 of 10.77.0.11 is taken on head by python3" in done.err
    assert "Traceback" not in done.text
    assert on("head", "systemctl stop squatter").status == 0
    assert "Paris" in up()["answer"]


def test_an_unreachable_host_is_told_in_the_preview_and_brought_back_by_the_up(
    report: dict[str, Any],
) -> None:
    assert report
    on("w2", "systemctl poweroff")
    operations, text = preview()
    assert "w2-machine" in operations
    assert "not reachable: assuming no change since the last up" in text
    answered = up()
    assert "Paris" in answered["answer"]
    assert rackform("verify").status == 0


def test_bad_input_is_told_at_once_and_touches_nothing(report: dict[str, Any]) -> None:
    configure("fabric.mtu_bytes", "20000")
    done = rackform("up")
    assert done.status == 2
    assert "fabric.mtu_bytes" in done.err
    assert "Traceback" not in done.text
    planned = pulumi("preview", "--stack", STACK, "--non-interactive")
    assert planned.status != 0
    assert "fabric.mtu_bytes" in planned.text
    assert "Traceback" not in planned.text
    configure("fabric.mtu_bytes", "9000")
    assert up()["endpoint"] == report["endpoint"]
