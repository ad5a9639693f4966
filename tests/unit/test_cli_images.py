"""The commands around images: what they refuse, and what they go on with."""

import io
import tarfile
from pathlib import Path

import pytest

from cli import bundle, images
from images import builder
from images.builder.lock_model import LockChange
from remote.errors import RackformError
from stack.errors import InputError


def test_an_unknown_image_or_package_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InputError, match=r"nosuch is no image: use one of anythingllm, "):
        images.write_locks(["nosuch"], [])
    with pytest.raises(InputError, match=r"--upgrade nosuch, but no lock of edge holds such"):
        images.write_locks(["edge"], ["nosuch"])


def test_an_image_that_cannot_be_locked_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def lock(name: str, *_: object) -> LockChange:
        asked.append(name)
        if name == "anythingllm":
            raise RackformError("no registry")
        return LockChange(added={"debian/new": "1"}, removed={}, changed={"debian/a": ("1", "2")})

    monkeypatch.setattr(builder, "lock", lock)
    with pytest.raises(RackformError, match="anythingllm/default could not be locked"):
        images.write_locks(["anythingllm", "edge"], [])
    assert asked == ["anythingllm", "edge"]
    told = capsys.readouterr().err
    assert "no registry" in told
    assert "debian/a 1 → 2" in told
    with pytest.raises(RackformError, match="no registry"):
        images.write_locks(["anythingllm"], [])


def test_a_bundle_of_the_same_files_is_the_same_whatever_their_times_and_modes(
    tmp_path: Path,
) -> None:
    tars = []
    for number, mode in enumerate((0o600, 0o664)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("b", "a"):
            (folder / name).write_text(name)
            (folder / name).chmod(mode)
        out = io.BytesIO()
        files = {f"store/{name}": folder / name for name in (("b", "a"), ("a", "b"))[number]}
        digest = builder.bundle(out, b"{}", files)
        tars.append((digest, out.getvalue()))
    assert tars[0] == tars[1]
    with tarfile.open(fileobj=io.BytesIO(tars[0][1])) as tar:
        assert tar.getnames() == ["bundle.json", "SHA256SUMS", "store", "store/a", "store/b"]


def test_the_stacks_files_are_bundled_without_the_salt_of_this_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_text

    def salted(path: Path, encoding: str | None = None) -> str:
        return ("encryptionsalt: v1:abc\n" if path.name.startswith("Pulumi.") else "") + real(
            path, encoding
        )

    monkeypatch.setattr(Path, "read_text", salted)
    found = bundle._checkout(tmp_path)
    monkeypatch.undo()
    assert "encryptionsalt" not in found["checkout/stack/Pulumi.lab.yaml"].read_text()
    assert found["checkout/rackform"].name == "rackform"


def test_a_bundle_of_another_closure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKFORM_STATE", str(tmp_path))
    monkeypatch.setenv("RACKFORM_STORE", str(tmp_path / "store"))
    with pytest.raises(InputError, match="is no bundle"):
        bundle.check(Path("x.tar"), "lab")
    (tmp_path / "bundle").mkdir()
    contents = bundle.Contents(stack="lab", closure="sha256:other", python="3.11")
    (tmp_path / "bundle" / "bundle.json").write_text(contents.model_dump_json())
    with pytest.raises(InputError, match=r"holds stack lab with the closure sha256:other"):
        bundle.check(Path("x.tar"), "lab")
