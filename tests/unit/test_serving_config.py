import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serving.llm_config import Autoscaling, LlmModel, llm_config, serve_config

GOLDEN = Path(__file__).parent / "golden" / "serve_config_lab.json"

LAB = LlmModel(
    model_id="smollm2-135m",
    path="/models/smollm2-135m-instruct-q4-1-h12-b179c9523d0e",
    gpu_kind="cpu",
    tensor_parallel=2,
    pipeline_parallel=2,
    max_model_len=2048,
)


def test_the_lab_model_renders_as_recorded() -> None:
    assert serve_config([LAB], host="10.78.0.11") == json.loads(GOLDEN.read_text())


def test_a_gpu_that_ray_knows_is_asked_for_and_another_is_left_out() -> None:
    def accelerator(kind: str) -> object:
        return llm_config(LAB.model_copy(update={"gpu_kind": kind})).get("accelerator_type")

    assert accelerator("H200") == accelerator("h200") == "H200"
    assert [accelerator(kind) for kind in ("rtx-4090", "gb10", "cpu")] == [None, None, None]


def test_real_gpus_get_none_of_the_twins_settings() -> None:
    engine = llm_config(LAB.model_copy(update={"gpu_kind": "h200"}))["engine_kwargs"]
    assert engine == {
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "max_model_len": 2048,
        "dtype": "auto",
    }


def test_declared_engine_arguments_win() -> None:
    model = LAB.model_copy(update={"engine_kwargs": {"max_num_seqs": 4}, "dtype": "bfloat16"})
    engine = llm_config(model)["engine_kwargs"]
    assert isinstance(engine, dict)
    assert (engine["max_num_seqs"], engine["dtype"]) == (4, "bfloat16")


def test_the_proxy_listens_on_the_fabric_and_on_the_head_alone() -> None:
    config = serve_config([LAB], host="10.78.0.11", port=8123)
    assert config["proxy_location"] == "HeadOnly"
    assert config["http_options"] == {
        "host": "10.78.0.11", "port": 8123, "request_timeout_s": 600,
    }  # fmt: skip


def test_an_answer_under_way_may_end_in_the_model_and_in_the_ingress_it_comes_through() -> None:
    patient = LAB.model_copy(update={"drain_s": 90})
    config: dict[str, Any] = serve_config([LAB, patient], host="10.78.0.11")
    (application,) = config["applications"]
    arguments = application["args"]
    assert arguments["ingress_deployment_config"] == {"graceful_shutdown_timeout_s": 90}
    ends = [
        each["deployment_config"]["graceful_shutdown_timeout_s"]
        for each in arguments["llm_configs"]
    ]
    assert ends == [20, 90]


def test_autoscaling_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"min_replicas = 3 is above max_replicas = 2"):
        Autoscaling(min_replicas=3, max_replicas=2)
