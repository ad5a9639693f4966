import json
import stat
from pathlib import Path

import pytest

from lab import guest, nspawn
from lab.spec import NodeSpec

UNIT = "[Service]\nType=notify\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\nRestart=always\n"


@pytest.fixture
def spec(tmp_path: Path) -> NodeSpec:
    return NodeSpec(
        site="lab",
        name="w1",
        base_digest="sha256:00",
        address="10.77.0.12/24",
        cables={"fab0": "tor1.Ethernet2"},
        memory_gib=2,
        gpus=2,
        authorized_key="ssh-ed25519 AAAA rackform\n",
        private_key_file=tmp_path / "key",
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "lib/systemd/system").mkdir(parents=True)
    (root / "lib/systemd/system/docker.service").write_text(UNIT)
    return root


def test_docker_keeps_its_command_and_gets_the_twins_flags(root: Path, spec: NodeSpec) -> None:
    guest.prepare(root, spec, "private", "ssh-ed25519 BBBB")
    drop_in = root / "etc/systemd/system/docker.service.d/91-rackform-twin-flags.conf"
    lines = drop_in.read_text().splitlines()
    assert lines[1] == "ExecStart="
    assert lines[2].startswith("ExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS --storage-driver")
    assert not (root / "etc/docker/daemon.json").exists()


def test_a_host_knows_how_many_gpus_it_plays(root: Path, spec: NodeSpec) -> None:
    guest.prepare(root, spec, "private", "ssh-ed25519 BBBB")
    assert json.loads((root / "etc/rackform/twin.json").read_text()) == {"gpus": 2}


def test_secrets_of_a_host_are_its_owners_alone(root: Path, spec: NodeSpec) -> None:
    guest.prepare(root, spec, "private", "ssh-ed25519 BBBB")
    for path in ("etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys"):
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o600


def test_preparing_twice_is_the_same_as_once(root: Path, spec: NodeSpec) -> None:
    def tree() -> dict[str, bytes | str]:
        return {
            str(p): str(p.readlink()) if p.is_symlink() else p.read_bytes()
            for p in root.rglob("*")
            if p.is_symlink() or p.is_file()
        }

    guest.prepare(root, spec, "private", "ssh-ed25519 BBBB")
    before = tree()
    guest.prepare(root, spec, "private", "ssh-ed25519 BBBB")
    assert tree() == before


def test_a_link_in_the_image_does_not_lead_out_of_it(tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("ours")
    (root / "etc").mkdir()
    (root / "etc/hostname").symlink_to(outside)
    guest.write(root, "etc/hostname", "w1\n")
    assert outside.read_text() == "ours"
    assert (root / "etc/hostname").read_text() == "w1\n"


def test_only_docker_of_debian_12_is_told_of_its_oom_score() -> None:
    unit = "[Service]\nExecStart=/usr/sbin/dockerd\n"
    assert "--oom-score-adjust=0" in str(guest.docker_drop_in(unit, "12.11\n"))
    assert "--oom-score-adjust" not in str(guest.docker_drop_in(unit, "13.1\n"))


def test_a_unit_that_starts_nothing_gets_no_flags() -> None:
    assert guest.docker_drop_in("[Service]\nType=notify\n") is None


def test_machine_ids_differ_between_hosts_and_stay() -> None:
    one = guest.machine_id("lab", "w1", "key")
    assert one == guest.machine_id("lab", "w1", "key")
    assert one != guest.machine_id("lab", "w2", "key")
    assert len(one) == 32


def test_capabilities_that_this_machine_lacks_are_named() -> None:
    every = (1 << len(nspawn.ORDER)) - 1
    assert nspawn.missing_capabilities(every) == []
    assert nspawn.missing_capabilities(0x1FFFEFFFFFF) == ["CAP_SYS_RESOURCE"]


def test_a_host_never_gets_the_clock_or_modules_of_this_machine() -> None:
    argv = nspawn.argv("w1", Path("/s"), ["CAP_BPF"])
    dropped = next(a for a in argv if a.startswith("--drop-capability="))
    assert dropped == "--drop-capability=CAP_BPF,CAP_SYS_MODULE,CAP_SYS_RESOURCE,CAP_SYS_TIME"


def test_colons_in_the_state_folders_path_are_escaped_for_nspawn() -> None:
    assert nspawn.bind(Path("/a:b c/docker"), "/x") == "--bind=/a\\:b c/docker:/x"


def test_a_host_without_power_holds_no_link_up() -> None:
    assert nspawn.power_off_commands(["fab0"]) == [
        ["ip", "link", "set", "mgmt0", "down"],
        ["ip", "addr", "flush", "dev", "fab0"],
        ["ip", "link", "set", "fab0", "down", "mtu", "1500"],
    ]
