"""What predictions must obey, whatever the constants are."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.architecture import Experts
from planner.catalog import gpu, links, network
from planner.deployment import Deployment, Lengths, Load
from planner.limits import power_limited
from planner.memory import EngineSettings, Layout
from planner.predict import Prediction, predict, simulate
from planner.serving import lengths
from stack.errors import InputError
from tests.unit.planner_examples import deployment

ONE = Load(concurrency=1, input_tokens=512, output_tokens=64, waves=2)
MANY = Load(concurrency=16, input_tokens=512, output_tokens=64, waves=2)


def split(tensor: int, stages: int, link: str, name: str = "llama-3.1-70b-fp8") -> Deployment:
    return deployment(name, "h200", tensor=tensor, stages=stages, tp_link=link, pp_link=link)


def with_link(base: Deployment, gbit_s: float, *, rdma: bool) -> Deployment:
    wire = network(gbit_s, rdma=rdma)
    return base.model_copy(update={"tp_link": wire, "pp_link": wire})


ROUNDING = 1 + 1e-12
"""Sums of the same steps in another order differ by this much."""


@given(
    tensor=st.sampled_from((1, 2, 4)),
    stages=st.integers(1, 4),
    gbit_s=st.sampled_from((1, 5, 10, 25, 100)),
    rdma=st.booleans(),
    load=st.builds(
        Load,
        concurrency=st.integers(1, 12),
        input_tokens=st.integers(1, 9000),
        output_tokens=st.integers(1, 300),
        waves=st.integers(1, 3),
        lengths=st.sampled_from(Lengths),
    ),
)
@settings(max_examples=40)
def test_a_faster_link_never_makes_anything_worse(
    tensor: int, stages: int, gbit_s: float, load: Load, *, rdma: bool
) -> None:
    long = EngineSettings(max_model_len=16384)
    base = split(tensor, stages, "ethernet-10").model_copy(update={"settings": long})
    slow = predict(with_link(base, gbit_s, rdma=rdma), load)
    fast = predict(with_link(base, gbit_s * 2, rdma=rdma), load)
    assert fast.output_tok_s >= slow.output_tok_s / ROUNDING
    assert fast.ttft_ms <= slow.ttft_ms * ROUNDING
    assert fast.tpot_ms <= slow.tpot_ms * ROUNDING
    for each in (slow, fast):
        assert min(each.ttft_ms, each.tpot_ms, each.output_tok_s, each.bubble_share) >= 0
        assert Prediction.model_validate_json(each.model_dump_json()) == each
        assert math.isclose(sum(limit.share for limit in each.limits), 1)
        assert each.interval.tpot_ms[0] <= each.tpot_ms <= each.interval.tpot_ms[1]


def test_a_card_with_more_bandwidth_decodes_faster() -> None:
    slow, fast = (predict(deployment("llama-3.1-8b", card), ONE) for card in ("h100-sxm", "h200"))
    assert fast.tpot_ms < slow.tpot_ms
    assert fast.limited_by == "memory"


def test_one_sequence_decodes_at_the_rate_of_reading_its_weights() -> None:
    base = deployment("llama-3.1-8b", "h200")
    reading_ms = base.arch.weight_bytes(base.precision) / (4800e9 * 0.87) * 1e3
    assert reading_ms < predict(base, ONE).tpot_ms < 1.5 * reading_ms


def test_tensor_parallelism_scales_on_nvlink_and_loses_on_slow_ethernet() -> None:
    alone = predict(deployment("llama-3.1-8b", "h200"), ONE).tpot_ms
    nvlink = predict(split(2, 1, "nvlink4", "llama-3.1-8b"), ONE).tpot_ms
    gigabit = predict(split(2, 1, "ethernet-1", "llama-3.1-8b"), ONE).tpot_ms
    assert nvlink < 0.8 * alone
    assert gigabit > alone


def test_a_pipeline_idles_with_one_client_and_pays_with_as_many_as_stages() -> None:
    base = split(1, 4, "nvlink4")
    single, full = predict(base, ONE), predict(base, MANY)
    assert single.bubble_share > 0.7
    assert full.bubble_share < 0.25
    assert single.pays_from_concurrency in range(3, 8)
    assert full.output_tok_s > 3 * single.output_tok_s


def test_a_replica_without_a_pipeline_has_no_bubbles() -> None:
    found = predict(split(2, 1, "nvlink4"), ONE)
    assert (found.bubble_share, found.pays_from_concurrency) == (0, 1)


def test_slow_hops_make_a_pipeline_slower() -> None:
    near, far = (
        predict(deployment("llama-3.1-70b-fp8", "h200", stages=2, pp_link=link), ONE).ttft_ms
        for link in ("nvlink4", "ethernet-1")
    )
    assert far > near + 50


def test_requests_queue_where_the_cache_is_full() -> None:
    base = deployment("llama-3.1-70b-fp8", "h200", settings=EngineSettings(max_num_seqs=512))
    load = Load(concurrency=256, input_tokens=4000, output_tokens=100, waves=1)
    found = predict(base, load)
    assert found.max_concurrency < 256
    assert found.ttft_ms > 10 * predict(base, load.model_copy(update={"concurrency": 8})).ttft_ms


def test_weights_that_leave_no_room_are_refused() -> None:
    with pytest.raises(InputError, match="leaves room for 0 tokens"):
        predict(deployment("llama-3.1-70b", "h100-sxm"), ONE)


def test_prompts_longer_than_a_step_are_prefilled_in_chunks() -> None:
    base = deployment("llama-3.1-8b", "h200", settings=EngineSettings(max_model_len=40_000))
    short, long = (
        predict(base, Load(concurrency=1, input_tokens=tokens, output_tokens=8, waves=1)).ttft_ms
        for tokens in (8000, 32000)
    )
    assert long > 4 * short


def test_scheduling_ahead_hides_the_host_and_costs_a_step_before_the_first_token() -> None:
    ahead = deployment("llama-3.1-8b", "h200", tensor=8)
    alike = EngineSettings(async_scheduling=False)
    synchronous = ahead.model_copy(update={"settings": alike})
    assert predict(ahead, MANY).tpot_ms < predict(synchronous, MANY).tpot_ms


def test_engines_without_cuda_graphs_pay_for_every_launch() -> None:
    eager = EngineSettings(cuda_graphs=False)
    graphs, launches = (
        predict(deployment("gpt-oss-20b", "h200", settings=each), ONE).tpot_ms
        for each in (EngineSettings(), eager)
    )
    assert launches > 1.3 * graphs


def test_data_parallel_attention_gives_each_group_its_share_of_the_clients() -> None:
    base = deployment("deepseek-v3", "h200", tensor=8)
    groups = base.model_copy(
        update={
            "layout": Layout(tensor=1, layers_by_stage=(61,), expert=8, attention_data=8),
        }
    )
    load = Load(concurrency=64, input_tokens=1024, output_tokens=64, waves=2)
    assert groups.layout.ranks == base.layout.ranks == 8
    assert predict(groups, load).max_concurrency > predict(base, load).max_concurrency


@pytest.mark.parametrize("tokens", [1, 8, 1000])
def test_a_batch_touches_the_experts_that_its_tokens_draw(tokens: int) -> None:
    experts = Experts(count=128, active=4, intermediate=1)
    touched = experts.touched(tokens)
    assert 4 <= touched <= min(128, 4 * tokens)
    assert experts.touched(tokens + 1) > touched or touched == pytest.approx(128)


def test_lengths_keep_their_mean_and_bounds() -> None:
    even = lengths(Load(concurrency=100, input_tokens=1000, output_tokens=500))
    assert {len(even)} == {1000}
    assert all(800 <= prompt <= 1000 and 400 <= answer <= 500 for prompt, answer in even)
    chats = lengths(
        Load(concurrency=100, input_tokens=1000, output_tokens=500, lengths=Lengths.EXPONENTIAL)
    )
    assert sum(prompt for prompt, _ in chats) / 1000 == pytest.approx(1000, rel=0.02)
    assert sum(answer for _, answer in chats) / 1000 == pytest.approx(500, rel=0.02)


def test_every_request_is_served() -> None:
    load = Load(concurrency=7, input_tokens=333, output_tokens=21, waves=3)
    outcome = simulate(deployment("llama-3.1-8b", "h200"), load)
    tokens = sum(answer for _, answer in lengths(load))
    assert outcome.served.tokens == tokens
    assert outcome.served.requests == 21


def test_only_what_was_measured_is_called_validated() -> None:
    assert predict(deployment("llama-3.1-8b", "h200"), ONE).validated
    consumer = predict(deployment("llama-3.1-8b", "rtx-4090"), ONE)
    assert not consumer.validated
    width = [high / low for low, high in (consumer.interval.tpot_ms,)]
    assert width[0] > 2
    assert not predict(split(1, 2, "nvlink4"), ONE).validated
    assert predict(deployment("gpt-oss-20b", "h100-sxm"), ONE).validated
    experts_in_16_bits = deployment("qwen3-30b-a3b", "h200")
    latent = deployment("deepseek-v3", "h200", tensor=8)
    sixteen = deployment("llama-3.1-70b-fp8", "h200", tensor=16)
    for unmeasured in (experts_in_16_bits, latent, sixteen):
        assert not predict(unmeasured, ONE).validated
    limited = (power_limited(gpu("h200"), 400),)
    slow = deployment("llama-3.1-8b", "h200").model_copy(update={"gpu_by_stage": limited})
    assert not predict(slow, ONE).validated


def test_every_card_can_be_predicted() -> None:
    for card in ("m4-max", "mi300x", "gb10", "rtx-5090", "b200"):
        found = predict(deployment("llama-3.1-8b", card), ONE)
        assert found.tpot_ms > 8.0e9 * 2 / (gpu(card).memory_bandwidth_gb_s * 1e9) * 1e3
    assert set(links())
