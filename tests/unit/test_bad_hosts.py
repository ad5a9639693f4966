"""Bad input about machines: one sentence each, with its remedy, by OpenSSH and by pyinfra alike."""

from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cli import preflight
from fabric.open import open_switch
from pyinfra_deploys.client import HostWorker
from remote import examine, keys, ssh
from remote.connection import Connection
from remote.errors import LoginRefused, OtherHostKey, RackformError, Unreachable
from remote.examine import Examined
from stack.errors import InputError
from stack.load import load_site
from stack.machines import own_key
from tests.unit.loopback_ssh import (
    PASSWORD,
    USER,
    Agent,
    Loopback,
    locked_text,
    new_key,
    serving,
    ssh_agent,
)
from tests.unit.site_examples import example, host_key, real
from tests.unit.switch_twin import running_twin

W1 = Connection(
    name="w1",
    address="10.77.0.12",
    user="rack",
    private_key_file=Path("/k"),
    host_key=host_key("w1"),
)
TORN = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAA==
-----END OPENSSH PRIVATE KEY-----
"""
WELL = Examined(machine_id="m1", boot_id="b1", root_options="rw,relatime", clock_off_s=0.1)


@pytest.fixture(scope="module")
def loopback() -> Iterator[Loopback]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def worker() -> Iterator[HostWorker]:
    with HostWorker() as it:
        it.start()
        yield it


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def reached(loopback: Loopback, tmp_path: Path) -> Iterator[Connection]:
    made = Connection(
        name="w1",
        address="127.0.0.1",
        port=loopback.port,
        user=USER,
        private_key_file=written(tmp_path / "id", loopback.private_key()),
        host_key=loopback.public_host_key,
    )
    yield made
    ssh.forget(made)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    with ssh_agent(tmp_path) as made:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(made.socket))
        yield made


Way = Callable[[Connection], object]


@pytest.fixture(params=["OpenSSH", "pyinfra"])
def way(request: pytest.FixtureRequest, worker: HostWorker) -> Way:
    if request.param == "OpenSSH":
        return lambda connection: ssh.run(connection, ["true"])
    return lambda connection: worker.plan(connection, {})


def test_a_good_host_is_let_be(way: Way, reached: Connection) -> None:
    way(reached)


def test_a_key_that_the_machine_does_not_know_is_told_with_the_line_to_append(
    way: Way, reached: Connection, tmp_path: Path
) -> None:
    key = new_key()
    file = written(tmp_path / "other", key.export_private_key().decode())
    with pytest.raises(LoginRefused) as error:
        way(reached.model_copy(update={"private_key_file": file}))
    line = key.export_public_key().decode().strip()
    assert str(error.value) == (
        f"w1 (rack@127.0.0.1:{reached.port}) can't be reached: it refuses user rack with the key "
        f"{file}; append its line '{line}' to authorized_keys of rack there, or set ssh.user and "
        "ssh.private_key_file to a login that it takes"
    )


def test_another_host_key_than_the_pinned_one_is_told_as_what_it_may_be(
    way: Way, reached: Connection
) -> None:
    with pytest.raises(OtherHostKey) as error:
        way(reached.model_copy(update={"host_key": host_key("w1")}))
    assert "it shows another host key than the pinned one; find out why" in str(error.value)
    assert f"'ssh-keyscan -p {reached.port} -t ed25519 127.0.0.1'" in str(error.value)


def test_a_key_with_a_passphrase_works_by_the_agent_or_is_refused(
    reached: Connection, loopback: Loopback, agent: Agent, tmp_path: Path
) -> None:
    file = written(tmp_path / "locked", loopback.private_key(PASSWORD))
    locked = reached.model_copy(update={"private_key_file": file})
    refused = "has a passphrase, which nobody is there to type, and the SSH agent hasn't it: run"
    with HostWorker() as worker:  # of this agent's environment
        with pytest.raises(RackformError, match=f"^w1: .*{refused}"):
            worker.plan(locked, {})
        with pytest.raises(LoginRefused, match=refused):
            ssh.run(locked, ["true"])
        agent.add(file)
        worker.plan(locked, {})
    ssh.run(locked, ["true"])
    ssh.forget(locked)


def test_a_switch_takes_a_key_with_a_passphrase_by_the_agent(agent: Agent, tmp_path: Path) -> None:
    with running_twin(tmp_path) as twin:
        plain = twin.connection.private_key_file
        file = written(tmp_path / "locked", locked_text(asyncssh.read_private_key(plain)))
        locked = twin.connection.model_copy(update={"private_key_file": file})
        with pytest.raises(RackformError, match=r"switch tor1: .* has a passphrase"):
            open_switch("eos", locked)
        agent.add(file)
        with open_switch("eos", locked) as switch:
            assert switch.read().ports


def test_what_is_wrong_with_a_key_file_is_told_before_any_machine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = new_key()
    public = key.export_public_key().decode()
    cases = [
        (tmp_path / "gone", "isn't there: put it back, or name another by ssh.private_key_file"),
        (tmp_path, "can't be read"),
        (written(tmp_path / "id.pub", public), r"no private SSH key \(a public one has .pub"),
        (written(tmp_path / "text", "hello"), "is no private SSH key: name another"),
        (written(tmp_path / "torn", TORN), "is no private SSH key"),
        (written(tmp_path / "open", key.export_private_key().decode(), 0o644),
         "has mode 0644, and SSH uses none that others may read: run 'chmod 600"),
        (written(tmp_path / "locked", locked_text(key, PASSWORD)),
         "no SSH agent runs: run 'eval"),
    ]  # fmt: skip
    for file, said in cases:
        raw = real({"ssh": {"private_key_file": str(file)}})
        with pytest.raises(InputError, match=f"^ssh.private_key_file: .*{said}"):
            own_key(load_site(raw))
    own_key(load_site(example({"ssh": {"private_key_file": "/gone"}})))  # a twin uses its own


def test_older_kinds_of_keys_are_read_with_the_public_half_beside_them(tmp_path: Path) -> None:
    made = generate_private_key(65537, 2048)
    plain = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    locked = made.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
    )
    older = made.private_bytes(
        Encoding.PEM,
        PrivateFormat.TraditionalOpenSSL,
        BestAvailableEncryption(PASSWORD.encode()),
    )
    public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for text, is_locked in ((plain, False), (locked, True), (older, True)):
        file = written(tmp_path / "id_rsa", text.decode())
        assert keys.read(file) == keys.KeyFile(is_locked, "")
    written(tmp_path / "id_rsa.pub", f"{public} me@here\n")
    assert keys.read(file) == keys.KeyFile(locked=True, public=public)


def told(found: Examined, *, clock: bool = True) -> list[str]:
    return list(examine.refusals(W1, found, clock=clock))


def seen(**more: object) -> Examined:
    return Examined(**{**vars(WELL), **more})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            seen(sudo="sudo: a password is required"),
            "w1: sudo asks user rack for a password, and nobody is there to type it: write 'rack A",
        ),
        (
            seen(sudo="rack is not in the sudoers file."),
            "w1: sudo doesn't let user rack become root (rack is not in the sudoers file.): write",
        ),
        (seen(sudo="sh: 9: sudo: not found"), "w1: user rack has no sudo there: install it"),
        (seen(root_options="ro,relatime"), "w1: its root is mounted read-only, so nothing can"),
        (seen(clock_off_s=600.4), "w1: its clock is 600 s ahead of this machine's, and 60 s is"),
        (seen(clock_off_s=-601.0), "w1: its clock is 601 s behind this machine's"),
    ],
)
def test_what_stands_in_the_way_of_any_change_is_one_sentence(found: Examined, said: str) -> None:
    (sentence,) = told(found)
    assert sentence.startswith(said)


def test_what_may_be_the_question_s_own_time_is_no_wrong_clock() -> None:
    assert told(WELL) == []
    assert told(seen(clock_off_s=62.0, uncertain_s=3.0)) == []
    assert told(seen(clock_off_s=None)) == []
    assert told(seen(clock_off_s=600.0), clock=False) == []
    assert told(seen(root_options="rw,errors=remount-ro")) == []


def test_a_host_s_own_words_are_read(reached: Connection) -> None:
    found = examine.ask(reached)
    assert len(found.identity.split()) == 2
    assert found.clock_off_s is not None
    assert abs(found.clock_off_s) < 5
    assert found.sudo == "yes"
    assert found.root_options.split(",")[0] in {"rw", "ro"}
    assert examine.read("", 1.0, 2.0).clock_off_s is None


def test_an_up_of_real_machines_names_all_that_is_wrong_before_it_touches_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers: dict[str, Examined | RackformError] = {
        "head": WELL,
        "w1": WELL,
        "w2": Unreachable("w2 is off"),
    }

    def ask(connection: Connection) -> Examined:
        found = answers[connection.name]
        if isinstance(found, RackformError):
            raise found
        return found

    key = written(tmp_path / "id", new_key().export_private_key().decode())
    site = load_site(real({"ssh": {"private_key_file": str(key)}}))
    monkeypatch.setattr(preflight, "ask", ask)
    with pytest.raises(
        InputError, match=r"^nodes head \(10.77.0.11\) and w1 \(10.77.0.12\) are on"
    ):
        preflight.examine("mine", site)
    answers["w1"] = seen(machine_id="m2", root_options="ro", clock_off_s=-900.0)
    answers["w2"] = LoginRefused("w2 refuses the key")
    with pytest.raises(InputError) as error:
        preflight.examine("mine", site)
    assert [line.partition(",")[0] for line in str(error.value).splitlines()] == [
        "w1: its root is mounted read-only",
        "w1: its clock is 900 s behind this machine's",
        "w2 refuses the key",
    ]
    answers["w1"], answers["w2"] = seen(machine_id="m2"), Unreachable("w2 is off")
    preflight.examine("mine", site)
