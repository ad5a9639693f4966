"""Commands, files and tunnels by OpenSSH, with pinned host keys and one connection a machine."""

import contextlib
import hashlib
import os
import re
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote import absence, keys
from remote.connection import Connection
from remote.errors import LoginRefused, NotDone, OtherHostKey, RackformError, Unreachable
from remote.private_file import write_private

CONNECT_TIMEOUT_S = 10
PERSIST_S = 600
"""How long an idle connection is kept for the next command, of the next `up` too."""

SSH_FAILED = 255
STDERR_LINES = 8

_OTHER_KEY = re.compile(
    r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|host key error|No host key for"
)
_REFUSED = re.compile(
    r"Permission denied \(|Authentication (?:error|failed)|Too many authentication failures"
)

_opening: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class Completed:
    returncode: int
    stdout: str
    stderr: str


def known_hosts(connections: Iterable[Connection]) -> str:
    """Return the text of a known_hosts file that pins each machine's key, by name and address."""
    return "".join(
        f"{','.join(dict.fromkeys([_host(c.address, c.port), c.name]))} {c.host_key}\n"
        for c in connections
    )


def ssh_config(connections: Iterable[Connection], stack_dir: Path) -> str:
    """Return an OpenSSH configuration by which `ssh -F …/ssh_config NAME` reaches each machine."""
    blocks = []
    for c in connections:
        options = {
            "HostName": c.address,
            "Port": str(c.port),
            "User": c.user,
            **_options(c, stack_dir / "known_hosts"),
        }
        lines = "".join(f"  {key} {value}\n" for key, value in options.items())
        blocks.append(f"Host {c.name}\n{lines}")
    return "".join(blocks)


def write_ssh_files(stack_dir: Path, connections: Iterable[Connection]) -> Path:
    """Write known_hosts and ssh_config into the stack's folder; return the latter's path."""
    machines = list(connections)
    stack_dir.mkdir(parents=True, exist_ok=True)
    write_private(stack_dir / "known_hosts", known_hosts(machines))
    write_private(stack_dir / "ssh_config", ssh_config(machines, stack_dir))
    return stack_dir / "ssh_config"


def ssh_argv(connection: Connection, *options: str) -> list[str]:
    """Return the `ssh` command up to and with its destination; the remote command goes after it."""
    hosts = _runtime_dir() / f"{_digest(connection)}.known_hosts"
    text = known_hosts([connection])
    if not hosts.exists() or hosts.read_text() != text:
        write_private(hosts, text)
    chosen = {"BatchMode": "yes", "LogLevel": "ERROR", **_options(connection, hosts)}
    return [
        "ssh",
        "-F", os.devnull,
        *(f"-o{key}={value}" for key, value in chosen.items()),
        "-p", str(connection.port),
        *options,
        f"{connection.user}@{connection.address}",
    ]  # fmt: skip


def as_root(connection: Connection, command: Sequence[str]) -> list[str]:
    """Return the command as root runs it on the machine, by sudo where another user logs in."""
    return [*(() if connection.user == "root" else ("sudo", "-n")), *command]


def _share(connection: Connection, timeout_s: float) -> None:
    """Open the machine's kept connection if there is none: once, whoever asks at the same time."""
    digest = _digest(connection)
    with _opening[digest]:
        if (_runtime_dir() / digest).exists():
            return
        absence.check(digest)
        done = subprocess.run(
            [*ssh_argv(connection), "--", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode == SSH_FAILED:
            error = unreachable(connection, done.stderr.decode(errors="replace"))
            absence.missed(digest, error)
            raise error


def run(
    connection: Connection,
    command: Sequence[str] | str,
    *,
    input: str | bytes | None = None,  # noqa: A002 - as subprocess names it
    timeout_s: float = 60,
    check: bool = True,
) -> Completed:
    """Run a command (a list: its arguments; a string: a script for sh) on the machine.

    Raises Unreachable where SSH itself fails, RackformError when `timeout_s` are over and, with
    `check`, for a status other than 0, naming the command's last lines.
    """
    script = command if isinstance(command, str) else shlex.join(command)
    data = input.encode() if isinstance(input, str) else input
    try:
        _share(connection, timeout_s)
        done = subprocess.run(
            [*ssh_argv(connection), "--", script],
            input=data or b"",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotDone(
            f"{connection.name}: not done after {timeout_s:g} s: {_short(script)}; see what "
            "holds it up on that machine, then run it again"
        ) from None
    result = Completed(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if result.returncode == SSH_FAILED:
        raise unreachable(connection, result.stderr)
    if check and result.returncode != 0:
        last = "\n".join((result.stderr or result.stdout).strip().splitlines()[-STDERR_LINES:])
        raise RackformError(
            f"{connection.name}: {_short(script)} ended with status {result.returncode}: {last}"
        )
    return result


@contextlib.contextmanager
def forwarded(connection: Connection, forward: str) -> Iterator[None]:
    """Forward as `-L` says for the length of the block, through the machine's kept connection.

    A forward that this process, killed, leaves behind ends with the kept connection.
    """
    try:
        _control(connection, "forward", forward)
    except Unreachable:
        run(connection, ["true"], timeout_s=2 * CONNECT_TIMEOUT_S)  # opens one to be kept
        _control(connection, "forward", forward)
    try:
        yield
    finally:
        with contextlib.suppress(RackformError):
            _control(connection, "cancel", forward)


@contextlib.contextmanager
def tunnel(connection: Connection, remote_host: str, remote_port: int) -> Iterator[int]:
    """Yield a port on 127.0.0.1 that leads to `remote_host:remote_port` as the machine sees it."""
    port = _free_port()
    with forwarded(connection, f"127.0.0.1:{port}:{remote_host}:{remote_port}"):
        yield port


def wait_reachable(connection: Connection, timeout_s: float = 60) -> None:
    """Return when a command runs on the machine; raise Unreachable when it takes longer."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            run(connection, ["true"], timeout_s=CONNECT_TIMEOUT_S)
        except RackformError as error:
            forget(connection)
            if time.monotonic() > deadline:
                raise Unreachable(f"{error} (waited {timeout_s:g} s for it)") from error
            time.sleep(0.2)
        else:
            return


def forget(connection: Connection) -> None:
    """End the kept connection to a machine, as after its reboot; there may be none."""
    subprocess.run(ssh_argv(connection, "-O", "exit"), capture_output=True, timeout=10, check=False)


def unreachable(connection: Connection, said: str) -> Unreachable:
    """Return the error for a machine, of what ssh or paramiko said, with its own remedy."""
    c = connection
    start = f"{c.name} ({c.user}@{c.address}:{c.port}) can't be reached: "
    if _OTHER_KEY.search(said):
        return OtherHostKey(
            f"{start}it shows another host key than the pinned one; find out why before you trust "
            f"it (was it installed anew, or is {c.address} another machine now?), then set its "
            f"host_key in the site to what 'ssh-keyscan -p {c.port} -t ed25519 {c.address}' shows"
        )
    if _REFUSED.search(said):
        return LoginRefused(start + _refused(connection))
    lines = [line for line in said.splitlines() if line.strip()]
    reason = " ".join(lines[-2:]) or "ssh ended with status 255"
    return Unreachable(
        f"{start}{reason}; see that it runs, that sshd listens there, and that nothing filters it"
    )


def _refused(connection: Connection) -> str:
    """Tell why a login is refused: by the key's own fault, or since the machine doesn't know it."""
    c = connection
    try:
        public = keys.ready(c.private_key_file).public
    except RackformError as error:
        return str(error)
    line = f"its line '{public}'" if public else "its public half"
    return (
        f"it refuses user {c.user} with the key {c.private_key_file}; append {line} to "
        f"authorized_keys of {c.user} there, or set ssh.user and ssh.private_key_file to a login "
        "that it takes"
    )


def _options(connection: Connection, hosts: Path) -> dict[str, str]:
    return {
        "HostKeyAlias": connection.name,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _path(hosts),
        "GlobalKnownHostsFile": "none",
        "UpdateHostKeys": "no",
        "IdentityFile": _path(connection.private_key_file),
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "ConnectTimeout": str(CONNECT_TIMEOUT_S),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "ControlMaster": "auto",
        "ControlPath": _path(_runtime_dir() / _digest(connection)),
        "ControlPersist": str(PERSIST_S),
    }


def _path(path: Path) -> str:
    """Quote a path for an OpenSSH option: white space ends a word, a percent sign is a token."""
    return '"' + str(path).replace("%", "%%") + '"'


def _host(address: str, port: int) -> str:
    return address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004 - SSH's own port


def _digest(connection: Connection) -> str:
    """Name one connection shortly: the path of a unix socket has at most 108 characters."""
    return hashlib.sha256(connection.model_dump_json().encode()).hexdigest()[:20]


def _runtime_dir() -> Path:
    """Return a folder of this user alone with a short path, for sockets and known hosts."""
    base = Path("/run") if os.geteuid() == 0 else Path(tempfile.gettempdir())
    path = base / f"rackform-ssh-{os.geteuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    facts = path.lstat()
    if path.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise RackformError(f"{path} isn't a folder of this user alone: remove it, then run again")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _control(connection: Connection, command: str, forward: str) -> None:
    done = subprocess.run(
        ssh_argv(connection, "-O", command, "-L", forward),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * CONNECT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise Unreachable(
            f"{connection.name}: {forward} could not be forwarded through SSH: "
            f"{done.stderr.strip() or done.returncode}; see that sshd allows "
            "AllowTcpForwarding and AllowStreamLocalForwarding"
        )


def _short(script: str) -> str:
    line = " ".join(script.split())
    return line if len(line) <= 120 else f"{line[:117]}..."  # noqa: PLR2004 - a line of a terminal
