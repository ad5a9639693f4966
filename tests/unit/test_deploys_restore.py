"""What was there before: recorded once, by real shell; put back from the record."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationError

from pyinfra_deploys.docker_engine.settings import DockerEngineSettings
from pyinfra_deploys.docker_engine.steps import OTHER_ENGINES, daemon_json
from pyinfra_deploys.operations import before, files, left, record, restore
from pyinfra_deploys.operations.facts import FileAt, FileState, InstalledPackages, Unit, UnitState
from pyinfra_deploys.operations.left import Left, LeftBehind
from pyinfra_deploys.operations.marks import unmarked, with_block
from pyinfra_deploys.operations.packages import install_packages
from pyinfra_deploys.operations.record import Entry, Record
from pyinfra_deploys.operations.restore import (
    file_back,
    release_package,
    restore_file,
    restore_sysctl,
    restore_table,
    restore_unit,
)
from pyinfra_deploys.operations.service import run_service
from tests.unit.test_deploys_operations import RUNNING, commands, told

Shell = Callable[[str], str]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run shell on this machine, with the record in a folder of the test."""
    folder = str(tmp_path / "before")
    for module in (before, record, restore, left):
        monkeypatch.setattr(module, "BEFORE", folder)
    monkeypatch.setattr(restore, "LEFT", str(tmp_path / "left"))

    def run(script: str) -> str:
        command = ["sh", "-c", script]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


def entries(shell: Shell) -> list[Entry]:
    return Record().process(shell(Record().command()).splitlines())


def written(path: Path, text: str) -> None:
    """Change a file as `write_file` does, but for its owner."""
    fresh = Path(f"{path}.rackform-new")
    fresh.write_text(text)
    subprocess.run(["sh", "-c", before.written(str(path), str(fresh))], check=True)
    fresh.replace(path)


def put_back(shell: Shell, facts: dict[type, object] | None = None) -> list[str]:
    """Put every recorded file back and return what people are told."""
    lines = []
    for entry in entries(shell):
        for command in commands(restore_file, facts or {}, entry=entry):
            lines.append(str(command))
            shell(command.get_raw_value())
    return lines


def test_a_file_comes_back_with_its_mode_whatever_was_written_since(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "a b.conf"
    file.write_text("found\n")
    file.chmod(0o640)
    for text in ("ours\n", "ours again\n"):
        shell(before.file(str(file)))
        written(file, text)
    assert put_back(shell) == [f"{file}: put back as it was"]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("found\n", 0o640)
    assert entries(shell) == []


def test_a_file_of_ours_goes_with_the_folders_that_were_made_for_it(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "certs.d" / "registry" / "ca.crt"
    shell(before.file(str(file)))
    file.parent.mkdir(parents=True)
    written(file, "ours\n")
    assert put_back(shell) == [f"{file}: removed: it was not there"]
    assert list((tmp_path / "etc").iterdir()) == []


def test_a_folder_in_which_others_have_put_something_stays(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "certs.d" / "ca.crt"
    shell(before.file(str(file)))
    file.parent.mkdir()
    written(file, "ours\n")
    (file.parent / "theirs").touch()
    put_back(shell)
    assert [each.name for each in file.parent.iterdir()] == ["theirs"]


def test_a_link_comes_back_as_a_link(shell: Shell, tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/UTC")
    shell(before.file(str(link)))
    link.unlink()
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert put_back(shell) == [f"{link}: a link to /usr/share/zoneinfo/UTC again"]
    assert str(link.readlink()) == "/usr/share/zoneinfo/UTC"


def test_what_somebody_wrote_after_us_is_kept_aside(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text("found\n")
    shell(before.file(str(file)))
    written(file, "ours\n")
    file.write_text("theirs\n")
    (line,) = put_back(shell)
    kept = Path(f"{tmp_path}/left{file}")
    assert line.endswith(f"it was changed by hand since, which is kept in {kept}")
    assert (file.read_text(), kept.read_text()) == ("found\n", "theirs\n")


def test_a_file_that_was_put_back_by_hand_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text("found\n")
    shell(before.file(str(file), reader="docker.service"))
    written(file, "ours\n")
    file.write_text("found\n")
    assert put_back(shell) == [f"{file}: it is as it was"]


def test_a_change_that_never_came_leaves_a_record_that_does_no_harm(
    shell: Shell, tmp_path: Path
) -> None:
    there, absent = tmp_path / "there", tmp_path / "absent"
    there.write_text("found\n")
    shell(before.file(str(there)))
    shell(before.file(str(absent)))
    put_back(shell)
    assert (there.read_text(), absent.exists()) == ("found\n", False)


def test_the_last_change_goes_back_first_and_only_root_reads_the_record(
    shell: Shell, tmp_path: Path
) -> None:
    names = [str(tmp_path / name) for name in ("one", "two", "three")]
    for name in [*names, names[0]]:
        shell(before.file(name))
    assert [entry.target for entry in entries(shell)] == list(reversed(names))
    folder = tmp_path / "before"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}


@pytest.mark.usefixtures("shell")
def test_a_change_is_not_made_where_it_cannot_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "before").write_text("in the way")
    (command,) = commands(
        files.write_file, {FileAt: None}, path=str(tmp_path / "x"), content="ours"
    )
    done = subprocess.run(
        ["sh", "-c", command.get_raw_value()], input="ours", text=True, check=False
    )
    assert done.returncode != 0
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.rackform-new").exists()


def test_a_file_of_many_loses_just_our_lines(shell: Shell, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.1.1.1 printer\n")
    shell(before.file(str(hosts), undo="marks"))
    written(hosts, with_block(hosts.read_text(), "10.77.0.11 w1"))
    hosts.write_text(hosts.read_text() + "10.1.1.2 scanner\n")

    def facts(entry: Entry) -> dict[type, object]:
        _ = entry
        return {FileAt: FileState("file", "644", "root", "root", hosts.read_bytes())}

    (entry,) = entries(shell)
    (command,) = commands(restore_file, facts(entry), entry=entry)
    assert str(command).endswith("our lines taken out; what others wrote since stays")
    subprocess.run(
        ["sh", "-c", command.get_raw_value()],
        input=str(command.connector_arguments["_stdin"]),
        text=True,
        check=True,
    )
    assert hosts.read_text() == "127.0.0.1 localhost\n10.1.1.1 printer\n10.1.1.2 scanner\n"
    assert entries(shell) == []


def entry(kind: str, target: str, **fields: str) -> Entry:
    return Entry("0123", kind, target, 1, {key.replace("_", "-"): v for key, v in fields.items()})


def unit(was: tuple[str, str], now: tuple[str, str], load: str = "loaded") -> list[str]:
    found = entry(
        "unit", "docker.service", UnitFileState=was[0], ActiveState=was[1],
        now_LoadState=load, now_UnitFileState=now[0], now_ActiveState=now[1],
    )  # fmt: skip
    return told(restore_unit, {}, entry=found)


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (
            ("", "inactive"),
            ("enabled", "active"),
            "systemctl disable -q docker.service; systemctl stop docker.service",
        ),
        (("disabled", "active"), ("enabled", "active"), "systemctl disable -q docker.service"),
        (("enabled", "active"), ("enabled", "inactive"), "systemctl start docker.service"),
        (("static", "active"), ("static", "active"), "docker.service: it is as it was"),
    ],
)
def test_a_unit_is_enabled_and_runs_as_it_did(
    was: tuple[str, str], now: tuple[str, str], expected: str
) -> None:
    assert unit(was, now) == [expected]


def test_a_unit_that_is_gone_needs_nothing() -> None:
    gone = unit(("enabled", "active"), ("", "inactive"), load="not-found")
    assert gone == ["docker.service: it is as it was"]


def test_a_kernel_parameter_is_set_back_unless_it_is_as_it_was() -> None:
    def back(now: str) -> list[str]:
        found = entry("sysctl", "net.ipv4.tcp_rmem", value="4096\t131072 6291456", now=now)
        return told(restore_sysctl, {}, entry=found)

    assert back("1 2 3") == ["sysctl -q -w 'net.ipv4.tcp_rmem=4096 131072 6291456'"]
    assert back("4096 131072 6291456") == ["net.ipv4.tcp_rmem: it is as it was"]


def test_our_table_goes_and_one_that_was_there_stays() -> None:
    ours = told(restore_table, {}, entry=entry("table", "inet rackform", was="absent"))
    assert ours == ["nft delete table inet rackform"]
    theirs = told(restore_table, {}, entry=entry("table", "inet rackform", was="present"))
    assert theirs == ["the table inet rackform stays: it was there before"]


def test_only_a_hold_of_ours_is_released() -> None:
    def released(want: str) -> list[str]:
        found = entry("package", "nvidia-open", want=want, now_want="hold")
        return told(release_package, {}, entry=found)

    assert released("install") == ["apt-mark -q unhold nvidia-open"]
    assert released("hold") == []


def test_the_boot_image_is_made_anew_without_the_file_that_kept_nouveau_off(
    tmp_path: Path,
) -> None:
    found = entry("file", str(tmp_path / "x"), was="absent", now="file", reader="boot image")
    (command,) = commands(restore_file, {}, entry=found)
    assert "update-initramfs -u" in command.get_raw_value()


def test_docker_is_restarted_only_if_its_file_changes() -> None:
    path, reader = "/etc/docker/daemon.json", "docker.service"
    same = {"was": "file", "content": "a", "mode": "644", "owner": "0", "group": "0"}
    now = {f"now_{key}": value for key, value in same.items() if key != "was"} | {"now": "file"}
    (alike,) = commands(restore_file, {}, entry=entry("file", path, reader=reader, **same, **now))
    assert "restart" not in alike.get_raw_value()
    other = entry("file", path, reader=reader, **same, **{**now, "now_content": "b"})
    (differs,) = commands(restore_file, {}, entry=other)
    assert "systemctl try-restart docker.service" in differs.get_raw_value()
    assert str(differs) == f"{path}: put back as it was; docker.service is restarted"


def test_every_command_that_puts_back_is_valid_shell() -> None:
    found = entry(
        "file", "/etc/a b", was="file", content="c", mode="640", owner="0", group="0",
        now="file", now_content="d", written="e", reader="docker.service",
    )  # fmt: skip
    for command in commands(restore_file, {}, entry=found):
        subprocess.run(["sh", "-n"], input=command.get_raw_value(), text=True, check=True)
    for script in (Record().command(), LeftBehind().command(), file_back(found)):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_records_of_every_kind_are_valid_shell() -> None:
    lines = [
        before.units("a.service", "b.service"),
        before.packages("a", "b"),
        before.sysctls("vm.swappiness"),
        before.link("fab0", "ens1f0"),
        before.table("inet rackform"),
    ]
    for line in lines:
        subprocess.run(["sh", "-n"], input=line, text=True, check=True)
        words = shlex.split(line)
        subprocess.run(["sh", "-n"], input=words[2], text=True, check=True)


def test_what_stays_is_told_with_its_size_and_how_to_be_rid_of_it() -> None:
    lines = """
folder 4 /var/lib/rackform/metrics
folder 2097152 /srv/models/chat
image 1073741824 10.77.0.11:5000/vllm@sha256:aa
image 500 theirs@sha256:bb
recorded
""".strip().splitlines()
    found = LeftBehind().process(lines)
    assert found.recorded
    packages = [
        entry("package", "docker.io", was="absent", now="installed", kib="102400"),
        entry("package", "jq", was="absent", now="absent"),
        entry("package", "fping", was="config-files", now="installed", kib="1024"),
        entry("package", "curl", was="installed", version="8-1", now="absent"),
        entry(
            "package", "nvidia-open", was="installed", version="570-1",
            now="installed", now_version="580-1",
        ),
    ]  # fmt: skip
    purge = "apt-get purge --autoremove docker.io fping"
    assert left.told(found, packages, "10.77.0.11:5000") == [
        f"packages, 101.0 MiB beside what they need: docker.io fping ({purge})",
        "package nvidia-open 580-1, which was 570-1",
        "1 images of 10.77.0.11:5000, 1.0 GiB (docker image rm)",
        "/srv/models/chat, 2.0 GiB (rm -r /srv/models/chat)",
    ]
    assert left.told(Left(), [], None) == []


def test_dockers_own_keys_stay_and_ours_are_laid_over_them() -> None:
    theirs = {
        "data-root": "/big/docker",
        "registry-mirrors": ["https://mirror.example"],
        "log-opts": {"max-size": "1g", "tag": "x"},
        "runtimes": {"runsc": {"path": "/usr/bin/runsc"}},
    }
    settings = DockerEngineSettings(nvidia_runtime=True)
    text = daemon_json(json.dumps(theirs), settings)
    merged = json.loads(text)
    assert merged["data-root"] == "/big/docker"
    assert merged["registry-mirrors"] == ["https://mirror.example"]
    assert merged["log-opts"] == {"max-size": "10m", "max-file": "3", "tag": "x"}
    assert set(merged["runtimes"]) == {"runsc", "nvidia"}
    assert daemon_json(text, settings) == text


def test_the_options_of_another_log_driver_go_with_it() -> None:
    theirs = json.dumps({"log-driver": "journald", "log-opts": {"labels": "a"}})
    merged = json.loads(daemon_json(theirs, DockerEngineSettings()))
    assert merged["log-opts"] == {"max-file": "3", "max-size": "10m"}


def test_a_file_of_docker_that_says_the_same_in_other_words_is_left_as_it_is() -> None:
    said = json.dumps(json.loads(daemon_json("", DockerEngineSettings())), indent=8)
    assert daemon_json(said, DockerEngineSettings()) == said


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_of_docker_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(OperationError, match=r"/etc/docker/daemon\.json .*correct or remove it"):
        daemon_json(text, DockerEngineSettings())


def test_docker_of_another_repository_is_not_replaced() -> None:
    def installed(*names: str) -> list[str]:
        facts: dict[type, object] = {InstalledPackages: set(names)}
        return told(install_packages, facts, packages=["docker.io"], unless=OTHER_ENGINES)

    assert installed("docker-ce") == []
    assert installed()[-1].endswith("install --no-remove docker.io")


def test_an_engine_is_told_of_live_restore_before_it_is_restarted() -> None:
    arguments: dict[str, Any] = {"restart_if": lambda: True, "reload_first": True}
    assert told(run_service, {Unit: RUNNING}, unit="docker.service", **arguments) == [
        "systemctl reload docker.service",
        "systemctl restart docker.service",
    ]


def test_a_unit_that_would_come_along_stays_as_it_was() -> None:
    absent = UnitState(loaded=True, active=True, enabled=False, stale=False)
    (command,) = commands(run_service, {Unit: absent}, unit="n.service", without="w.service")
    assert str(command) == "systemctl enable -q n.service (without w.service)"
    subprocess.run(["sh", "-n"], input=command.get_raw_value(), text=True, check=True)


def test_our_block_stands_first_once_and_is_taken_out_whole() -> None:
    theirs = "127.0.0.1 localhost\n127.0.1.1 w1.example.org w1\n"
    once = with_block(theirs, "10.77.0.11 w1\n")
    assert once.splitlines()[1] == "10.77.0.11 w1"
    assert with_block(once, "10.77.0.11 w1") == once
    assert unmarked(once) == theirs
    assert unmarked(with_block("", "x")) == ""
