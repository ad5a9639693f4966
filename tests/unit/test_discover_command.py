"""The whole command: what is asked over SSH, host keys, options, and the file that is written."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import cli.discover as work
from cli import discover_options as given
from discover import probe
from discover.ask import ask, ask_all
from discover.hostkeys import HostKey, shown
from discover.wishes import CableWish, CircuitWish, SwitchWish
from remote.connection import Connection
from remote.errors import RackformError
from stack.errors import InputError
from tests.unit.loopback_ssh import Loopback, serving
from tests.unit.site_examples import HOST_KEY as KEY
from tests.unit.test_discover_parsers import FIXTURES, a_machine
from tests.unit.test_discover_stack import wishes


def asked(output: Path) -> work.Options:
    return work.Options(
        addresses=["192.168.20.11"],
        name="found",
        user="rack",
        port=22,
        key=None,
        accepted=[],
        accept_all=False,
        wishes=wishes(),
        output=output,
        force=False,
    )


def stand_in(folder: Path) -> str:
    """Return the probe with a stand-in nvidia-smi on its PATH, which replays what was recorded."""
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        f"cd {shlex.quote(str(FIXTURES))}\n"
        'case "$*" in "-q -x") cat h200-x2-smi.xml;;\n'
        '"topo -m") cat h200-x2-topology.txt;; *) exit 1;; esac\n'
    )
    tool.chmod(0o755)
    return f"PATH={folder}:$PATH; export PATH\n{probe.SCRIPT}"


def connection(loopback: Loopback, folder: Path) -> Connection:
    key = folder / "id"
    key.write_text(loopback.private_key())
    key.chmod(0o600)
    return Connection(
        name="127.0.0.1",
        address="127.0.0.1",
        port=loopback.port,
        user="rack",
        private_key_file=key,
        host_key=loopback.public_host_key,
    )


def test_this_very_machine_is_asked_over_ssh_and_nvidia_smi_replays_a_recording(
    tmp_path: Path,
) -> None:
    with serving() as loopback:
        found = ask(connection(loopback, tmp_path), stand_in(tmp_path))
    kernel = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout
    assert found.kernel == kernel.strip()
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA H200", "NVIDIA H200"]
    assert found.memory_gib > 0
    assert abs(found.clock_off_s) < 5


def test_the_probe_changes_nothing() -> None:
    words = set(re.findall(r"[a-z-]+", probe.SCRIPT))
    assert not words & {"rm", "mv", "cp", "tee", "install", "mkdir", "touch", "modprobe", "ln"}
    assert set(re.findall(r">+\s*([^\s;]+)", probe.SCRIPT)) == {"/dev/null", "&1"}


def test_a_host_key_is_pinned_only_by_its_fingerprint_or_a_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving() as loopback:
        key = shown("127.0.0.1", loopback.port)
    options = asked(tmp_path / "x")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(InputError, match=re.escape(f"add --accept-host-key {key.fingerprint}")):
        work._accepted(key, None, options)
    accepting = replace(options, accepted=[key.fingerprint])
    assert work._accepted(key, None, accepting) == loopback.public_host_key
    with pytest.raises(InputError, match="but stack found pins another"):
        work._accepted(key, KEY, accepting)


@pytest.mark.parametrize(
    ("addresses", "said"),
    [(["gpu1"], "'gpu1' is no IPv4 address"), (["10.0.0.1", "10.0.0.1"], "given twice")],
)
def test_wrong_addresses_are_refused(addresses: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        work._addresses(addresses)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (given.switch, "tor1=junos@10.0.0.1", r"tor1=sonic@192\.168\.20\.5"),
        (given.cable, "Ethernet1=gpu1", r"tor1\.Ethernet4=192\.168\.20\.11"),
        (given.circuit, "a=20A", r"a=240x20:gpu1,gpu2"),
        (given.subnet, "10.78.0.1/24", r"an unused subnet such as 10\.78\.0\.0/24"),
    ],
)
def test_an_option_that_can_not_be_read_is_refused_with_an_example(
    read: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read(text)


def test_options_with_parts_are_read() -> None:
    assert given.cable("tor1.Eth1/1=w1.rack") == CableWish("tor1", "Eth1/1", "w1.rack")
    assert given.circuit("a=240x20.5:n1,n2") == CircuitWish("a", 240, 20.5, ["n1", "n2"])
    assert given.switch("t=cumulus@10.0.0.1") == SwitchWish("t", "cumulus", "10.0.0.1", "cumulus")


def test_two_addresses_with_one_host_key_are_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(work, "shown", lambda address, _: HostKey(address, KEY))
    monkeypatch.setattr(work, "ask_all", lambda _: pytest.fail("a machine was asked"))
    addresses = ["192.168.20.11", "192.168.20.12"]
    options = replace(asked(tmp_path / "x"), addresses=addresses, key=tmp_path, accept_all=True)
    with pytest.raises(InputError, match=r"20\.11 and 192\.168\.20\.12 show the same host key"):
        work.discover(options)


def test_every_machine_that_tells_nothing_is_named() -> None:
    def lost(last: int) -> Connection:
        return Connection(
            name=f"n{last}", address="127.0.0.1", port=1, private_key_file=Path("/k"), host_key=KEY
        )

    with pytest.raises(RackformError) as error:
        ask_all([lost(1), lost(2)])
    assert [line[:2] for line in str(error.value).splitlines()] == ["n1", "n2"]


def test_a_machine_without_a_shell_is_told(tmp_path: Path) -> None:
    with (
        serving() as loopback,
        pytest.raises(RackformError, match="runs no command for user rack"),
    ):
        ask(connection(loopback, tmp_path), "echo This account is currently not available. >&2")


def test_the_whole_command_writes_a_stack_and_will_not_overwrite_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(work, "ask_all", lambda _: [a_machine()])
    monkeypatch.setattr(work, "shown", lambda address, _: HostKey(address, KEY))
    monkeypatch.setattr(work, "_own_address", lambda _: "192.168.20.2")
    path, key = tmp_path / "stack.yaml", tmp_path / "id"
    options = replace(asked(path), key=key, accept_all=True)
    report = work.discover(options)
    # a preview finds no stack that wasn't made
    said = " ".join(capsys.readouterr().err.split())
    assert f"'pulumi stack select --create {options.name}' and 'pulumi preview" in said
    assert path.read_text() == report.stack_file
    assert json.loads(report.model_dump_json())["host_keys"] == {"192.168.20.11": KEY}
    with pytest.raises(InputError, match="overwrite by --force"):
        work.discover(options)
