"""Points that others published, for hardware and splits that no table has: predicted, compared.

Each has its source, what was measured and, where the prediction is off by more than its interval,
the reason. `pytest -s` prints the errors. A reason that is no longer needed fails its test.
"""

from dataclasses import dataclass

import pytest

from planner.deployment import Deployment, Lengths, Load
from planner.memory import EngineSettings
from planner.predict import Prediction, predict
from tests.unit.planner_examples import deployment

# A thousand of ShareGPT's chats at once; mean lengths as vLLM's benchmark draws them.
SHAREGPT = Load(
    concurrency=1000, input_tokens=217, output_tokens=202, lengths=Lengths.EXPONENTIAL, waves=1
)
L4_SHAREGPT = SHAREGPT.model_copy(update={"input_tokens": 233, "output_tokens": 175})
H100 = EngineSettings(max_num_seqs=1024, max_model_len=8192)
L4 = EngineSettings(
    max_num_seqs=512,
    max_model_len=32768,
    max_num_batched_tokens=32768,
    kv_bytes=1,
    cuda_graphs=False,
    async_scheduling=False,
)
SPARK = EngineSettings(max_num_seqs=64, max_model_len=8192, kv_bytes=1)
EAGER = SPARK.model_copy(update={"cuda_graphs": False, "max_model_len": 4096})
OLD_ENGINE = (
    "vLLM of 2024 (V0): between steps it prepared each stage's batch in Python, and with chunked"
    " prefill off every prompt held up all answers; neither is modelled"
)
OTHER_ENGINE = "SGLang, whose pipeline fills its stages in another way than vLLM's"


def chat(concurrency: int, prompt: int, answer: int) -> Load:
    return Load(
        concurrency=concurrency, input_tokens=prompt, output_tokens=answer, spread=0, waves=2
    )


def all_linear(base: Deployment) -> Deployment:
    """Return it with attention in MXFP4 too, as that image quantises it."""
    arch = base.arch.model_copy(update={"quantised": "linear"})
    return base.model_copy(update={"arch": arch})


@dataclass(frozen=True)
class Point:
    name: str
    source: str
    deployment: Deployment
    load: Load
    measured: float
    """Output tokens a second; where `decode`, of decoding alone, over all clients."""
    decode: bool = False
    off_because: str = ""


def gpt_oss(card: str, tensor: int, stages: int = 1) -> Deployment:
    return deployment("gpt-oss-120b", card, tensor=tensor, stages=stages, settings=H100)


def llama_on_l4(tensor: int, stages: int) -> Deployment:
    return deployment("llama-3.1-70b-fp8", "l4", tensor=tensor, stages=stages, settings=L4)


def sparks(name: str, tensor: int, settings: EngineSettings, expert: int = 1) -> Deployment:
    return deployment(
        name, "gb10", tensor=tensor, tp_link="roce-200", expert=expert, settings=settings
    )


GPUSTACK = "GPUStack performance lab, gpt-oss-120b on H100"
KUBIS = "kubis.ai, GPT-OSS-120B topology benchmark (decode throughput, tg128 after pp1024)"
CONSELARA = "conselara.dev, DGX Spark benchmarks"
SUBSTRATUS = "substratus.ai, Llama 3.1 70B on 8 x L4"

POINTS = [
    Point("120b-h100-tp2", GPUSTACK, gpt_oss("h100-sxm", 2), SHAREGPT, 7649),
    Point("120b-h100-pp2", GPUSTACK, gpt_oss("h100-sxm", 1, 2), SHAREGPT, 5338),
    Point("120b-h100-tp4", GPUSTACK, gpt_oss("h100-sxm", 4), SHAREGPT, 11327),
    Point(
        "glm-h100-pp4",
        "GPUStack performance lab, GLM-4.5-Air (SGLang)",
        deployment("glm-4.5-air", "h100-sxm", stages=4, settings=H100),
        SHAREGPT,
        1687,
        off_because=OTHER_ENGINE,
    ),
    Point("70b-l4-pp4tp2", SUBSTRATUS, llama_on_l4(2, 4), L4_SHAREGPT, 307.6),
    Point(
        "70b-l4-pp2tp4", SUBSTRATUS, llama_on_l4(4, 2), L4_SHAREGPT, 261.2, off_because=OLD_ENGINE
    ),
    *(
        Point(
            f"235b-2xgb10-c{clients}",
            CONSELARA,
            sparks("qwen3-235b-a22b-gptq", 2, SPARK, expert=2),
            chat(clients, 128, 256),  # the prompt is 97 % cached
            measured,
        )
        for clients, measured in ((1, 17.0), (2, 24.1), (4, 36.4))
    ),
    *(
        Point(
            f"120b-{nodes}xgb10-c{clients}",
            KUBIS,
            all_linear(sparks("gpt-oss-120b", nodes, EAGER)),
            chat(clients, 1024, 128),
            measured,
            decode=True,
        )
        for nodes, points in ((1, (57.5, 153.5, 315)), (2, (69.0, 231, 472)))
        for clients, measured in zip((1, 8, 64), points, strict=True)
    ),
    Point(
        "32b-4xgb10",
        "NVIDIA developer forum 354399, Qwen3-VL-32B FP8, 1024/128",
        sparks("qwen3-vl-32b-fp8", 4, SPARK),
        chat(1, 1024, 128),
        19.15,
    ),
    Point(
        "405b-4xstrix-halo",
        "geerlingguy/ai-benchmarks, 405B Q4 over llama.cpp RPC",
        deployment(
            "llama-3.1-405b-int4",
            "ryzen-ai-max",
            stages=4,
            pp_link="ethernet-5",
            settings=EngineSettings(max_num_seqs=1, max_model_len=4096),
        ),
        chat(1, 128, 128),
        0.71,
    ),
]


def rate(point: Point, found: Prediction) -> tuple[float, tuple[float, float]]:
    """Return the predicted rate and its bounds."""
    if not point.decode:
        return found.output_tok_s, found.interval.output_tok_s
    clients = point.load.concurrency * 1e3
    slow, fast = found.interval.tpot_ms[1], found.interval.tpot_ms[0]
    return clients / found.tpot_ms, (clients / slow, clients / fast)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_published_point_lies_in_the_predicted_interval_or_it_is_known_why_not(
    point: Point,
) -> None:
    found = predict(point.deployment, point.load)
    predicted, (low, high) = rate(point, found)
    error = predicted / point.measured - 1
    verdict = "inside" if low <= point.measured <= high else f"OUTSIDE: {point.off_because}"
    print(  # noqa: T201 - the errors are what this test is for
        f"\n{point.name}: predicted {predicted:.1f} [{low:.1f}, {high:.1f}],"
        f" measured {point.measured} tok/s, {error:+.0%}, {verdict} ({point.source})"
    )
    assert (low <= point.measured <= high) == (not point.off_because)


@pytest.mark.parametrize(
    ("clients", "published", "what"), [(1, 1 / 5.6, "answers"), (512, 1.5, "serves")]
)
def test_405b_on_eight_h200_answers_sooner_with_tensor_and_serves_more_with_pipeline_ranks(
    clients: int, published: float, what: str
) -> None:
    settings = EngineSettings(max_num_seqs=512, max_model_len=8192)
    tensor, pipeline = (
        predict(
            deployment(
                "llama-3.1-405b-fp8", "h200", tensor=ranks, stages=8 // ranks, settings=settings
            ),
            chat(clients, 2048, 128),
        ).output_tok_s
        for ranks in (8, 1)
    )
    ratio = pipeline / tensor
    print(f"\n405b-h200: a pipeline {what} {ratio:.2f} times as much, published {published:.2f}")  # noqa: T201
    assert ratio == pytest.approx(published, rel=0.35)
