"""A model's folder onto every node: over SSH to the first, from there over the fabric to the rest.

A stamp beside the folder notes size and time of each file that was checked by its sha256, so that
looking again costs no reading. Everything arrives under another name and is renamed when checked.
"""

import contextlib
import json
import shlex
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, cast

from pydantic import TypeAdapter

from models.prepare import Snapshot
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError
from remote.host_folders import MODELS

Progress = Callable[[str], None]

SEED_PORT = 18765
TRANSFER_TIMEOUT_S = 4 * 3600
CHECK_TIMEOUT_S = 1800
CHUNK_BYTES = 1 << 20
SIDE_BY_SIDE = 8
TELL_EVERY_S = 5

PROGRAM = (Path(__file__).parent / "files" / "node_files.py").read_text()


def _silent(_: str) -> None:
    pass


def spread(
    snapshot: Snapshot,
    nodes: Sequence[Connection],
    fabric_addresses: Mapping[str, str],
    progress: Progress = _silent,
) -> None:
    """Bring the snapshot to every node; only missing and altered files travel.

    Raises RackformError where a file does not arrive as it was sent.
    """
    due = pending(snapshot.name, snapshot.files, nodes)
    lacking = [node for node in nodes if due[node.name]]
    if not lacking:
        return
    seed = next((node for node in nodes if not due[node.name]), lacking[0])
    if due[seed.name]:
        _send(snapshot, seed, due[seed.name], progress)
        lacking.remove(seed)
    if lacking:
        with _served(seed, fabric_addresses[seed.name]) as url:
            names = ", ".join(node.name for node in lacking)
            progress(f"{snapshot.name} from {seed.name} over the fabric to {names}")
            _each(lacking, lambda node: _fetch(snapshot, node, due[node.name], url, progress))


def pending(
    snapshot_name: str,
    files: Mapping[str, str],
    nodes: Sequence[Connection],
    *,
    full: bool = False,
) -> dict[str, list[str]]:
    """Return node → names of its missing or altered files.

    By default files are trusted whose size and time are those noted when their sha256 was checked;
    with `full` every byte is read again. Raises Unreachable for a node that can't be asked.
    """
    wanted = {"files": dict(files), "full": full}
    answers = _each(nodes, lambda node: _ask(node, "check", snapshot_name, wanted, CHECK_TIMEOUT_S))
    return dict(zip([node.name for node in nodes], answers, strict=True))


def remove(snapshot_name: str, nodes: Sequence[Connection]) -> None:
    """Remove the snapshot from the nodes; it need not be there."""
    folder = f"{MODELS}/{snapshot_name}"
    for node in nodes:
        ssh.run(node, ["rm", "-rf", "--", folder, f"{folder}.part", f"{folder}.stamp.json"])


def _each(nodes: Sequence[Connection], task: Callable[[Connection], list[str]]) -> list[list[str]]:
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        return list(pool.map(task, nodes))


def _command(command: str, name: str, wanted: Mapping[str, object]) -> list[str]:
    return ["python3", "-c", PROGRAM, MODELS, command, name, json.dumps(wanted)]


def _ask(
    node: Connection, command: str, name: str, wanted: Mapping[str, object], timeout_s: float
) -> list[str]:
    done = ssh.run(node, _command(command, name, wanted), timeout_s=timeout_s, check=False)
    if done.returncode != 0:
        raise _refused(node, name, done.stderr)
    return TypeAdapter(list[str]).validate_json(done.stdout)


def _refused(node: Connection, name: str, said: str) -> RackformError:
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    remedy = ": free space there" if "No space left" in last else ": run 'up' again"
    return RackformError(f"{node.name}: the files of {name} are not in place: {last}{remedy}")


def _fetch(
    snapshot: Snapshot, node: Connection, names: Sequence[str], url: str, progress: Progress
) -> list[str]:
    files = {name: snapshot.files[name] for name in names}
    wanted = {"files": files, "url": f"{url}/{snapshot.name}/"}
    got = _ask(node, "fetch", snapshot.name, wanted, TRANSFER_TIMEOUT_S)
    progress(f"{snapshot.name} is on {node.name}")
    return got


@contextlib.contextmanager
def _served(seed: Connection, address: str) -> Iterator[str]:
    """Serve the models' folder on the seed's fabric address, and there alone, for this transfer.

    The server is a transient unit: it ends with the transfer, and by itself should we be killed.
    """
    unit = f"rackform-seed-{uuid.uuid4().hex[:8]}"
    server = ["python3", "-m", "http.server", "--bind", address, "--directory", MODELS]
    limits = [f"--property=RuntimeMaxSec={TRANSFER_TIMEOUT_S}", "--property=DynamicUser=yes"]
    ssh.run(
        seed,
        ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *limits, *server, str(SEED_PORT)],
    )
    try:
        listens = f"exec 3<>/dev/tcp/{address}/{SEED_PORT}"
        wait = f"for i in $(seq 100); do ({listens}) 2>/dev/null && exit 0; sleep 0.1; done; exit 1"
        if ssh.run(seed, ["bash", "-c", wait], check=False).returncode != 0:
            raise RackformError(
                f"{seed.name} could not serve its models on {address}:{SEED_PORT}: see that its "
                "fabric link is up and nothing else has that port"
            )
        yield f"http://{address}:{SEED_PORT}"
    finally:
        ssh.run(seed, ["systemctl", "stop", unit], check=False)


def _send(snapshot: Snapshot, seed: Connection, names: Sequence[str], progress: Progress) -> None:
    """Stream the files as one tar archive through SSH; the node checks each as it arrives."""
    wanted = {"files": {name: snapshot.files[name] for name in names}}
    script = shlex.join(_command("receive", snapshot.name, wanted))
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*ssh.ssh_argv(seed), "--", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        # A node that refuses closes the pipe: its own words, below, tell why
        with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as pipe:
            _write_archive(snapshot, names, pipe, f"{snapshot.name} to {seed.name}", progress)
        status = process.wait(CHECK_TIMEOUT_S)
        said.seek(0)
        if status != 0:
            raise _refused(seed, snapshot.name, said.read().decode(errors="replace"))


def _write_archive(
    snapshot: Snapshot, names: Sequence[str], pipe: IO[bytes], what: str, progress: Progress
) -> None:
    total = sum((snapshot.folder / name).stat().st_size for name in names)
    sent = 0
    with tarfile.open(fileobj=pipe, mode="w|", bufsize=CHUNK_BYTES) as archive:
        for name in names:
            progress(f"{what}: {sent >> 20} of {total >> 20} MiB")
            entry = tarfile.TarInfo(name)
            entry.size = (snapshot.folder / name).stat().st_size
            entry.mode = 0o644
            with (snapshot.folder / name).open("rb") as file:
                counted = _Counted(file, sent, total, what, progress)
                archive.addfile(entry, cast("IO[bytes]", counted))
            sent += entry.size


class _Counted:
    """A file whose reading is told, once every few seconds."""

    def __init__(
        self, file: IO[bytes], before: int, total: int, what: str, progress: Progress
    ) -> None:
        self._file, self._done, self._total = file, before, total
        self._what, self._progress = what, progress
        self._told = time.monotonic()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        if time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            self._progress(f"{self._what}: {self._done >> 20} of {self._total >> 20} MiB")
        return data
