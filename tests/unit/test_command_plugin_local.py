"""local.Command and local.run, by whichever plugin RACKFORM_COMMAND_PLUGIN names."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from tests.unit import command_plugin
from tests.unit.command_plugin import Plugin, Props, is_secret, is_unknown, secret

LOCAL = "command:local:Command"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with command_plugin.running() as started:
        yield started


def test_create_returns_inputs_and_what_was_printed(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL, "hello")
    state = it.create({"create": "echo out; echo err >&2", "environment": {"A": "1"}})
    assert state["stdout"] == "out"
    assert state["stderr"] == "err"
    assert state["create"] == "echo out; echo err >&2"
    assert state["environment"] == {"A": "1"}
    assert it.id.startswith("hello")
    assert len(it.id) > len("hello")


def test_create_passes_environment_stdin_and_folder(plugin: Plugin, tmp_path: Path) -> None:
    state = plugin.resource(LOCAL).create(
        {
            "create": "pwd; cat; echo $RACK",
            "stdin": "given\n",
            "dir": str(tmp_path),
            "environment": {"RACK": "r1"},
        }
    )
    assert state["stdout"] == f"{tmp_path}\ngiven\nr1"


def test_the_interpreter_is_given_the_command_as_its_last_argument(plugin: Plugin) -> None:
    state = plugin.resource(LOCAL).create(
        {"create": "print(6 * 7)", "interpreter": ["python3", "-c"]}
    )
    assert state["stdout"] == "42"


def test_only_the_last_newline_is_cut(plugin: Plugin) -> None:
    state = plugin.resource(LOCAL).create({"create": "printf 'a\\n\\n'"})
    assert state["stdout"] == "a\n"


def test_a_failed_create_tells_the_status_the_command_and_its_output(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        plugin.resource(LOCAL).create({"create": "echo why; echo because >&2; exit 7"})
    told = failure.value.details()
    for part in ("exit status 7", "exit 7", "why", "because"):
        assert part in told


def test_a_folder_that_is_missing_fails_the_create(plugin: Plugin, tmp_path: Path) -> None:
    with pytest.raises(grpc.RpcError, match="no such file"):
        plugin.resource(LOCAL).create({"create": "true", "dir": str(tmp_path / "absent")})


def test_a_preview_runs_nothing_and_knows_no_output(plugin: Plugin, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    it = plugin.resource(LOCAL)
    state = it.create({"create": f"touch {mark}"}, preview=True)
    assert is_unknown(state["stdout"])
    assert is_unknown(state["stderr"])
    it.create({"create": "echo one"})
    assert is_unknown(it.update({"create": f"touch {mark}"}, preview=True)["stdout"])
    assert not mark.exists()


def test_without_create_nothing_runs(plugin: Plugin) -> None:
    state = plugin.resource(LOCAL).create({"delete": "true"})
    assert state.get("stdout", "") == ""


def test_an_update_without_its_own_command_runs_create_again(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "echo $N", "environment": {"N": "1"}})
    assert it.update({"create": "echo $N", "environment": {"N": "2"}})["stdout"] == "2"


def test_an_update_sees_what_the_run_before_printed(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "echo one; echo two >&2"})
    told = 'echo "$PULUMI_COMMAND_STDOUT+$PULUMI_COMMAND_STDERR"'
    assert it.update({"create": "x", "update": told})["stdout"] == "one+two"
    assert it.update({"create": "y", "update": told})["stdout"] == "one+two+"


def test_what_was_printed_before_can_be_kept_out(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "echo one"})
    told: Props = {"create": 'echo "[$PULUMI_COMMAND_STDOUT]"', "addPreviousOutputInEnv": False}
    assert it.update(told)["stdout"] == "[]"


def test_delete_runs_its_command_with_the_last_output(plugin: Plugin, tmp_path: Path) -> None:
    mark = tmp_path / "gone"
    it = plugin.resource(LOCAL)
    it.create({"create": "echo 7", "delete": f'echo "$PULUMI_COMMAND_STDOUT" > {mark}'})
    it.delete()
    assert mark.read_text() == "7\n"


def test_delete_without_a_command_does_nothing(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "true"})
    it.delete()


def test_a_failed_delete_is_an_error(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "true", "delete": "echo stuck; exit 3"})
    with pytest.raises(grpc.RpcError, match="stuck"):
        it.delete()


def test_equal_inputs_are_no_change(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    inputs = command_plugin.props(
        command_plugin.struct({"create": "true", "triggers": [1, {"a": [True]}], "dir": "/"})
    )
    it.create(inputs)
    assert not it.diff(inputs).changed


def test_a_changed_environment_is_an_update_that_names_the_variable(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "true", "environment": {"A": "1", "B": "1"}})
    diff = it.diff({"create": "true", "environment": {"A": "2", "B": "1"}})
    assert diff.changed
    assert diff.names == {"environment.A"}
    assert not diff.replaced


def test_changed_triggers_are_named(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "true", "triggers": ["a", "b"]})
    diff = it.diff({"create": "true", "triggers": ["a", "c"]})
    assert diff.names == {"triggers[1]"}


def test_triggers_that_are_new_replace(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    it.create({"create": "true"})
    assert it.diff({"create": "true", "triggers": ["a"]}).replaced == {"triggers"}


def test_a_secret_input_stays_a_secret_in_the_state(plugin: Plugin) -> None:
    it = plugin.resource(LOCAL)
    state = it.create({"create": "echo done", "environment": secret({"TOKEN": "s3cret"})})
    assert is_secret(state["environment"])
    assert state["stdout"] == "done"


def test_a_secret_reaches_the_command(plugin: Plugin) -> None:
    state = plugin.resource(LOCAL).create(
        {"create": "printf %s $TOKEN | wc -c", "environment": {"TOKEN": secret("s3cret")}}
    )
    assert "6" in str(state["stdout"])


def test_assets_and_archive_hold_the_files_that_match(plugin: Plugin, tmp_path: Path) -> None:
    for name in ("assets/logos/logo.svg", "src/index.js", "src/secret.js", "top.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    globs = ["assets/**", "src/**.js", "!**secret.*"]
    state = plugin.resource(LOCAL).create(
        {"create": "true", "dir": str(tmp_path), "assetPaths": globs, "archivePaths": globs}
    )
    expected = {"assets/logos/logo.svg", "src/index.js"}
    assert isinstance(state["assets"], Mapping)
    assert set(state["assets"]) == expected
    assert isinstance(state["archive"], Mapping)
    assert isinstance(state["archive"]["assets"], Mapping)
    assert set(state["archive"]["assets"]) == expected


def test_a_star_does_not_cross_folders(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    state = plugin.resource(LOCAL).create(
        {"create": "true", "dir": str(tmp_path), "assetPaths": ["*.txt"]}
    )
    assert isinstance(state["assets"], Mapping)
    assert set(state["assets"]) == {"b.txt"}


@pytest.mark.parametrize(
    ("logging", "shown", "hidden"),
    [
        ("stdout", ["loud-o"], ["loud-e"]),
        ("stderr", ["loud-e"], ["loud-o"]),
        ("stdoutAndStderr", ["loud-o", "loud-e"], []),
        ("none", [], ["loud-o", "loud-e"]),
    ],
)
def test_logging_chooses_what_is_shown(
    plugin: Plugin, logging: str, shown: list[str], hidden: list[str]
) -> None:
    plugin.engine.messages.clear()
    state = plugin.resource(LOCAL).create(
        {"create": "echo loud-o; echo loud-e >&2", "logging": logging}
    )
    assert (state["stdout"], state["stderr"]) == ("loud-o", "loud-e")
    assert all(line in plugin.engine.messages for line in shown)
    assert not any(line in plugin.engine.messages for line in hidden)


def test_many_lines_are_shown_as_they_come(plugin: Plugin) -> None:
    plugin.engine.messages.clear()
    plugin.resource(LOCAL).create({"create": "seq 1 50"})
    numbers = [m for m in plugin.engine.messages if m.isdigit()]
    assert numbers == [str(n) for n in range(1, 51)]


def test_run_runs_and_returns_its_output(plugin: Plugin) -> None:
    result, failures = plugin.invoke(
        "command:local:run", {"command": "cat; echo $A", "stdin": "in ", "environment": {"A": "b"}}
    )
    assert not failures
    assert result["stdout"] == "in b"
    assert result["command"] == "cat; echo $A"


def test_a_failed_run_is_an_error(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError, match="exit status 9"):
        plugin.invoke("command:local:run", {"command": "exit 9"})


def test_a_wrong_type_is_a_failure_of_the_check(plugin: Plugin) -> None:
    _, failures = plugin.resource(LOCAL).check({"create": ["not", "a", "string"]})
    assert failures


def test_the_schema_has_the_package_s_resources_and_function(plugin: Plugin) -> None:
    answer = plugin.stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=30)
    schema = json.loads(answer.schema)
    assert schema["name"] == "command"
    assert set(schema["resources"]) == {
        "command:local:Command",
        "command:remote:Command",
        "command:remote:CopyFile",
        "command:remote:CopyToRemote",
    }
    assert set(schema["functions"]) == {"command:local:run"}
    triggers = schema["resources"][LOCAL]["inputProperties"]["triggers"]
    assert triggers["replaceOnChanges"]


def test_a_cancelled_engine_ends_what_runs() -> None:
    with command_plugin.running() as plugin, futures.ThreadPoolExecutor() as pool:
        created = pool.submit(plugin.resource(LOCAL).create, {"create": "echo begun; sleep 25"})
        deadline = time.monotonic() + 20
        while "begun" not in plugin.engine.messages and time.monotonic() < deadline:
            time.sleep(0.02)
        plugin.stub.Cancel(empty_pb2.Empty(), timeout=10)
        assert created.exception(timeout=15) is not None
