"""What embeds, in vLLM's image with its real model: near are texts that mean the same. No twin."""

import base64
import json
import math
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from frontends.embeddings import MODEL, embeddings
from images import builder
from models import prepare
from remote.container_spec import Mount
from stack.paths import store_dir
from stack.services import EmbeddingService
from tests.lab.bench import Bench, wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

_ADDRESS, _PORT = "10.78.0.11", EmbeddingService.fabric_port
_API = f"http://{_ADDRESS}:{_PORT}/v1"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    declared = EmbeddingService(node="head")
    snapshot = prepare.snapshot(declared.source, declared.revision, None, store_dir())
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(snapshot.folder, models / snapshot.name)
    models.chmod(0o755)
    image = builder.build("vllm", "cpu", store_dir(), print).digest
    work = tmp_path_factory.mktemp("bench")
    parts = embeddings(_ADDRESS, _PORT, snapshot.name)
    mounts = [Mount(source=str(models), target="/models")]
    with Bench(builder.unpack(image, store_dir()), work, [_ADDRESS]) as bench:
        bench.start("embeddings", parts.model_copy(update={"mounts": mounts}))
        wait_until(lambda: MODEL in bench.get(f"{_API}/models"), 120, f"an answer; {bench.log()}")
        yield bench


def asked(bench: Bench, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [
            "ip", "netns", "exec", bench.namespace, "curl", "-s", "--max-time", "60",
            "-w", "\n%{http_code}", "-d", json.dumps(body), f"{_API}/embeddings",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    content, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(content)


def vectors(bench: Bench, *texts: str) -> list[list[float]]:
    status, answer = asked(bench, {"model": MODEL, "input": list(texts)})
    assert status == 200, answer
    return [each["embedding"] for each in answer["data"]]


def product(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_texts_that_mean_the_same_are_near_and_others_are_not(bench: Bench) -> None:
    how, same, other = vectors(
        bench,
        "How do I change a tyre?",
        "Replacing a flat wheel on a car",
        "The parliament voted on the budget",
    )
    assert len(how) == 384
    assert math.isclose(product(how, how), 1, abs_tol=1e-4)
    assert product(how, same) > 0.4
    assert product(how, other) < 0.2


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(bench: Bench) -> None:
    (alone,) = vectors(bench, "short")
    beside, _ = vectors(bench, "short", "long " * 600)
    assert product(alone, beside) == pytest.approx(1, abs=1e-4)


def test_a_client_that_asks_for_packed_numbers_gets_the_same(bench: Bench) -> None:
    (plain,) = vectors(bench, "the same")
    _, answer = asked(bench, {"model": MODEL, "input": "the same", "encoding_format": "base64"})
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert struct.unpack(f"<{len(plain)}f", packed) == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("given", [None, [], [1, 2], {"a": 1}])
def test_what_is_no_text_is_refused_in_words(bench: Bench, given: object) -> None:
    status, answer = asked(bench, {"model": MODEL, "input": given})
    assert status == 400
    assert "input must be a text" in answer["error"]["message"]
