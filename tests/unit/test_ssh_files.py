"""The SSH files, as OpenSSH itself reads them."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.commands import app
from remote import ssh
from remote.connection import Connection
from remote.errors import RackformError, Unreachable

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk9JjMvV4O+L0lJzm4O0lZXrrb/ZXDkVP1swqDrPeGI"


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    return Connection(
        name="head", address="10.77.0.11", private_key_file=tmp_path / "my key", host_key=KEY
    )


def understood(config: Path, name: str) -> dict[str, str]:
    if not shutil.which("ssh"):
        pytest.skip("needs OpenSSH's client")
    argv = ["ssh", "-G", "-F", str(config), name]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in output.splitlines() if " " in line)


def test_a_key_is_pinned_by_address_and_by_name(connection: Connection) -> None:
    assert ssh.known_hosts([connection]) == f"10.77.0.11,head {KEY}\n"


def test_a_port_of_its_own_is_part_of_the_pinned_address(connection: Connection) -> None:
    moved = connection.model_copy(update={"port": 2222})
    assert ssh.known_hosts([moved]) == f"[10.77.0.11]:2222,head {KEY}\n"


def test_openssh_reads_the_configuration_as_it_was_meant(
    tmp_path: Path, connection: Connection
) -> None:
    folder = tmp_path / "a folder %h of mine"
    config = ssh.write_ssh_files(folder, [connection])
    seen = understood(config, "head")
    assert seen["hostname"] == "10.77.0.11"
    assert seen["stricthostkeychecking"] == "true"
    assert seen["identitiesonly"] == "yes"
    assert seen["identityfile"].strip('"') == str(connection.private_key_file)
    assert seen["controlmaster"] == "auto"
    assert seen["passwordauthentication"] == "no"


def test_the_files_are_for_the_user_alone(tmp_path: Path, connection: Connection) -> None:
    config = ssh.write_ssh_files(tmp_path / "s", [connection])
    for path in (config, config.parent / "known_hosts"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in config.parent.iterdir()) == ["known_hosts", "ssh_config"]


def test_the_control_socket_fits_a_unix_socket(tmp_path: Path, connection: Connection) -> None:
    deep = tmp_path / ("x" * 120)
    far = connection.model_copy(update={"private_key_file": deep / "key"})
    path = re.search(r'ControlPath "(.*)"', ssh.ssh_config([far], deep))
    assert path
    assert len(path[1]) + len(".0123456789abcdef") < 108


def test_nothing_secret_and_no_doubt_in_the_command(connection: Connection) -> None:
    argv = ssh.ssh_argv(connection, "-N")
    assert argv[0] == "ssh"
    assert argv[-2:] == ["-N", "root@10.77.0.11"]
    assert "-oBatchMode=yes" in argv
    assert "-oStrictHostKeyChecking=yes" in argv


def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_a_failed_command_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    fake_ssh(tmp_path, monkeypatch, "echo no such thing >&2; exit 3")
    with pytest.raises(RackformError, match=r"head: ls /x ended with status 3: no such thing"):
        ssh.run(connection, ["ls", "/x"])
    assert ssh.run(connection, ["ls", "/x"], check=False).returncode == 3


def test_a_machine_that_ssh_cannot_reach_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    fake_ssh(tmp_path, monkeypatch, "echo 'port 22: No route to host' >&2; exit 255")
    with pytest.raises(Unreachable, match=r"head .root@10.77.0.11:22. can't be reached: port 22"):
        ssh.run(connection, ["true"])
    with pytest.raises(Unreachable, match="No route to host"), ssh.tunnel(connection, "x", 1):
        pytest.fail("a tunnel to nowhere")


def test_a_command_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    fake_ssh(tmp_path, monkeypatch, "exec sleep 30")
    with pytest.raises(RackformError, match=r"head: not done after 0\.2 s: sleep 30"):
        ssh.run(connection, ["sleep", "30"], timeout_s=0.2)


def test_input_reaches_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    fake_ssh(tmp_path, monkeypatch, "cat")
    assert ssh.run(connection, "cat", input="héllo").stdout == "héllo"
    assert ssh.run(connection, "cat").stdout == ""


def test_what_follows_the_node_s_name_is_the_command_with_its_own_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str, list[str]]] = []
    monkeypatch.setattr("cli.ssh.login", lambda *given: asked.append(given))
    words = ["ssh", "--stack", "mine", "w1", "iftop", "-t", "-s", "3", "-i", "fab0"]
    CliRunner().invoke(app, words, catch_exceptions=False)
    assert asked == [("mine", "w1", ["iftop", "-t", "-s", "3", "-i", "fab0"])]
