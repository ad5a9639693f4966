"""A killed engine's lock and half-written files are cleared away; a working one is waited for."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import recovery
from cli.pulumi import Pulumi
from remote.errors import RackformError


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file backend keeps the lock of stack `lab`; `pulumi cancel` removes it."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    path = tmp_path / ".pulumi" / "locks" / "organization" / "rackform" / "lab" / "1.json"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(Pulumi, "unlock", lambda _: path.unlink())
    return path


def held_by(lock: Path, pid: int, host: str = socket.gethostname()) -> None:
    lock.write_text(json.dumps({"pid": pid, "hostname": host, "username": "root"}))


def state(*pending: str) -> str:
    return json.dumps({"checkpoint": {"latest": {"pending_operations": list(pending)}}})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process whose name is the engine's."""
    named = shutil.copy(shutil.which("sleep") or "/bin/sleep", tmp_path / "pulumi")
    process = subprocess.Popen([named, "30"])
    name = Path(f"/proc/{process.pid}/comm")
    while name.read_text().strip() != "pulumi":  # it is renamed just after Popen has returned
        time.sleep(0.001)
    yield process
    process.kill()
    process.wait()


def test_the_lock_of_a_dead_engine_is_released(lock: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    held_by(lock, ended.pid)
    recovery.recover("lab")
    assert not lock.exists()


def test_what_a_killed_engine_left_half_written_is_removed_and_the_rest_kept(lock: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    held_by(lock, ended.pid)
    stacks = lock.parents[4] / "stacks" / "rackform"
    stacks.mkdir(parents=True)
    kept = {"lab.json": state(), "lab.json.bak": "{}", "lab.json.bak.attrs": '{"user.x": ""}'}
    for name, text in {**kept, "lab.json.attrs": "", "lab.json.18eb18135deff7e2.tmp": "{"}.items():
        (stacks / name).write_text(text)
    recovery.recover("lab")
    assert {path.name for path in stacks.iterdir()} == set(kept)


def test_a_process_that_has_got_the_dead_engine_s_number_does_not_keep_the_lock(lock: Path) -> None:
    other = subprocess.Popen(["sleep", "30"])
    try:
        held_by(lock, other.pid)
        recovery.recover("lab")
        assert not lock.exists()
    finally:
        other.kill()
        other.wait()


def test_a_working_engine_is_waited_for(lock: Path, engine: subprocess.Popen[bytes]) -> None:
    held_by(lock, engine.pid)
    ended = threading.Timer(0.2, engine.send_signal, [signal.SIGKILL])
    ended.start()
    reaped = threading.Thread(target=engine.wait)
    reaped.start()
    recovery.recover("lab")
    reaped.join(timeout=5)
    assert engine.returncode == -signal.SIGKILL
    assert not lock.exists()


def test_an_engine_that_never_ends_is_named_with_the_command_that_ends_it(
    lock: Path, engine: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_LONGEST_WAIT_S", 0.0)
    held_by(lock, engine.pid)
    with pytest.raises(RackformError, match=f"kill -INT {engine.pid}"):
        recovery.recover("lab")
    assert lock.exists()


@pytest.mark.parametrize("pending", [(), ("creating",)])
def test_what_was_being_made_is_dropped_from_the_list(
    lock: Path, monkeypatch: pytest.MonkeyPatch, pending: tuple[str, ...]
) -> None:
    cleared = []
    monkeypatch.setattr(Pulumi, "clear_pending", lambda engine: cleared.append(engine.stack))
    stacks = lock.parents[4] / "stacks" / "rackform"
    stacks.mkdir(parents=True)
    (stacks / "lab.json").write_text(state(*pending))
    recovery.recover("lab")
    assert cleared == ["lab"] * len(pending)


def test_a_lock_of_another_machine_is_left_to_the_engine(lock: Path) -> None:
    held_by(lock, 1, host="elsewhere")
    recovery.recover("lab")
    assert lock.exists()
