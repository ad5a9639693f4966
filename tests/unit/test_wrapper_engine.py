"""./rackform: finding or building the Pulumi engine, and the choice of the command plugin."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.unit.wrapper_checkout import Checkout


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"waited 20 s for {path}"
        time.sleep(0.02)


def test_the_engine_is_built_once_into_the_cache(ready: Checkout) -> None:
    done = ready.run("preview")
    assert done.returncode == 0, done.stderr
    assert "about 6 minutes" in done.stderr
    (built,) = ready.engines.glob("pulumi-v3.250.0-*")
    assert {p.name for p in (built / "bin").iterdir()} == {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    }
    assert ready.seen_by_cli()["PATH"].split(":")[1] == f"{built}/bin"
    assert len([c for c in ready.calls("go") if " build " in f"{c} "]) == 3
    assert ready.run("preview").stderr == ""
    assert not ready.calls("go")


def test_changed_modules_build_another_engine(ready: Checkout) -> None:
    ready.run("preview")
    with (ready.root / "engine" / "lang" / "go.mod").open("a") as file:
        file.write("// another\n")
    ready.run("preview")
    assert len(list(ready.engines.glob("pulumi-*"))) == 2


def test_an_official_pulumi_that_is_new_enough_is_used(ready: Checkout) -> None:
    folder = ready.install_pulumi("v3.251.1")
    done = ready.run("preview", OFFICIAL_PLUGIN="1")
    assert done.returncode == 0, done.stderr
    assert f"using {folder}/pulumi (v3.251.1)" in done.stderr
    path = ready.seen_by_cli()["PATH"].split(":")
    assert path[:2] == [f"{ready.root}/.venv/bin", str(folder)]
    assert not ready.calls("go")


def test_the_version_of_an_official_pulumi_is_asked_once(ready: Checkout) -> None:
    ready.install_pulumi("v3.250.0")
    ready.run("preview", OFFICIAL_PLUGIN="1")
    ready.calls()
    assert ready.run("preview").stderr == ""
    assert not ready.calls("pulumi")


@pytest.mark.parametrize("version", ["v3.249.9", "v2.300.0", "nonsense"])
def test_an_older_pulumi_is_told_and_not_used(ready: Checkout, version: str) -> None:
    ready.install_pulumi(version)
    done = ready.run("preview")
    assert done.returncode == 0, done.stderr
    assert f"is {version}, older than the v3.250.0" in done.stderr
    assert "pulumi-v3.250.0-" in ready.seen_by_cli()["PATH"].split(":")[1]


def test_a_pulumi_without_its_language_host_is_not_used(ready: Checkout) -> None:
    ready.install_pulumi("v3.300.0", language_host=False)
    assert "no pulumi-language-python beside it" in ready.run("preview").stderr


def test_a_failed_build_leaves_nothing_and_tells_why(ready: Checkout) -> None:
    done = ready.run("preview", BROKEN_GO="1")
    assert done.returncode == 1
    assert "dial tcp: no such host" in done.stderr
    assert "GOPROXY" in done.stderr or "module proxy" in done.stderr
    assert not list(ready.engines.glob("[pb]u*"))
    assert ready.run("preview").returncode == 0


def test_a_killed_build_is_taken_up_by_the_next_run(ready: Checkout) -> None:
    process = ready.start("preview", SLOW_GO="5")
    wait_for(ready.base / "calls.go-at-work")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    assert not list(ready.engines.glob("pulumi-*"))
    assert ready.run("preview").returncode == 0
    assert len(list(ready.engines.iterdir())) == 3  # the lock, the engine, the plugin


def test_two_runs_at_once_build_one_engine(ready: Checkout) -> None:
    ready.run("doctor")
    ready.calls()
    first = ready.start("preview", SLOW_GO="0.3")
    wait_for(ready.base / "calls.go-at-work")
    second = ready.run("preview")
    first.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "another run is at building the engine; waiting" in second.stderr
    builds = [call for call in ready.calls("go build") if "cmd/pulumi-" not in call]
    assert len([call for call in builds if call.endswith("cmd/pulumi")]) == 1


def test_commands_that_need_no_engine_build_none(ready: Checkout) -> None:
    for command in (
        ["--help"],
        ["doctor"],
        ["down"],
        ["status"],
        ["test", "unit"],
        ["up", "--help"],
    ):
        assert ready.run(*command).returncode == 0
    assert not ready.calls("go")


def test_the_official_command_plugin_is_asked_for_first(ready: Checkout) -> None:
    done = ready.run("preview", OFFICIAL_PLUGIN="1")
    assert done.returncode == 0, done.stderr
    assert not list(ready.engines.glob("command-*"))
    ready.calls()
    assert ready.run("preview").stderr == ""


def test_our_command_plugin_is_used_where_the_official_one_is_away_and_that_is_told(
    ready: Checkout,
) -> None:
    done = ready.run("preview")
    assert "using Rackform's own" in done.stderr
    assert "--file" in ready.calls("pulumi plugin install")[1]
    assert ready.run("preview").stderr == ""
    assert not ready.calls("pulumi")


def test_a_changed_plugin_of_ours_is_installed_again(ready: Checkout) -> None:
    ready.run("preview")
    ready.calls()
    with (ready.root / "engine" / "command" / "main.go").open("a") as file:
        file.write("// another\n")
    ready.run("preview")
    (installed,) = ready.calls("pulumi plugin install")
    assert "--file" in installed
    assert "--reinstall" in installed


def test_go_from_the_index_is_fetched_where_there_is_none_and_removed_when_all_is_built(
    ready: Checkout,
) -> None:
    go = (ready.bin / "go").read_text()
    (ready.bin / "go").unlink()
    ready.put(ready.fakes / "go", go)
    fetch = """#!/bin/sh
echo "uv $*" >>"$CALLS"
while [ $# -gt 0 ]; do
  [ "$1" != --target ] || { mkdir -p "$2/go/bin"; cp "$FAKES/go" "$2/go/bin/go"; }
  shift
done
"""
    ready.put(ready.root / ".venv" / "bin" / "uv", fetch)
    done = ready.run("preview")
    assert done.returncode == 0, done.stderr
    assert any("requirements-go.txt" in call for call in ready.calls("uv"))
    assert not (ready.engines / "go").exists()


def test_a_disk_that_is_too_full_is_told_before_the_build(ready: Checkout) -> None:
    ready.run("doctor")
    ready.put(ready.bin / "df", "#!/bin/sh\necho head\necho dev 9 9 321 9% /\n")
    done = ready.run("preview")
    assert done.returncode == 1
    assert "321 MiB free" in done.stderr
    assert "RACKFORM_ENGINE" in done.stderr
    assert not ready.calls("go build")


def test_an_interrupt_while_building_cleans_up_and_says_so(ready: Checkout) -> None:
    process = ready.start("preview", SLOW_GO="20")
    wait_for(ready.base / "calls.go-at-work")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Run the same command again" in err
    assert [p.name for p in ready.engines.iterdir()] == ["lock"]


def test_the_official_plugin_is_asked_for_again_when_the_choice_is_removed(
    ready: Checkout,
) -> None:
    ready.run("preview")
    ready.calls()
    choice = ready.state / "command-plugin"
    choice.unlink()
    assert "using Rackform's own" in ready.run("preview").stderr
    assert "--reinstall" in ready.calls("pulumi plugin install")[0]
    choice.unlink()
    assert "using Rackform's own" not in ready.run("preview", OFFICIAL_PLUGIN="1").stderr
    assert choice.read_text() == "official\n"
