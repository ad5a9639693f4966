"""The rules that look at more than one setting of the models."""

from collections.abc import Callable, Iterator

from stack.draft import Draft
from stack.hints import SettingError, told
from stack.model import Model, Split
from stack.schema import Rdma, Variant

_COMMIT_DIGITS = 40
_SHA256_DIGITS = 64


def _revisions(draft: Draft) -> Iterator[SettingError]:
    for name, each in draft.site.weights.items():
        path = f"models.{name}" if name in draft.site.models else name
        hub = each.source.startswith("hf:")
        wrong = len(each.revision) != (_COMMIT_DIGITS if hub else _SHA256_DIGITS)
        if wrong and draft.has(f"{path}.source") and draft.has(f"{path}.revision"):
            wanted = (
                "a source hf: is pinned by a commit of 40 hex digits"
                if hub
                else "sources pypi: and file: are pinned by the file's sha256, 64 hex digits"
            )
            rest = f"but {wanted}: write that of {each.source}"
            yield told(f"{path}.revision", each.revision, rest)


def _splits(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    gpus = {name: site.nodes[name].gpu_count for name in site.workers}
    for name, model in site.models.items():
        split = model.parallelism
        if not isinstance(split, Split):
            continue
        path = f"models.{name}.parallelism"
        # Over RDMA a group may span nodes: whether it gains by that is the plan's to tell.
        inside = site.fabric.link.rdma is Rdma.NONE and draft.has("fabric.link")
        if draft.has("nodes") and inside and split.tensor > max(gpus.values(), default=0):
            most = max(gpus.values(), default=0)
            rest = (
                f"but the ranks of a tensor group share a node, and none has more than {most} GPUs:"
                f" use at most {most}, and pipeline stages across nodes"
            )
            yield told(f"{path}.tensor", split.tensor, rest)
        if model.pad_heads_to and model.pad_heads_to % split.tensor:
            more = -(-model.pad_heads_to // split.tensor) * split.tensor
            rest = (
                f"but {path}.tensor = {split.tensor} must divide it, so that every rank has as many"
                f" heads: pad to {more}"
            )
            yield told(f"models.{name}.pad_heads_to", model.pad_heads_to, rest)


def _gpus_asked(draft: Draft) -> Iterator[SettingError]:
    site = draft.site
    if not (draft.has("nodes") and draft.has("models")):
        return
    there = sum(site.nodes[name].gpu_count for name in site.workers)
    asked = {name: gpus_asked(model) for name, model in site.models.items()}
    total = sum(asked.values())
    if total > there:
        largest = max(asked, key=lambda name: asked[name])
        sums = " + ".join(
            f"{name} {_product(model)}" for name, model in site.models.items() if asked[name]
        )
        yield SettingError(
            f"models.{largest}.parallelism",
            f"models ask for {total} GPUs (tensor x pipeline x replicas.max: {sums}), but the"
            f" workers have {there}: lower models.{largest}.parallelism or its replicas.max, or add"
            " GPUs",
        )


def gpus_asked(model: Model) -> int:
    """Return the GPUs of a model at its most replicas; an `auto` split takes one at least."""
    split = model.parallelism
    ranks = split.tensor * split.pipeline if isinstance(split, Split) else 1
    return ranks * model.replicas.max


def _product(model: Model) -> str:
    split = model.parallelism
    if isinstance(split, Split):
        return f"{split.tensor} x {split.pipeline} x {model.replicas.max}"
    return f"at least {model.replicas.max}"


def _replicas(draft: Draft) -> Iterator[SettingError]:
    for name, model in draft.site.models.items():
        path, replicas = f"models.{name}.replicas", model.replicas
        if replicas.min > replicas.max and draft.has(path):
            rest = f"but {path}.max = {replicas.max} is the most: lower min, or raise max"
            yield told(f"{path}.min", replicas.min, rest)
        most = model.traffic.max_ongoing_requests
        if replicas.target_ongoing_requests > most and draft.has(f"models.{name}"):
            rest = (
                f"but a replica never has more than models.{name}.traffic.max_ongoing_requests ="
                f" {most}, so no other would start: lower it to {most} or less"
            )
            yield told(f"{path}.target_ongoing_requests", replicas.target_ongoing_requests, rest)


def _served_names(draft: Draft) -> Iterator[SettingError]:
    first: dict[str, str] = {}
    for name in draft.site.models:
        served = draft.site.served_name(name)
        if holder := first.get(served):
            rest = f"but model {holder} is served as {served} too: give one another served_name"
            yield told(f"models.{name}.served_name", served, rest)
        first.setdefault(served, name)


def _caches(draft: Draft) -> Iterator[SettingError]:
    for name, model in draft.site.models.items():
        if model.kv_cache_gib and draft.site.vllm_variant is Variant.CUDA and draft.has("twin"):
            rest = (
                "but it is for the cpu image, and this site runs cuda: leave it out, and set"
                f" models.{name}.gpu_memory_utilization"
            )
            yield told(f"models.{name}.kv_cache_gib", model.kv_cache_gib, rest)


MODEL_RULES: tuple[Callable[[Draft], Iterator[SettingError]], ...] = (
    _revisions,
    _splits,
    _gpus_asked,
    _replicas,
    _served_names,
    _caches,
)
