"""The rules about models that look at more than one setting."""

from stack.load import load_site
from tests.unit.site_examples import COMMIT, errors_of, example, only_error, real

SPLIT = "models.chat.parallelism"


def test_more_gpus_than_there_are_is_refused() -> None:
    assert only_error(example({SPLIT: {"tensor": 2, "pipeline": 3}})) == (
        "models ask for 6 GPUs (tensor x pipeline x replicas.max: chat 2 x 3 x 1), but the workers"
        " have 4: lower models.chat.parallelism or its replicas.max, or add GPUs"
    )


def test_replicas_count_when_gpus_are_counted() -> None:
    split = {"tensor": 2, "pipeline": 2}
    error = only_error(example({SPLIT: split, "models.chat.replicas.max": 2}))
    assert error.startswith("models ask for 8 GPUs")


def test_all_models_count_when_gpus_are_counted() -> None:
    second = {"source": "hf:org/second", "revision": COMMIT}
    site = example({SPLIT: {"tensor": 2, "pipeline": 2}, "models.second": second})
    assert "models ask for 5 GPUs" in only_error(site)


def test_a_tensor_group_larger_than_any_node_is_refused() -> None:
    assert only_error(example({SPLIT: {"tensor": 4}})) == (
        "models.chat.parallelism.tensor = 4, but the ranks of a tensor group share a node, and none"
        " has more than 2 GPUs: use at most 2, and pipeline stages across nodes"
    )


def test_padded_heads_that_the_ranks_do_not_divide_are_refused() -> None:
    assert only_error(example({SPLIT: {"tensor": 2}, "models.chat.pad_heads_to": 9})) == (
        "models.chat.pad_heads_to = 9, but models.chat.parallelism.tensor = 2 must divide it, so"
        " that every rank has as many heads: pad to 10"
    )
    assert load_site(example({SPLIT: {"tensor": 2}, "models.chat.pad_heads_to": 12}))


def test_fewer_replicas_at_most_than_at_least_are_refused() -> None:
    error = only_error(example({"models.chat.replicas": {"min": 3, "max": 2}}))
    assert error.startswith("models.chat.replicas.min = 3, but models.chat.replicas.max = 2")


def test_a_target_that_no_replica_can_reach_is_refused() -> None:
    error = only_error(example({"models.chat.traffic.max_ongoing_requests": 8}))
    assert "so no other would start: lower it to 8 or less" in error


def test_two_models_of_one_name_in_the_api_are_refused() -> None:
    second = {"source": "hf:org/second", "revision": COMMIT, "served_name": "chat"}
    error = only_error(example({"models.second": second}))
    assert error.startswith("models.second.served_name = chat, but model chat is served as chat")


def test_a_model_is_served_by_its_key_unless_named() -> None:
    assert load_site(example()).served_name("chat") == "chat"
    named = load_site(example({"models.chat.served_name": "org/name-8b"}))
    assert named.served_name("chat") == "org/name-8b"


def test_a_cache_for_the_cpu_image_is_refused_where_cuda_runs() -> None:
    change = {"models.chat.kv_cache_gib": 2}
    assert load_site(example(change)).models["chat"].kv_cache_gib == 2.0
    assert "but it is for the cpu image" in only_error(real(change))


def test_a_site_without_models_is_refused() -> None:
    assert errors_of(example({"models": {}})) == [
        "models = {}, but at least one is needed: add one"
    ]
