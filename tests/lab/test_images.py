"""The shipped images: the digests that every machine gets, and what runs inside."""

import json
import subprocess
from pathlib import Path

import pytest

from images import builder
from stack.paths import ROOT, store_dir

DIGESTS: dict[str, str] = json.loads(
    (ROOT / "tests/golden/images/digests.json").read_text(encoding="utf-8")
)
IMPORTS = """
import importlib.metadata, torch, vllm, ray.serve.llm
from vllm.platforms import current_platform
current_platform.import_kernels()
assert not torch.cuda.is_available()
assert current_platform.is_cpu() and current_platform.ray_device_key == "GPU"
assert hasattr(torch.ops._C, "cpu_attention_with_kv_cache")
assert importlib.metadata.version("vllm") == "0.29.0+cpu"
"""
INSIDE = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root"
mount --rbind /dev "$2/root/dev"; mount -t proc proc "$2/root/proc"
mount -t sysfs sys "$2/root/sys"
exec env -i PATH=/opt/venv/bin:/usr/bin:/bin LANG=C.UTF-8 RACKFORM_CPU_AS_GPU=1 \
  TORCHDYNAMO_DISABLE=1 /usr/sbin/chroot "$2/root" python -c "$3"
"""


@pytest.mark.root
@pytest.mark.parametrize("image", sorted(DIGESTS))
def test_an_image_has_the_golden_digest(image: str) -> None:
    name, variant = image.split("/")
    assert builder.build(name, variant, store_dir(), print).digest == DIGESTS[image]


@pytest.mark.root
def test_vllm_and_its_kernels_load_without_the_trimmed_cuda_libraries(tmp_path: Path) -> None:
    root = builder.unpack(builder.build("vllm", "cpu", store_dir(), print).digest, store_dir())
    for folder in ("up", "work", "root"):
        (tmp_path / folder).mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", INSIDE, "sh", str(root), str(tmp_path), IMPORTS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
