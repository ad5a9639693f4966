"""Wheels: exactly the locked file, or a refusal that names it."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from images.builder import wheels
from images.builder.declaration import Python
from images.builder.lock_model import Wheel
from images.builder.python_env import SHEBANG
from remote.errors import RackformError

CODE = b"GREETING = 'hello'\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let uv know one folder of wheels and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {
        "UV_OFFLINE": "1", "UV_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_NO_CONFIG": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return folder


def wheel(
    index: Path,
    name: str = "small",
    version: str = "1.0",
    record: bytes = CODE,
    common: bytes | None = None,
) -> Wheel:
    """Make a wheel of one module; `record` is what it claims to hold, `common` is in common.py."""
    file = index / f"{name}-{version}-py3-none-any.whl"
    digest = _digest(record)
    info = f"{name}-{version}.dist-info"
    listing = f"{name}.py,sha256={digest},{len(record)}\n"
    if common is not None:
        listing += f"common.py,sha256={_digest(common)},{len(common)}\n"
    listing += "".join(f"{info}/{part},,\n" for part in ("METADATA", "WHEEL", "RECORD"))
    parts: dict[str, str | bytes] = {
        f"{name}.py": CODE,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": listing,
        **({} if common is None else {"common.py": common}),
    }
    with zipfile.ZipFile(file, "w") as packed:
        for path, content in parts.items():
            packed.writestr(path, content)
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return Wheel(name=name, version=version, file=file.name, sha256=sha256, size=len(data))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def test_a_wheel_with_one_byte_altered_is_refused_by_name(index: Path, tmp_path: Path) -> None:
    locked = wheel(index)
    file = index / locked.file
    data = bytearray(file.read_bytes())
    data[data.index(b"hello")] ^= 1
    file.write_bytes(data)
    with pytest.raises(RackformError, match=r"small==1\.0"):
        wheels.install([locked], "3.11", tmp_path / "target")


def test_another_wheel_under_the_same_name_is_refused_by_name(index: Path, tmp_path: Path) -> None:
    locked = wheel(index)
    wheel(index, record=b"another")
    with pytest.raises(RackformError, match=rf"(?s)small==1\.0.*{locked.sha256}"):
        wheels.install([locked], "3.11", tmp_path / "target")


def test_a_file_altered_in_the_cache_is_refused_by_name(index: Path, tmp_path: Path) -> None:
    locked = wheel(index)
    wheels.install([locked], "3.11", tmp_path / "before")
    (cached,) = (tmp_path / "cache").rglob("small.py")
    cached.write_bytes(b"GREETING = 'another'\n")
    with pytest.raises(RackformError, match=r"small: small\.py: not .*cache clean small"):
        wheels.install([locked], "3.11", tmp_path / "target")


def test_a_wheel_whose_own_record_is_wrong_is_taken_as_it_is(index: Path, tmp_path: Path) -> None:
    """As PyNvVideoCodec's, whose libraries were changed after its record was written."""
    wheels.install([wheel(index, record=b"another")], "3.11", tmp_path / "target")
    assert (tmp_path / "target" / "small.py").read_bytes() == CODE


@pytest.mark.parametrize("first", ["alpha", "omega"])
def test_of_files_that_several_wheels_have_the_last_wheels_by_name_stays(
    index: Path, tmp_path: Path, first: str
) -> None:
    """As build_backend.py of FlashInfer and of an extension of TVM: uv leaves either of them."""
    made = {name: wheel(index, name, common=name.encode()) for name in ("alpha", "omega")}
    target = tmp_path / "target"
    wheels.install([made[first], *(w for n, w in made.items() if n != first)], "3.11", target)
    assert (target / "common.py").read_bytes() == b"omega"
    (target / "common.py").write_bytes(b"edited")
    again = tmp_path / "again"
    wheels.install(list(made.values()), "3.11", again)
    assert (again / "common.py").read_bytes() == b"omega", "the cache was written through"


def test_the_locked_wheel_is_unpacked(index: Path, tmp_path: Path) -> None:
    wheels.install([wheel(index)], "3.11", tmp_path / "target")
    assert (tmp_path / "target" / "small.py").read_bytes() == CODE


def test_a_locked_version_stays_while_a_newer_one_is_there(index: Path, tmp_path: Path) -> None:
    wheel(index)
    wheel(index, version="2.0")
    (tmp_path / "requirements.in").write_text("small\n")
    python = Python(version="3.11")
    assert [w.version for w in wheels.resolve(python, tmp_path, {"small": "1.0"})] == ["1.0"]
    assert [w.version for w in wheels.resolve(python, tmp_path, {})] == ["2.0"]


def test_a_requirement_that_nothing_meets_is_told_with_its_file(
    index: Path, tmp_path: Path
) -> None:
    assert not list(index.iterdir())
    folder = tmp_path / "small-image"
    folder.mkdir()
    (folder / "requirements.in").write_text("no-such-thing==9\n")
    with pytest.raises(
        RackformError, match=r"(?s)small-image/requirements.in can't.*no-such-thing"
    ):
        wheels.resolve(Python(version="3.11"), folder, {})


_BODY = b"# -*- coding: UTF-8 -*-\nfrom numba import main\n"
_FOR_SH = b"'''exec' \"$(printf %b '\\'0057 '\\'0141)\" \"$0\" \"$@\"\n' '''\n"


@pytest.mark.parametrize(
    "first_lines",
    [
        b"#!/opt/rackform/.venv/bin/python\n",
        b"#!/bin/sh\n" + _FOR_SH,  # as uv writes it where the interpreter's path has a space
        b"#!/bin/sh\n# coding: UTF-8\n" + _FOR_SH,  # and the script tells its encoding
    ],
)
def test_a_script_is_the_same_wherever_the_checkout_is(first_lines: bytes) -> None:
    expected = b"#!/opt/venv/bin/python\n" + _BODY
    assert SHEBANG.sub(b"#!/opt/venv/bin/python\n", first_lines + _BODY, count=1) == expected
