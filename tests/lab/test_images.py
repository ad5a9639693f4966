"""The shipped images: the digests that every machine gets, and what runs inside."""

import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from images import builder
from images.builder import declaration
from images.builder.store import Store
from images.builder.toolbox import Toolbox
from remote.errors import RackformError
from stack.paths import ROOT, store_dir
from tests.lab.appliance import rackform
from tests.lab.rooted import run_inside

pytestmark = pytest.mark.root

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
CPU = ("RACKFORM_CPU_AS_GPU=1", "TORCHDYNAMO_DISABLE=1")
OPEN_WEBUI = """
import pathlib, subprocess, sys, time, urllib.request
log = pathlib.Path("/data/log")
serve = ["open-webui", "serve", "--host", "127.0.0.1", "--port", "8080"]
server = subprocess.Popen(serve, cwd="/data", stdout=log.open("wb"), stderr=subprocess.STDOUT)
for _ in range(90):
    time.sleep(2)
    try:
        urllib.request.urlopen("http://127.0.0.1:8080/ready", timeout=2)
    except OSError:
        continue
    server.terminate()
    sys.exit()
sys.exit(log.read_text()[-2000:])
"""
EXPORTERS = (
    "prometheus", "promtool", "prometheus-alertmanager", "amtool", "prometheus-node-exporter",
    "prometheus-blackbox-exporter", "prometheus-smokeping-prober",
)  # fmt: skip


def _built(image: str) -> str:
    name, variant = image.split("/")
    return builder.build(name, variant, store_dir(), print).digest


@pytest.mark.parametrize("image", sorted(DIGESTS))
def test_an_image_has_the_golden_digest(image: str) -> None:
    assert _built(image) == DIGESTS[image]


def test_vllm_and_its_kernels_load_without_the_trimmed_cuda_libraries(tmp_path: Path) -> None:
    done = run_inside(_built("vllm/cpu"), tmp_path, ["python", "-c", IMPORTS], CPU)
    assert done.returncode == 0, done.stderr[-2000:]


def test_open_webui_answers_without_what_is_left_out_and_without_a_network(tmp_path: Path) -> None:
    settings = (
        "DATA_DIR=/data", "OFFLINE_MODE=true", "WEBUI_SECRET_KEY=test", "ENABLE_OLLAMA_API=false",
        "OPENAI_API_BASE_URLS=http://127.0.0.1:1/v1", "OPENAI_API_KEYS=none",
        "RAG_EMBEDDING_ENGINE=openai", "RAG_OPENAI_API_BASE_URL=http://127.0.0.1:1/v1",
    )  # fmt: skip
    done = run_inside(
        _built("open-webui/default"), tmp_path, ["python", "-c", OPEN_WEBUI], settings,
        user="995:995", timeout_s=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-1000:]


@pytest.mark.parametrize("program", EXPORTERS)
def test_every_program_of_the_monitoring_image_runs(program: str, tmp_path: Path) -> None:
    image = _built("monitoring/default")
    done = run_inside(image, tmp_path, [program, "--version"], user="996:996")
    assert done.returncode == 0, done.stderr


def test_a_rebuild_with_nothing_changed_takes_less_than_two_seconds() -> None:
    _built("vllm/cpu")
    began = time.monotonic()
    done = rackform("build", "vllm", "--variant", "cpu", "--json")
    assert done.status == 0, done.text
    assert time.monotonic() - began < 2
    report = json.loads(done.out)
    assert report["digest"] == DIGESTS["vllm/cpu"]
    assert [layer["name"] for layer in report["layers"]] == [
        "debian", "python-torch", "python", "files",
    ]  # fmt: skip
    assert all(layer["cached"] for layer in report["layers"])


def test_an_image_without_a_lock_is_refused_at_deploy() -> None:
    with pytest.raises(RackformError, match=r"anythingllm .* has no lock: run './rackform lock"):
        builder.expected("anythingllm", "default", store_dir())


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the registry's own image on the loopback, with a certificate that skopeo trusts."""
    certificate, key = _self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}, tls: {{certificate: {certificate}, key: {key}}}}}\n"
    )
    root = builder.unpack(_built("registry/default"), store_dir())
    command = Toolbox(root).command("docker-registry", "serve", str(config))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"127.0.0.1:{port}"
    os.kill(process.pid, signal.SIGTERM)
    process.wait()


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = folder / "registry.crt", folder / "registry.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip
    return files


def test_an_upstream_image_is_locked_by_digest_and_comes_to_a_node_byte_for_byte(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subprocess.run(["which", "skopeo"], capture_output=True, check=False).returncode:
        pytest.skip("skopeo is not installed")
    redis = _built("redis/default")
    name = f"redis-default-{redis.removeprefix('sha256:')[:12]}"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--format", "v2s2", f"oci:{store_dir()}:{name}",
         f"docker://{registry}/redis:7"],
        check=True,
    )  # fmt: skip
    folder = tmp_path / "images" / "theirs"
    folder.mkdir(parents=True)
    (folder / "image.toml").write_text(
        f'[upstream]\nrepository = "{registry}/redis"\ntag = "7"\n', encoding="utf-8"
    )
    monkeypatch.setattr(declaration, "IMAGES", folder.parent)
    store = tmp_path / "store"
    assert builder.lock("theirs", "default", store, print).added == {"upstream": "7"}
    text = (folder / "lock.json").read_text(encoding="utf-8")
    locked = json.loads(text)["variants"]["default"]["upstream"]["digest"]
    built = builder.build("theirs", "default", store, print)
    assert built.digest == locked
    assert builder.check(built.digest, store) == []
    raw = Store(store).blob(built.digest).read_bytes()
    assert {layer["digest"] for layer in json.loads(raw)["layers"]} == {
        layer.digest for layer in built.layers
    }
    assert all(layer["mediaType"].endswith(".tar.gzip") for layer in json.loads(raw)["layers"])
    ca = Path(os.environ["SSL_CERT_FILE"]).read_text(encoding="utf-8")
    reference = builder.push(built.digest, store, registry, ca, "user", "password")
    assert reference.endswith(f"@{locked}")
    pulled = ["skopeo", "inspect", "--raw", f"docker://{reference}"]
    assert subprocess.run(pulled, capture_output=True, check=True).stdout == raw
