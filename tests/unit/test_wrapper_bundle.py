"""./rackform up --from-bundle: all comes from one file, which is checked before it is used."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from images.builder import declaration
from stack.paths import ROOT
from tests.unit.wrapper_checkout import Checkout


def bundle(folder: Path, *, damaged: bool = False) -> Path:
    """Write a bundle of a few small files."""
    parts = {
        "bundle.json": "{}",
        "store/blobs/sha256/abc": "a blob",
        "engine/pulumi-v3.250.0-abc/bin/pulumi": "#!/bin/sh\n",
        "engine/command-v1.2.1-abc/bin/pulumi-resource-command": "#!/bin/sh\n",
        "wheels/small.whl": "a wheel",
        "debs/Packages": "",
    }
    sums = "".join(f"{hashlib.sha256(t.encode()).hexdigest()}  {n}\n" for n, t in parts.items())
    if damaged:
        parts["wheels/small.whl"] = "another"
    for name, text in {**parts, "SHA256SUMS": sums}.items():
        path = folder / "content" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    out = folder / "a bundle.tar"
    with tarfile.open(out, "w") as tar:
        for path in sorted((folder / "content").iterdir()):
            tar.add(path, path.name)
    return out


def test_a_bundle_fills_the_store_and_the_engines_and_no_index_is_asked(
    checkout: Checkout, tmp_path: Path
) -> None:
    file = bundle(tmp_path)
    done = checkout.run("up", "--stack", "real", "--from-bundle", str(file))
    assert done.returncode == 0, done.stderr
    cache = checkout.home / ".cache" / "rackform"
    assert (cache / "store/blobs/sha256/abc").read_text() == "a blob"
    assert (cache / "engine/pulumi-v3.250.0-abc/bin/pulumi").exists()
    seen = checkout.seen_by_cli()
    assert (seen["PIP_NO_INDEX"], seen["UV_OFFLINE"]) == ("1", "1")
    assert seen["PIP_FIND_LINKS"] == seen["UV_FIND_LINKS"]
    assert (Path(seen["UV_FIND_LINKS"]) / "small.whl").read_text() == "a wheel"
    assert not any(call == "plugin install resource command 1.2.1 --reinstall --non-interactive"
                   for call in checkout.calls("pulumi"))  # fmt: skip
    again = checkout.run("up", "--stack", "real", f"--from-bundle={file}")
    assert "unpacking" not in again.stderr


def test_a_damaged_bundle_is_refused_by_the_name_of_what_is_damaged(
    checkout: Checkout, tmp_path: Path
) -> None:
    done = checkout.run("up", "--from-bundle", str(bundle(tmp_path, damaged=True)))
    assert done.returncode == 1
    assert "wheels/small.whl: FAILED" in done.stderr
    assert not (checkout.home / ".cache/rackform/store/blobs").exists()


@pytest.mark.parametrize("content", [None, "no tar"])
def test_what_is_no_bundle_is_refused_in_a_sentence(
    checkout: Checkout, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "other"
    if content is not None:
        file.write_text(content)
    done = checkout.run("up", "--from-bundle", str(file))
    assert done.returncode == 2
    assert str(file) in done.stderr


def test_a_bundle_brings_every_debian_package_that_the_wrapper_asks_for() -> None:
    listed = (ROOT / "engine" / "debian-packages.txt").read_text().splitlines()
    wanted = {line for line in listed if line and not line.startswith("#")}
    debian = declaration.load("controller", "default").spec.debian
    assert debian
    assert wanted <= set(debian.packages)
