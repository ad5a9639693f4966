"""remote.Command, CopyToRemote and CopyFile, against an SSH server on loopback."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from tests.unit import command_plugin, loopback_ssh
from tests.unit.command_plugin import (
    Json,
    Plugin,
    Props,
    file_archive,
    file_asset,
    is_secret,
    is_unknown,
    text_asset,
)
from tests.unit.loopback_ssh import PASSWORD, USER, Loopback

REMOTE = "command:remote:Command"
COPY = "command:remote:CopyToRemote"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with command_plugin.running() as started:
        yield started


@pytest.fixture(scope="module")
def running_server() -> Iterator[Loopback]:
    with loopback_ssh.serving() as loopback:
        yield loopback


@pytest.fixture
def server(running_server: Loopback) -> Loopback:
    running_server.connections = running_server.refuse_first = 0
    running_server.forwarded.clear()
    return running_server


def by_password(server: Loopback, **more: Json) -> Props:
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "password": PASSWORD,
        "dialErrorLimit": 0,
        **more,
    }


def by_key(server: Loopback, **more: Json) -> Props:
    connection = by_password(server, privateKey=server.private_key(), **more)
    del connection["password"]
    return connection


def test_a_command_runs_with_a_password(plugin: Plugin, server: Loopback) -> None:
    state = plugin.resource(REMOTE).create(
        {"connection": by_password(server), "create": "echo out; echo err >&2"}
    )
    assert (state["stdout"], state["stderr"]) == ("out", "err")
    assert is_secret(state["connection"])


def test_a_command_runs_with_a_key_and_a_pinned_host_key(plugin: Plugin, server: Loopback) -> None:
    connection = by_key(server, hostKey=server.public_host_key)
    state = plugin.resource(REMOTE).create({"connection": connection, "create": "echo in"})
    assert state["stdout"] == "in"


def test_a_key_with_a_passphrase_is_read(plugin: Plugin, server: Loopback) -> None:
    connection = by_key(server) | {
        "privateKey": server.private_key("open sesame"),
        "privateKeyPassword": "open sesame",
    }
    state = plugin.resource(REMOTE).create({"connection": connection, "create": "echo in"})
    assert state["stdout"] == "in"


def test_another_host_key_is_refused(plugin: Plugin, server: Loopback) -> None:
    other = loopback_ssh.new_key().export_public_key().decode()
    with pytest.raises(grpc.RpcError, match="host key"):
        plugin.resource(REMOTE).create(
            {"connection": by_password(server, hostKey=other), "create": "true"}
        )


def test_a_wrong_password_fails_and_is_not_told(plugin: Plugin, server: Loopback) -> None:
    connection = by_password(server) | {"password": "wrong-s3cret"}
    with pytest.raises(grpc.RpcError) as failure:
        plugin.resource(REMOTE).create({"connection": connection, "create": "true"})
    assert "wrong-s3cret" not in failure.value.details()


def test_a_failed_command_tells_its_output(plugin: Plugin, server: Loopback) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        plugin.resource(REMOTE).create(
            {"connection": by_password(server), "create": "echo because; exit 5"}
        )
    assert "because" in failure.value.details()
    assert "5" in failure.value.details()


def test_stdin_and_environment_reach_the_command(plugin: Plugin, server: Loopback) -> None:
    state = plugin.resource(REMOTE).create(
        {
            "connection": by_password(server),
            "create": "cat; echo $RACK",
            "stdin": "given ",
            "environment": {"RACK": "r1"},
        }
    )
    assert state["stdout"] == "given r1"


def test_update_and_delete_see_the_last_output(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    it = plugin.resource(REMOTE)
    inputs: Props = {
        "connection": by_password(server),
        "create": "echo one",
        "update": 'echo "was $PULUMI_COMMAND_STDOUT"',
        "delete": f'echo "$PULUMI_COMMAND_STDOUT" > {tmp_path}/gone',
    }
    it.create(inputs)
    assert it.update(inputs | {"stdin": "x"})["stdout"] == "was one"
    it.delete()
    assert (tmp_path / "gone").read_text() == "was one\n"


def test_a_preview_connects_to_nothing(plugin: Plugin, server: Loopback) -> None:
    state = plugin.resource(REMOTE).create(
        {"connection": by_password(server), "create": "true"}, preview=True
    )
    assert is_unknown(state["stdout"])
    assert server.connections == 0


def test_the_connection_has_its_defaults_and_is_a_secret(plugin: Plugin) -> None:
    inputs, failures = plugin.resource(REMOTE).check({"connection": {"host": "h"}})
    assert not failures
    assert is_secret(inputs["connection"])
    assert isinstance(inputs["connection"], Mapping)
    assert inputs["connection"]["value"] == {
        "host": "h",
        "port": 22,
        "user": "root",
        "dialErrorLimit": 10,
        "perDialTimeout": 15,
    }


def test_a_connection_without_a_host_is_refused(plugin: Plugin) -> None:
    _, failures = plugin.resource(REMOTE).check({"connection": {"user": "root"}})
    assert any("host" in failure for failure in failures)


def test_it_goes_on_dialling_until_the_host_is_there(plugin: Plugin, server: Loopback) -> None:
    server.refuse_first = 2
    state = plugin.resource(REMOTE).create(
        {"connection": by_password(server, dialErrorLimit=5), "create": "echo up"}
    )
    assert state["stdout"] == "up"
    assert server.connections == 3


def test_it_gives_up_at_the_limit(plugin: Plugin) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connection: Props = {
            "host": "127.0.0.1",
            "port": unused.getsockname()[1],
            "password": PASSWORD,
            "dialErrorLimit": 1,
        }
        with pytest.raises(grpc.RpcError, match="failed attempts"):
            plugin.resource(REMOTE).create({"connection": connection, "create": "true"})


def test_a_bastion_is_gone_through(plugin: Plugin, server: Loopback) -> None:
    connection = by_password(server, proxy=by_password(server))
    state = plugin.resource(REMOTE).create({"connection": connection, "create": "echo behind"})
    assert state["stdout"] == "behind"
    assert server.forwarded == [server.port]


def copied(plugin: Plugin, server: Loopback, source: Json, to: Path | str) -> None:
    plugin.resource(COPY).create(
        {"connection": by_password(server), "source": source, "remotePath": str(to)}
    )


def test_a_file_is_copied_and_its_folders_are_made(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    (tmp_path / "from.bin").write_bytes(bytes(range(256)) * 4096)
    to = tmp_path / "a" / "b" / "to.bin"
    copied(plugin, server, file_asset(tmp_path / "from.bin"), to)
    assert to.read_bytes() == (tmp_path / "from.bin").read_bytes()


def test_a_file_goes_into_a_folder_that_exists(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    (tmp_path / "from.txt").write_text("x")
    (tmp_path / "to").mkdir()
    copied(plugin, server, file_asset(tmp_path / "from.txt"), tmp_path / "to")
    assert (tmp_path / "to" / "from.txt").read_text() == "x"


def test_text_is_written_over_a_longer_file(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    to = tmp_path / "to.conf"
    to.write_text("a much longer text than the new one")
    copied(plugin, server, text_asset("short\n"), to)
    assert to.read_text() == "short\n"


def test_text_to_a_folder_is_refused(plugin: Plugin, server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(grpc.RpcError, match="file path"):
        copied(plugin, server, text_asset("x"), tmp_path)


@pytest.mark.parametrize(("end", "inside"), [("", "from/"), ("/", "")])
def test_a_folder_is_copied_whole_and_a_slash_means_what_it_holds(
    plugin: Plugin, server: Loopback, tmp_path: Path, end: str, inside: str
) -> None:
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "sub" / "f").write_text("deep")
    (tmp_path / "from" / "g").write_text("top")
    copied(plugin, server, file_archive(f"{tmp_path}/from{end}"), tmp_path / "to")
    assert (tmp_path / "to" / f"{inside}sub" / "f").read_text() == "deep"
    assert (tmp_path / "to" / f"{inside}g").read_text() == "top"


def test_a_folder_onto_a_file_is_refused(plugin: Plugin, server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").write_text("a file")
    with pytest.raises(grpc.RpcError):
        copied(plugin, server, file_archive(f"{tmp_path}/from"), tmp_path / "to")


def test_an_update_copies_what_changed(plugin: Plugin, server: Loopback, tmp_path: Path) -> None:
    it = plugin.resource(COPY)
    inputs: Props = {
        "connection": by_password(server),
        "source": text_asset("one"),
        "remotePath": f"{tmp_path}/to",
    }
    it.create(inputs)
    changed = inputs | {"source": text_asset("two")}
    assert it.diff(changed).changed
    assert not it.diff(inputs).changed
    it.update(changed)
    assert (tmp_path / "to").read_text() == "two"


def test_a_copy_stays_when_the_resource_is_deleted(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    it = plugin.resource(COPY)
    it.create(
        {
            "connection": by_password(server),
            "source": text_asset("one"),
            "remotePath": f"{tmp_path}/to",
        }
    )
    it.delete()
    assert (tmp_path / "to").exists()


def test_a_source_that_is_no_asset_is_refused(plugin: Plugin) -> None:
    with pytest.raises((grpc.RpcError, AssertionError)):
        plugin.resource(COPY).create(
            {"connection": {"host": "h"}, "source": "text", "remotePath": "/x"}
        )


def test_copyfile_copies_a_file_and_every_change_replaces_it(
    plugin: Plugin, server: Loopback, tmp_path: Path
) -> None:
    (tmp_path / "from").write_text("x")
    it = plugin.resource("command:remote:CopyFile")
    inputs: Props = {
        "connection": by_password(server),
        "localPath": f"{tmp_path}/from",
        "remotePath": f"{tmp_path}/to",
    }
    it.create(inputs)
    assert (tmp_path / "to").read_text() == "x"
    assert it.diff(inputs | {"remotePath": f"{tmp_path}/other"}).replaced == {"remotePath"}
