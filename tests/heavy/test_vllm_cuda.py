"""vLLM for NVIDIA GPUs, built for real: 4 GB to download, 9 GB of layers. Not in the default run.

`./rackform test heavy` runs it.
"""

import json
from pathlib import Path

import pytest

from images import builder
from stack.paths import ROOT, store_dir
from tests.lab.rooted import run_inside

pytestmark = [pytest.mark.root, pytest.mark.timeout(7200)]

IMPORTS = """
import importlib.metadata, ctypes, torch, vllm, ray.serve.llm
assert torch.version.cuda and torch.backends.cudnn.is_available() is not None
assert importlib.metadata.version("vllm") == "0.29.0"
for name in ("libcudart.so.13", "libcublas.so.13", "libnccl.so.2", "libcudnn.so.9",
             "libibverbs.so.1", "libmlx5.so.1"):
    ctypes.CDLL(name)
"""


def test_the_cuda_image_has_the_golden_digest_its_layers_and_imports_vllm(tmp_path: Path) -> None:
    built = builder.build("vllm", "cuda", store_dir(), print)
    golden = json.loads((ROOT / "tests/golden/images/heavy.json").read_text(encoding="utf-8"))
    assert built.digest == golden["vllm/cuda"]
    assert [layer.name for layer in built.layers] == [
        "debian", "python-cuda", "python-torch", "python",
    ]  # fmt: skip
    done = run_inside(built.digest, tmp_path, ["python", "-c", IMPORTS], timeout_s=600)
    assert done.returncode == 0, done.stderr[-2000:]
