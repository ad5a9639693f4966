"""Bad input about a real host: every way in tells it in a sentence, and the next run works."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import JsonValue

from discover.ask import ask
from discover.findings import findings
from pyinfra_deploys.client import HostWorker
from remote import ssh
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError
from stack.paths import ROOT, stack_dir
from tests.lab.appliance import pulumi, rackform
from tests.unit.site_examples import COMMIT, host_key

pytestmark = pytest.mark.root

STACK = "badhosts"
NCCL: dict[str, dict[str, JsonValue]] = {"nccl_env": {"socket_interface": "fab0"}}
CLOCK = """#!/bin/sh
[ "$1" = +%s.%N ] && exec /usr/bin/date -d '+10 minutes' +%s.%N
exec /usr/bin/date "$@"
"""

TWICE = """
set -e; rm -f /etc/nccl.conf; ip address replace 10.76.0.99/24 dev mgmt0; cd /etc/ssh
[ -e second ] || ssh-keygen -q -t ecdsa -N '' -f second
echo 'HostKey /etc/ssh/second' > sshd_config.d/9.conf; systemctl reload ssh
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a key that no host knows."""
    path = tmp_path_factory.mktemp("keys") / "stranger"
    made = Ed25519PrivateKey.generate()
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def rack(host: Connection) -> Connection:
    """Return a user of the host whom sudo asks for a password."""
    made = """
    useradd -m rack; echo rack:secret | chpasswd; usermod -aG sudo rack
    cp -r /root/.ssh /home/rack/; chown -R rack: /home/rack/.ssh
    """
    ssh.run(host, made)
    return host.model_copy(update={"user": "rack"})


def works(host: Connection, worker: HostWorker) -> None:
    """See that the next right run converges the host."""
    ssh.run(host, "rm -f /etc/nccl.conf")
    assert {each.deploy for each in worker.apply(host, NCCL).changed} == {"nccl_env"}
    assert worker.plan(host, NCCL) == []


def refused(worker: HostWorker, connection: Connection) -> str:
    """Return the one sentence with which a preview and an up refuse a host, unchanged."""
    with pytest.raises(RackformError) as planned:
        worker.plan(connection, NCCL)
    with pytest.raises(RackformError) as applied:
        worker.apply(connection, NCCL)
    assert str(planned.value) == str(applied.value)
    assert "\n" not in str(planned.value)
    return str(planned.value)


def test_a_wrong_key_and_another_host_key_are_told_by_sshd_s_own_answers(
    host: Connection, worker: HostWorker, stranger: Path
) -> None:
    ssh.run(host, "rm -f /etc/nccl.conf")
    wrong = host.model_copy(update={"private_key_file": stranger})
    other = host.model_copy(update={"host_key": host_key("a")})
    for connection, kind in ((wrong, LoginRefused), (other, OtherHostKey)):
        with pytest.raises(kind) as error:
            ssh.run(connection, ["true"])
        assert refused(worker, connection) == str(error.value)
    assert ssh.run(host, "ls /etc/nccl.conf", check=False).returncode != 0
    works(host, worker)


def test_a_key_with_a_passphrase_is_told_before_the_host_is_asked(
    host: Connection, worker: HostWorker, tmp_path: Path
) -> None:
    locked = Path(shutil.copy(host.private_key_file, tmp_path / "locked"))
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", locked],
        check=True,
        capture_output=True,
    )
    said = refused(worker, host.model_copy(update={"private_key_file": locked}))
    assert f"a: the private key {locked} has a passphrase" in said


def test_sudo_that_asks_for_a_password_is_told(
    host: Connection, rack: Connection, worker: HostWorker
) -> None:
    said = refused(worker, rack)
    assert said.startswith("a: sudo asks user rack for a password, and nobody is there to type it")
    (told,) = [each.text for each in findings([ask(rack)]) if "sudo" in each.text]
    assert said == f"a: {told}"
    ssh.run(host, "echo 'rack ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/rack")
    ssh.run(host, "rm -f /etc/nccl.conf")
    assert worker.apply(rack, NCCL).changed
    works(host, worker)


def test_a_read_only_root_is_told_and_nothing_is_tried(
    host: Connection, worker: HostWorker
) -> None:
    ssh.run(host, "mount -o remount,bind,ro /")
    try:
        said = refused(worker, host)
        told = [each.text for each in findings([ask(host)])]
    finally:
        ssh.run(host, "mount -o remount,bind,rw /")
    assert said.startswith("a: its root is mounted read-only, so nothing can be changed there: see")
    assert said.removeprefix("a: ") in told
    works(host, worker)


def test_a_clock_ten_minutes_off_is_told_with_who_is_ahead(
    host: Connection, worker: HostWorker
) -> None:
    ssh.run(host, "cat > /usr/local/bin/date; chmod 755 /usr/local/bin/date", input=CLOCK)
    try:
        said = refused(worker, host)
        told = [each.text for each in findings([ask(host)])]
        restore: dict[str, dict[str, JsonValue]] = {
            "restore": {"management_address": host.address, "registry": None}
        }
        worker.plan(host, restore)  # gives a machine back, whatever its clock
    finally:
        ssh.run(host, "rm /usr/local/bin/date")
    assert said.startswith("a: its clock is 600 s ahead of this machine's, and 60 s is too much")
    assert said.removeprefix("a: ") in told
    works(host, worker)


def site(host: Connection, **more: Mapping[str, object]) -> dict[str, object]:
    """Return a site of real machines: the host is its head and its worker."""
    node = {"fabric_address": "10.75.0.11", "roles": ["head", "worker"], "address": host.address,
            "host_key": host.host_key, "gpus": {"count": 2, "model": "rtx-9090"}}  # fmt: skip
    return {
        "name": STACK,
        "management": {"subnet": "10.76.0.0/24"},
        "fabric": {"subnet": "10.75.0.0/24"},
        "ssh": {"private_key_file": str(host.private_key_file)},
        "nodes": {"a": node, **more},
        "models": {"chat": {"source": "hf:org/name", "revision": COMMIT}},
    }


@pytest.fixture
def declared(host: Connection) -> Iterator[Path]:
    """Return the file of a stack of the host, which is removed with its stack afterwards."""
    path = ROOT / "stack" / f"Pulumi.{STACK}.yaml"
    try:
        declare(path, site(host))
        assert pulumi("stack", "init", STACK).status == 0
        yield path
    finally:
        pulumi("stack", "rm", "--yes", "--force", STACK)
        path.unlink(missing_ok=True)
        shutil.rmtree(stack_dir(STACK), ignore_errors=True)


def declare(path: Path, declared: Mapping[str, object]) -> None:
    kept = (
        [line for line in path.read_text().splitlines() if line.startswith("encryptionsalt")]
        if path.exists()
        else []
    )
    path.write_text("\n".join([yaml.safe_dump({"config": {"rackform:site": declared}}), *kept, ""]))


def test_the_commands_end_with_the_sentence_and_its_status(
    host: Connection, stranger: Path, declared: Path
) -> None:
    good = site(host)
    declare(declared, {**good, "ssh": {"private_key_file": str(stranger)}})
    up = rackform("up", "--stack", STACK)
    assert (up.status, "refuses user root with the key" in flat(up.err)) == (2, True), up.text
    preview = pulumi("preview", "--stack", STACK, "--non-interactive")
    assert (preview.status, "not reachable" in preview.out) == (0, True), preview.text
    assert "refuses user root with the key" in flat(preview.out)

    declare(declared, {**good, "ssh": {"private_key_file": "/no/such/key"}})
    up = rackform("up", "--stack", STACK)
    assert (up.status, "ssh.private_key_file: the private key" in flat(up.err)) == (2, True)

    discovered = rackform(
        "discover", host.address, "--name", "found", "--key", str(stranger),
        "--accept-all-host-keys", "--output", "/nonexistent/x",
    )  # fmt: skip
    assert discovered.status == 2, discovered.text
    assert "refuses user root" in flat(discovered.err)
    assert "Traceback" not in discovered.text + up.text + preview.text


def test_a_preview_and_an_up_fail_where_waiting_would_not_help(
    host: Connection, declared: Path
) -> None:
    good = site(host)
    ssh.run(host, "mount -o remount,bind,ro /")
    try:
        preview = pulumi("preview", "--stack", STACK, "--non-interactive")
        up = rackform("up", "--stack", STACK)
    finally:
        ssh.run(host, "mount -o remount,bind,rw /")
    assert (preview.status not in {0, 2}, up.status) == (True, 2), preview.text + up.text
    for said in (preview.text, up.err):
        assert "a: its root is mounted read-only, so nothing can be changed" in flat(said)

    declare(declared, site(host.model_copy(update={"host_key": host_key("a")})))
    preview = pulumi("preview", "--stack", STACK, "--non-interactive")
    up = rackform("up", "--stack", STACK)
    assert (preview.status not in {0, 2}, up.status) == (True, 2), preview.text + up.text
    for said in (preview.text, up.err):
        assert "it shows another host key than the pinned one" in flat(said)

    declare(declared, good)
    assert pulumi("preview", "--stack", STACK, "--non-interactive").status == 0


def test_two_addresses_of_one_machine_are_named_before_it_is_changed(
    host: Connection, declared: Path
) -> None:
    """Its second key has another kind, so that the site alone doesn't tell."""
    ssh.run(host, TWICE)
    kind, key = ssh.run(host, "cut -d' ' -f1,2 /etc/ssh/second.pub").stdout.split()
    twice = {"fabric_address": "10.75.0.12", "roles": ["worker"], "address": "10.76.0.99",
             "host_key": f"{kind} {key}", "gpus": {"count": 2, "model": "rtx-9090"}}  # fmt: skip
    declare(declared, site(host, b=twice))
    preview = pulumi("preview", "--stack", STACK, "--non-interactive")
    assert preview.status not in {0, 2}, preview.text
    said = flat(preview.text)
    assert "are one machine, by its machine-id and its boot" in said
    assert "a (10.76.0.11)" in said
    assert "b (10.76.0.99)" in said
    up = rackform("up", "--stack", STACK, "--json")
    assert (up.status, up.out) == (2, ""), up.text
    assert "nodes a (10.76.0.11) and b (10.76.0.99) are one machine" in flat(up.err)
    assert ssh.run(host, "ls /etc/nccl.conf", check=False).returncode != 0
    assert (
        json.loads(pulumi("stack", "export", "--stack", STACK).out)["deployment"].get(
            "resources", []
        )
        == []
    )


def flat(text: str) -> str:
    """Return a text without the lines into which a terminal breaks it."""
    return " ".join(text.split())
